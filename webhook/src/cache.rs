//! What is known of the cluster.
//!
//! Owns the watches that keep the index true, and the second look at single objects: a watch is always a little late, so
//! a refusal that rests on another object is given only after that has been read anew. What a look has found stays known
//! until a watch tells otherwise. Never decides.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use egret_crds::{Egress, EgressNode, ExternalIPPool, cluster, salvage};
use egret_domain::admission::{Doubt, EgressDraft, Fact, Index, PoolDraft};
use egret_domain::control::Object;
use egret_runtime::describe;
use egret_runtime::ready::Awaited;
use egret_runtime::watch::{Event, Key, watch_all};
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::excerpt::excerpt;

/// Objects that are read anew at once for one answer; the first ones are as good as any others.
const SECOND_LOOKS: usize = 8;
/// Of all pools, more are not read anew for one answer.
const POOLS_LISTED: u32 = 500;
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
    /// Second looks under way, by number, and of which objects a watch has brought news meanwhile.
    looks: BTreeMap<u64, BTreeSet<Object>>,
    /// The number of looks so far.
    count: u64,
    /// What only a second look has found. A watch shows it soon, or it was gone before the watch could: then nothing else
    /// would ever tell.
    unconfirmed: BTreeSet<Object>,
}

impl Cache {
    /// Answers a question from what is known now.
    pub fn ask<T>(&self, question: impl FnOnce(&Index) -> T) -> T {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        question(&known.index)
    }

    /// Notes what a watch has brought.
    pub fn note(&self, fact: Fact) {
        let mut known = self.write();
        if let Some(object) = object(&fact) {
            known.unconfirmed.remove(&object);
            for overtaken in known.looks.values_mut() {
                overtaken.insert(object.clone());
            }
        }
        known.index.apply(fact);
    }

    /// Drops what only second looks have found, now that a watch has shown all there is of a kind. If it is newer than
    /// that, the watch shows it next.
    fn confirm(&self, is_kind: impl Fn(&Object) -> bool) {
        let mut known = self.write();
        for ghost in known
            .unconfirmed
            .extract_if(.., |object| is_kind(object))
            .collect::<Vec<_>>()
        {
            known.index.apply(end(ghost));
        }
    }

    /// Looks again at what is doubted; whether that could be done in time.
    pub async fn look_again(
        &self,
        doubts: impl IntoIterator<Item = &Doubt>,
        client: &Client,
        end: Instant,
    ) -> bool {
        let looks = doubts
            .into_iter()
            .take(SECOND_LOOKS)
            .map(|doubt| self.look_at(doubt, client));
        let is_done = timeout_at(end, join_all(looks)).await.is_ok();
        if !is_done {
            warn!("no answer from the API server: answering from what is known");
        }
        is_done
    }

    async fn look_at(&self, doubt: &Doubt, client: &Client) {
        let look = self.begin();
        match read(doubt, client).await {
            Ok(facts) => facts.into_iter().for_each(|fact| look.note(fact)),
            Err(error) => {
                warn!(
                    ?doubt,
                    error = describe(&error),
                    "cannot be looked at again"
                );
            }
        }
    }

    fn begin(&self) -> Look {
        let mut known = self.write();
        known.count += 1;
        let number = known.count;
        known.looks.insert(number, BTreeSet::new());
        Look {
            cache: self.clone(),
            number,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
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
        let mut events = watch_all::<K>(client);
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
                    self.confirm(|object| kind == kind_of(object));
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

/// A second look that is under way.
struct Look {
    cache: Cache,
    number: u64,
}

impl Look {
    /// Notes what it has found, unless a watch has brought news of that since it began: those are younger, or younger ones
    /// follow them.
    fn note(&self, fact: Fact) {
        let Some(object) = object(&fact) else {
            return;
        };
        let mut known = self.cache.write();
        let mut overtaken = known.looks.get(&self.number).into_iter().flatten();
        if overtaken.any(|overtaken| *overtaken == object) {
            return;
        }
        if is_end(&fact) {
            known.unconfirmed.remove(&object);
        } else if !known.index.knows(&object) {
            known.unconfirmed.insert(object);
        }
        known.index.apply(fact);
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.cache.write().looks.remove(&self.number);
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

/// What is doubted as the API server has it now.
async fn read(doubt: &Doubt, client: &Client) -> Result<Vec<Fact>, kube::Error> {
    match doubt {
        Doubt::Of(object @ Object::Egress(name)) => {
            let api: Api<Egress> = Api::all(client.clone());
            let found = api.get_opt(name.as_str()).await?;
            Ok(vec![found.map_or_else(
                || end(object.clone()),
                |found| egress(&found),
            )])
        }
        Doubt::Of(object @ Object::Pool(name)) => {
            let api: Api<ExternalIPPool> = Api::all(client.clone());
            let found = api.get_opt(name.as_str()).await?;
            Ok(vec![
                found.map_or_else(|| end(object.clone()), |found| pool(&found)),
            ])
        }
        Doubt::Pools => {
            let api: Api<ExternalIPPool> = Api::all(client.clone());
            let found = api.list(&ListParams::default().limit(POOLS_LISTED)).await?;
            Ok(found.iter().map(pool).collect())
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

/// As the API calls it.
fn kind_of(object: &Object) -> Cow<'static, str> {
    match object {
        Object::Egress(_) => Egress::kind(&()),
        Object::Pool(_) => ExternalIPPool::kind(&()),
    }
}

fn end(object: Object) -> Fact {
    match object {
        Object::Egress(name) => Fact::EgressGone(name),
        Object::Pool(name) => Fact::PoolGone(name),
    }
}

fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::EgressGone(_) | Fact::PoolGone(_))
}

#[cfg(test)]
pub(crate) mod tests;
