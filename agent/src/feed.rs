//! From the objects that matter to one node to an agent's facts.
//!
//! Owns which objects are watched and what of them matters. An object that cannot be used is reported and left as it
//! was known before. Never watches other nodes' Pods, never decides.

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use egret_crds::{Egress, ExternalIPPool, salvage};
use egret_domain::egress::Egress as ValidEgress;
use egret_domain::name::{EgressName, NodeName};
use egret_domain::net::Cidr;
use egret_domain::node::{self, Fact};
use egret_domain::pool::PoolSpec;
use egret_runtime::packed::Packed;
use egret_runtime::watch::{Event, Key, Reading, follow, watch, watch_all};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::warn;

use crate::status::MANAGER;

/// What is told to the reconciler.
#[derive(Debug)]
pub enum Message {
    /// Something is so.
    Fact(Fact),
    /// An Egress is so; with the object, for the report in its status.
    Egress(Fact, EgressName, Arc<Packed<Egress>>),
    /// All objects of this kind that existed have been told.
    Synced(Source),
}

/// Where facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the kind that it names")]
pub enum Source {
    Egresses,
    Pools,
    Pods,
    Namespaces,
    Nodes,
    ServiceCidrs,
    LocalAddresses,
}

impl Source {
    /// Every source: nothing is changed in the kernel before each has told all that it knows.
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([
            Self::Egresses,
            Self::Pools,
            Self::Pods,
            Self::Namespaces,
            Self::Nodes,
            Self::ServiceCidrs,
            Self::LocalAddresses,
        ])
    }
}

impl From<Source> for Message {
    fn from(source: Source) -> Self {
        Self::Synced(source)
    }
}

/// Where messages go.
pub type Sink = mpsc::Sender<Message>;

/// Follows the Egresses.
pub async fn egresses(client: Client, sink: Sink) {
    let reading = Reading {
        source: Source::Egresses,
        told: |object| Some(egress(object)),
        gone: |key: &Key| Message::Fact(Fact::EgressGone(key.name.as_str().into())),
        malformed: |_: &Key, object: &Value, error: &str| Some(malformed_egress(object, error)),
    };
    follow(watch_all(client), reading, sink).await;
}

pub(crate) fn egress(object: Egress) -> Message {
    let fact = match ValidEgress::try_from(&object) {
        Ok(egress) => Fact::Egress(Box::new(parse::egress(egress, object.status.as_ref()))),
        Err(problems) => unusable(&object, &problems),
    };
    kept(fact, object)
}

fn malformed_egress(object: &Value, error: &str) -> Message {
    let object = salvage::egress(object);
    kept(unusable(&object, &error), object)
}

fn kept(fact: Fact, object: Egress) -> Message {
    let name = object.metadata.name.as_deref().unwrap_or_default().into();
    Message::Egress(fact, name, Arc::new(Packed::new(object, MANAGER)))
}

fn unusable(object: &Egress, problems: &dyn Display) -> Fact {
    let fact = parse::unusable(object);
    warn!(egress = %fact.name, %problems, "cannot be used: left as it was known before");
    Fact::EgressUnusable(Box::new(fact))
}

/// Follows the pools.
pub async fn pools(client: Client, sink: Sink) {
    let reading = Reading {
        source: Source::Pools,
        told: |object| pool(&object),
        gone: |key: &Key| Message::Fact(Fact::PoolGone(key.name.as_str().into())),
        malformed: left,
    };
    follow(watch_all(client), reading, sink).await;
}

fn pool(object: &ExternalIPPool) -> Option<Message> {
    match PoolSpec::try_from(object) {
        Ok(pool) => {
            let fact = node::Pool::from(&pool);
            Some(Message::Fact(Fact::Pool(pool.name, fact)))
        }
        Err(problems) => {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            warn!(pool = name, %problems, "cannot be used: left as it was known before");
            None
        }
    }
}

/// Follows the Pods of this node.
pub async fn pods(client: Client, node: NodeName, sink: Sink) {
    let config = Config::default().fields(&format!("spec.nodeName={node}"));
    let events = watch::<Pod>(Api::all(client), config);
    let reading = Reading {
        source: Source::Pods,
        told: |object| Some(Message::Fact(parse::pod(&object))),
        gone: |key: &Key| Message::Fact(Fact::PodGone(parse::pod_name(key))),
        malformed: left,
    };
    follow(events, reading, sink).await;
}

/// Follows the namespaces.
pub async fn namespaces(client: Client, sink: Sink) {
    let told = |object: Namespace| {
        let meta = object.metadata;
        let name = meta.name.unwrap_or_default();
        Some(Message::Fact(Fact::Namespace(
            name.into(),
            meta.labels.unwrap_or_default(),
        )))
    };
    let reading = Reading {
        source: Source::Namespaces,
        told,
        gone: |key: &Key| Message::Fact(Fact::NamespaceGone(key.name.as_str().into())),
        malformed: left,
    };
    follow(watch_all(client), reading, sink).await;
}

/// Follows the nodes; each may hold `max_egress_ips` unless it says otherwise itself.
pub async fn nodes(client: Client, max_egress_ips: usize, sink: Sink) {
    let told = |object: Node| {
        let node = parse::node(&object, max_egress_ips);
        Some(Message::Fact(Fact::Node(Box::new(node))))
    };
    let reading = Reading {
        source: Source::Nodes,
        told,
        gone: |key: &Key| Message::Fact(Fact::NodeGone(key.name.as_str().into())),
        malformed: left,
    };
    follow(watch_all(client), reading, sink).await;
}

/// What was known of it before stands.
fn left(_: &Key, _: &Value, _: &str) -> Option<Message> {
    None
}

/// Follows the Service networks.
pub async fn service_cidrs(client: Client, sink: Sink) {
    let mut events = watch_all::<ServiceCIDR>(client);
    let mut known = BTreeMap::<String, Vec<Cidr>>::new();
    while let Some(event) = events.next().await {
        let is_synced = event == Event::Synced;
        match event {
            Event::Applied(object) => {
                let cidrs = parse::service_cidrs(&object);
                known.insert(object.metadata.name.unwrap_or_default(), cidrs);
            }
            Event::Deleted(key) => {
                known.remove(&key.name);
            }
            Event::Undecodable { .. } | Event::Synced => {}
        }
        let cidrs = known.values().flatten().copied().collect();
        let told = Message::Fact(Fact::ServiceCidrs(cidrs));
        let synced = is_synced.then_some(Message::Synced(Source::ServiceCidrs));
        for message in [told].into_iter().chain(synced) {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }
}
