//! Carrying out decisions.
//!
//! Owns the shape of each write: what the operator owns goes by server-side apply; what it takes away from fields that
//! others may own too, by a patch that fails if the object has changed since it was read. Never decides, never tries
//! again.

pub use egret_crds::manager::OPERATOR as MANAGER;
use egret_crds::{Egress, ExternalIPPool};
use egret_domain::condition::{Condition, news};
use egret_domain::control::{EgressWrite, NodeWarning, PoolWrite};
use egret_domain::name::NodeName;
use egret_runtime::apply::{Error, How, Part, amend, apply};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::condition::{recorded, written};
use crate::events::{Events, Happening};
use crate::teardown::plan::released;

/// Deletion of an Egress waits until no node answers for its IP.
pub const EGRESS_FINALIZER: &str = "egret.dev/egress-ip";
/// Deletion of a pool waits until no Egress uses it.
pub const POOL_FINALIZER: &str = "egret.dev/pool";

/// An object that has changed since it was decided on is looked at anew.
const OBJECT: How = How {
    manager: MANAGER,
    part: Part::Object,
    force: false,
    if_unchanged: true,
};
/// Nobody else has a say in these fields. All the same, only if the object is as it was read: so a write of a former leader
/// that comes late undoes nothing.
const STATUS: How = How {
    manager: MANAGER,
    part: Part::Status,
    force: true,
    if_unchanged: true,
};

/// Writes objects.
#[derive(Debug, Clone)]
pub struct Writer {
    egresses: Api<Egress>,
    pools: Api<ExternalIPPool>,
    events: Events,
}

impl Writer {
    /// Writes through this client; what people should hear of goes to `events`.
    pub fn new(client: Client, events: Events) -> Self {
        Self {
            egresses: Api::all(client.clone()),
            pools: Api::all(client),
            events,
        }
    }

    /// The Egresses, for reading what there is to be written to.
    pub fn egresses(&self) -> Api<Egress> {
        self.egresses.clone()
    }

    /// Writes to an Egress, which is `current` as it was last read.
    pub async fn egress(
        &self,
        write: &EgressWrite,
        current: &Egress,
        now: Timestamp,
    ) -> Result<(), Error> {
        let api = &self.egresses;
        match write {
            EgressWrite::Own { finalizer, ip } => {
                let guard = finalizer.then(|| guard(EGRESS_FINALIZER));
                // An empty string, which somebody else may own, is as good as none.
                let force = ip.is_some() && current.spec.egress_ip.is_none();
                let ip = ip.map(|ip| ("spec", json!({ "egressIP": ip })));
                let wanted = object(guard.into_iter().chain(ip));
                own(api, current, &wanted, How { force, ..OBJECT }).await
            }
            EgressWrite::Release => release(api, current, EGRESS_FINALIZER).await,
            EgressWrite::Status {
                candidates,
                conditions,
            } => {
                let old = current
                    .status
                    .as_ref()
                    .map(|status| status.conditions.as_slice());
                let names: Vec<_> = candidates.iter().map(NodeName::as_str).collect();
                // An empty list is stored as none: applying it would never be done.
                let listed = (!names.is_empty()).then(|| ("candidates", json!(names)));
                let fields = listed.into_iter().chain([told(old, conditions, now)]);
                own(api, current, &object([("status", object(fields))]), STATUS).await?;
                self.tell(current, old, conditions);
                Ok(())
            }
            EgressWrite::ClearHolder { because, .. } => {
                clear_holder(api, current, because, now).await
            }
        }
    }

    /// Writes to a pool, which is `current` as it was last read.
    pub async fn pool(
        &self,
        write: &PoolWrite,
        current: &ExternalIPPool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let api = &self.pools;
        match write {
            PoolWrite::Guard => own(api, current, &object([guard(POOL_FINALIZER)]), OBJECT).await,
            PoolWrite::Release => release(api, current, POOL_FINALIZER).await,
            PoolWrite::Status { usage, conditions } => {
                let old = current
                    .status
                    .as_ref()
                    .map(|status| status.conditions.as_slice());
                let usage = usage.map(|usage| json!({"total": usage.total, "used": usage.used}));
                let usage = usage.map(|usage| ("usage", usage));
                let fields = usage.into_iter().chain([told(old, conditions, now)]);
                own(api, current, &object([("status", object(fields))]), STATUS).await?;
                self.tell(current, old, conditions);
                Ok(())
            }
        }
    }

    /// Lets people hear of something about a node.
    pub fn warn(
        &self,
        NodeWarning {
            node,
            reason,
            message,
        }: NodeWarning,
    ) {
        let name = Some(node.as_str().to_owned());
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            // As kubelet does, and `kubectl describe node` expects.
            uid: name.clone(),
            name,
            ..ObjectReference::default()
        };
        self.events.tell(Happening {
            regarding,
            is_good: false,
            reason,
            message,
        });
    }

    /// Lets people hear of what has just been written and was not so before. After the write: else a write that fails
    /// would be told of with each try.
    fn tell<K>(&self, of: &K, old: Option<&[v1::Condition]>, new: &[Condition])
    where
        K: Resource<DynamicType = ()>,
    {
        for news in news(&recorded(old.unwrap_or_default()), new) {
            self.events.tell(Happening {
                regarding: of.object_ref(&()),
                is_good: news.is_good(),
                reason: news.reason,
                message: news.message.clone(),
            });
        }
    }
}

type Field = (&'static str, Value);

fn object(fields: impl IntoIterator<Item = Field>) -> Value {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn guard(finalizer: &str) -> Field {
    ("metadata", json!({ "finalizers": [finalizer] }))
}

fn told(old: Option<&[v1::Condition]>, new: &[Condition], now: Timestamp) -> Field {
    (
        "conditions",
        json!(written(old.unwrap_or_default(), new, now)),
    )
}

async fn own<K>(api: &Api<K>, current: &K, wanted: &Value, how: How) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    apply(api, name(current), Some(current), wanted, how)
        .await
        .map(drop)
}

/// Takes a finalizer away where it is, whoever may have written it too: a copied manifest does, and its deletion must not hang.
pub(crate) async fn release<K>(api: &Api<K>, current: &K, finalizer: &str) -> Result<(), Error>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    let Some(others) = released(current.meta(), finalizer) else {
        return Ok(());
    };
    let patch = json!({"metadata": {"finalizers": others}});
    amend(api, current, &patch, MANAGER, Part::Object).await
}

/// Clears what agents have written of a holder: it is not there to do so.
async fn clear_holder(
    api: &Api<Egress>,
    current: &Egress,
    because: &Condition,
    now: Timestamp,
) -> Result<(), Error> {
    let before = current.status.as_ref().map(|status| &status.conditions);
    let before = before.map_or(&[][..], Vec::as_slice);
    let others = before.iter();
    let others = others.filter(|condition| condition.type_ != because.kind.as_str());
    let said = written(before, std::slice::from_ref(because), now);
    let conditions: Vec<_> = others.chain(&said).collect();
    let patch = json!({"status": {"egressNode": null, "egressIP": null, "conditions": conditions}});
    amend(api, current, &patch, MANAGER, Part::Status).await
}

fn name<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
