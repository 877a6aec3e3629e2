//! What is known of the cluster.
//!
//! Owns the watches that keep the index true, and the second look at single objects: a watch is always a little late, so
//! a refusal that rests on another object is given only after that has been read anew. Never decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use egret_crds::{Egress, EgressNode, ExternalIPPool, cluster, salvage};
use egret_domain::admission::{EgressDraft, Fact, Index, PoolDraft};
use egret_domain::control::Object;
use egret_runtime::describe;
use egret_runtime::ready::Awaited;
use egret_runtime::watch::{Event, Key, watch};
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::excerpt::excerpt;

/// Objects that are read anew for one answer; the first ones are as good as any others.
const SECOND_LOOKS: usize = 8;
/// The time for that. The API server itself waits 5 s for the answer.
const SECOND_LOOK_LIMIT: Duration = Duration::from_secs(1);
/// Of why an object cannot be read, more bytes are not logged: they may be the object.
const ERROR_MAX: usize = 200;
/// Here nobody counts what a node holds.
const NO_CAP: usize = usize::MAX;

/// The index, shared.
#[derive(Debug, Clone, Default)]
pub struct Cache(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    index: Index,
    /// For each object, the number of the last event about it that a watch has brought.
    events: BTreeMap<Object, u64>,
    count: u64,
}

impl Cache {
    /// Answers a question from what is known now.
    pub fn ask<T>(&self, question: impl FnOnce(&Index) -> T) -> T {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        question(&known.index)
    }

    /// Notes what a watch has brought.
    pub fn note(&self, fact: Fact) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.count += 1;
        let count = known.count;
        match (object(&fact), is_end(&fact)) {
            (Some(object), true) => {
                known.events.remove(&object);
            }
            (Some(object), false) => {
                known.events.insert(object, count);
            }
            (None, _) => {}
        }
        known.index.apply(fact);
    }

    fn last_event(&self, object: &Object) -> Option<u64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.events.get(object).copied()
    }

    /// Notes what a second look has found, unless a watch has brought news since `event`: those are younger, or younger
    /// ones follow them.
    fn note_unless_overtaken(&self, object: &Object, event: Option<u64>, fact: Fact) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.events.get(object).copied() == event {
            known.index.apply(fact);
        }
    }

    /// Looks at objects again.
    pub async fn look_again(&self, objects: &BTreeSet<Object>, client: &Client) {
        let looks = objects
            .iter()
            .take(SECOND_LOOKS)
            .map(|object| self.look_at(object, client));
        if timeout(SECOND_LOOK_LIMIT, join_all(looks)).await.is_err() {
            warn!("no answer from the API server: answering from what is known");
        }
    }

    async fn look_at(&self, object: &Object, client: &Client) {
        let event = self.last_event(object);
        match read(object, client).await {
            Ok(fact) => self.note_unless_overtaken(object, event, fact),
            Err(error) => {
                warn!(
                    ?object,
                    error = describe(&error),
                    "cannot be looked at again"
                );
            }
        }
    }

    /// Follows the Egresses, for ever.
    pub async fn follow_egresses(self, client: Client, ready: Awaited) {
        let gone = |key: &Key| Fact::EgressGone(key.name.as_str().into());
        let malformed = |key: &Key, object: &Value| Some(malformed_egress(key, object));
        self.follow(client, ready, egress, gone, malformed).await;
    }

    /// Follows the pools, for ever.
    pub async fn follow_pools(self, client: Client, ready: Awaited) {
        let gone = |key: &Key| Fact::PoolGone(key.name.as_str().into());
        let malformed = |key: &Key, _: &Value| {
            let name = key.name.as_str().into();
            Some(Fact::PoolUnreadable(name))
        };
        self.follow(client, ready, pool, gone, malformed).await;
    }

    /// Follows the nodes, for ever.
    pub async fn follow_nodes(self, client: Client, ready: Awaited) {
        let told = |node: &Node| Fact::Node(Box::new(cluster::cluster_node(node, NO_CAP)));
        let gone = |key: &Key| Fact::NodeGone(key.name.as_str().into());
        self.follow(client, ready, told, gone, |_, _| None).await;
    }

    /// Follows what agents report of their nodes, for ever.
    pub async fn follow_reports(self, client: Client, ready: Awaited) {
        let gone = |key: &Key| Fact::NodeSubnets(key.name.as_str().into(), Vec::new());
        self.follow(client, ready, report, gone, |_, _| None).await;
    }

    async fn follow<K>(
        self,
        client: Client,
        ready: Awaited,
        told: impl Fn(&K) -> Fact,
        gone: impl Fn(&Key) -> Fact,
        malformed: impl Fn(&Key, &Value) -> Option<Fact>,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        K::DynamicType: Default,
    {
        let kind = K::kind(&K::DynamicType::default()).into_owned();
        let mut ready = Some(ready);
        let mut events = watch::<K>(Api::all(client), Config::default());
        while let Some(event) = events.next().await {
            match event {
                Event::Applied(object) => self.note(told(&object)),
                Event::Deleted(key) => self.note(gone(&key)),
                Event::Undecodable { key, error, object } => {
                    let error = excerpt(error, ERROR_MAX);
                    warn!(kind, object = %key, error, "is not what its type says: read as far as possible");
                    if let Some(fact) = malformed(&key, &object) {
                        self.note(fact);
                    }
                }
                Event::Synced => {
                    if let Some(ready) = ready.take() {
                        info!(kind, "all seen");
                        ready.done();
                    }
                    debug!(kind, "listed");
                }
            }
        }
    }
}

