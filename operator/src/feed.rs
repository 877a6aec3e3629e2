//! From the API server's objects to facts.
//!
//! Owns which objects are watched. An object that cannot be decoded is reported, and what was known of it stands. Never
//! decides.

mod parse;

use std::collections::{BTreeMap, BTreeSet};

use egret_crds::{Egress, EgressNode, ExternalIPPool, cluster, salvage};
use egret_domain::control::{EgressFact, Fact, PoolFact};
use egret_domain::placement;
use egret_runtime::packed::Packed;
use egret_runtime::watch::{Event, Key, Reading, follow, watch_all};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tracing::warn;

use crate::agents::configure::Configuration;
use crate::liveness::Reported;
use crate::write::MANAGER;

/// What is told to the reconciler.
#[derive(Debug)]
pub enum Message {
    /// Something is so.
    Fact(Fact),
    /// Several things are so, by one object.
    Facts(Vec<Fact>),
    /// An Egress is so; with the object, for writing it.
    Egress(Box<EgressFact>, Packed<Egress>),
    /// The same for a pool.
    Pool(Box<PoolFact>, Packed<ExternalIPPool>),
    /// All objects of this source that existed at one moment have been told.
    Synced(Source),
    /// Settings are in force, and what they say has been told. There are some from then on.
    Configured,
}

/// Where facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the kind that it names")]
pub enum Source {
    Egresses,
    Pools,
    Nodes,
    EgressNodes,
}

impl Source {
    /// Every source: nothing is decided before each has told all that it knows.
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([Self::Egresses, Self::Pools, Self::Nodes, Self::EgressNodes])
    }
}

impl From<Source> for Message {
    fn from(source: Source) -> Self {
        Self::Synced(source)
    }
}

/// Where messages go.
pub type Sink = mpsc::Sender<Message>;

/// Follows the Egresses, for ever.
pub async fn egresses(client: Client, sink: Sink) {
    let reading = Reading {
        source: Source::Egresses,
        told: |object| Some(egress(object)),
        gone: |key: &Key| Message::Fact(Fact::EgressGone(key.name.as_str().into())),
        malformed: |_: &Key, object: &Value, error: &str| Some(malformed_egress(object, error)),
    };
    follow(watch_all(client), reading, sink).await;
}

fn egress(egress: Egress) -> Message {
    let fact = Box::new(parse::egress(&egress));
    Message::Egress(fact, Packed::new(egress, MANAGER))
}

/// Its address is not given to another one, and its deletion does not hang.
fn malformed_egress(object: &Value, error: &str) -> Message {
    let egress = salvage::egress(object);
    let fact = EgressFact {
        problems: Some(error.to_owned()),
        ..parse::egress(&egress)
    };
    Message::Egress(Box::new(fact), Packed::new(egress, MANAGER))
}

/// Follows the pools, for ever.
pub async fn pools(client: Client, sink: Sink) {
    let unreadable = |key: &Key| Fact::PoolUnreadable(key.name.as_str().into());
    let reading = Reading {
        source: Source::Pools,
        told: |object| Some(pool(object)),
        gone: |key: &Key| Message::Fact(Fact::PoolGone(key.name.as_str().into())),
        malformed: |key: &Key, _: &Value, _: &str| Some(Message::Fact(unreadable(key))),
    };
    follow(watch_all(client), reading, sink).await;
}

fn pool(pool: ExternalIPPool) -> Message {
    let fact = Box::new(parse::pool(&pool));
    Message::Pool(fact, Packed::new(pool, MANAGER))
}

/// Follows the nodes and the settings, for ever. Each node may hold as many egress IPs as the settings say, unless it says
/// otherwise: none, while no settings are in force.
pub async fn nodes(client: Client, mut configuration: Receiver<Configuration>, sink: Sink) {
    let mut nodes = Nodes::default();
    let mut events = watch_all::<Node>(client);
    configuration.mark_changed();
    loop {
        let messages = tokio::select! {
            Some(event) = events.next() => nodes.take(event),
            Ok(()) = configuration.changed() => nodes.configured(&configuration.borrow_and_update()),
            else => return,
        };
        for message in messages {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// The nodes as they were told last, for telling them again when their limit changes.
#[derive(Debug, Default)]
struct Nodes {
    limit: Option<usize>,
    /// Without those that have a limit of their own.
    limited: BTreeMap<String, placement::Node>,
}

impl Nodes {
    fn take(&mut self, event: Event<Node>) -> Vec<Message> {
        let message = match event {
            Event::Applied(object) => {
                let limit = self.limit.unwrap_or_default();
                let node = cluster::node(&object, limit);
                let name = object.metadata.name.clone().unwrap_or_default();
                if cluster::limit(&object).is_none() {
                    self.limited.insert(name, node.clone());
                } else {
                    self.limited.remove(&name);
                }
                Message::Fact(Fact::Node(Box::new(node)))
            }
            Event::Deleted(key) => {
                self.limited.remove(&key.name);
                Message::Fact(Fact::NodeGone(key.name.as_str().into()))
            }
            Event::Undecodable { key, error, .. } => {
                warn!(source = ?Source::Nodes, object = %key, error, "cannot be read: left as it was known before");
                return Vec::new();
            }
            Event::Synced => Message::Synced(Source::Nodes),
        };
        vec![message]
    }

    /// Whether Egress is off, all nodes that another limit changes, and that there are settings.
    fn configured(&mut self, configuration: &Configuration) -> Vec<Message> {
        let Some(settings) = &configuration.in_force else {
            return Vec::new();
        };
        let max_egress_ips = settings.max_egress_ips_per_node.into();
        let is_another = self.limit.replace(max_egress_ips) != Some(max_egress_ips);
        let nodes = self
            .limited
            .values_mut()
            .filter(|_| is_another)
            .map(|node| {
                node.max_egress_ips = max_egress_ips;
                Fact::Node(Box::new(node.clone()))
            });
        let facts = std::iter::once(Fact::Off(!settings.enabled)).chain(nodes);
        let messages = facts.map(Message::Fact);
        messages.chain([Message::Configured]).collect()
    }
}

/// Follows what agents report of their nodes, for ever.
pub async fn egress_nodes(client: Client, reported: Reported, sink: Sink) {
    let told = |report: EgressNode| {
        let name = report.metadata.name.as_deref().unwrap_or_default();
        reported.note(&name.into(), report.status.as_ref());
        Some(Message::Facts(parse::report(name, report.status.as_ref())))
    };
    let gone = |key: &Key| {
        reported.note(&key.name.as_str().into(), None);
        Message::Facts(parse::report(&key.name, None))
    };
    let reading = Reading {
        source: Source::EgressNodes,
        told,
        gone,
        malformed: |_: &Key, _: &Value, _: &str| None,
    };
    follow(watch_all(client), reading, sink).await;
}

#[cfg(test)]
pub(crate) mod tests;