fn egress(egress: &Egress) -> Fact {
    Fact::Egress(Box::new(EgressDraft::from(egress)))
}

/// It has its address, whatever else it asks for.
fn malformed_egress(key: &Key, object: &Value) -> Fact {
    let mut legible = salvage::egress(object);
    legible.metadata.name = Some(key.name.clone());
    egress(&legible)
}

fn pool(pool: &ExternalIPPool) -> Fact {
    Fact::Pool(Box::new(PoolDraft::from(pool)))
}

/// The subnets that a node reports; what cannot be read is not reported.
fn report(report: &EgressNode) -> Fact {
    let name = report.metadata.name.as_deref().unwrap_or_default();
    let subnets = report.status.iter().flat_map(|status| &status.subnets);
    let subnets = subnets.filter_map(|subnet| subnet.parse().ok());
    Fact::NodeSubnets(name.into(), subnets.collect())
}

/// The object as the API server has it now.
async fn read(object: &Object, client: &Client) -> Result<Fact, kube::Error> {
    match object {
        Object::Egress(name) => {
            let api: Api<Egress> = Api::all(client.clone());
            let found = api.get_opt(name.as_str()).await?;
            Ok(found.map_or_else(|| Fact::EgressGone(name.clone()), |found| egress(&found)))
        }
        Object::Pool(name) => {
            let api: Api<ExternalIPPool> = Api::all(client.clone());
            let found = api.get_opt(name.as_str()).await?;
            Ok(found.map_or_else(|| Fact::PoolGone(name.clone()), |found| pool(&found)))
        }
    }
}

/// The object that a fact is about, if it is one that may be looked at again.
fn object(fact: &Fact) -> Option<Object> {
    match fact {
        Fact::Egress(egress) => Some(Object::Egress(egress.name.clone())),
        Fact::EgressGone(name) => Some(Object::Egress(name.clone())),
        Fact::Pool(pool) => Some(Object::Pool(pool.spec.name.clone())),
        Fact::PoolUnreadable(name) | Fact::PoolGone(name) => Some(Object::Pool(name.clone())),
        Fact::Node(_) | Fact::NodeGone(_) | Fact::NodeSubnets(..) => None,
    }
}

fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::EgressGone(_) | Fact::PoolGone(_))
}

#[cfg(test)]
pub(crate) mod tests;
