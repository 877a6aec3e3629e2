//! This node's part in Egresses' statuses: `egressNode`, `egressIP` and the condition `IPAssigned`.
//!
//! Owns the writes and their retries. All agents write as one field manager, each write only if the object is as it was
//! read: whoever was slower reads again first. Never decides who holds what.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egret_crds::{Egress, EgressStatus};
use egret_domain::condition::{Condition, Recorded, Type, merge};
use egret_domain::name::{EgressName, NodeName};
use egret_domain::ownership::Report;
use egret_runtime::apply::{How, Part, amend, apply};
use egret_runtime::backoff::Limits;
use egret_runtime::live::Pulse;
use egret_runtime::packed::Packed;
use egret_runtime::retry::Retries;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::metrics::Metrics;

/// The name under which all agents own their fields.
pub(crate) const MANAGER: &str = "egret-agent";
/// Writes under way at once.
const AT_ONCE: usize = 8;
/// Egresses that may wait for a retry.
const MOST_RETRIES: usize = 100_000;
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(200),
    most: Duration::from_secs(10),
};

/// A holder that says again and again that it holds an IP is contradicted by another: two nodes that do not hear each
/// other do this, and must not do it at the speed of the API.
const REST: Limits = Limits {
    first: Duration::from_secs(1),
    most: Duration::from_mins(1),
};

/// What is to be written: the object as it was read, and what to say in it.
type Wish = (Arc<Packed<Egress>>, Report);

/// The latest wish for each Egress. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Statuses {
    wishes: Arc<Mutex<BTreeMap<EgressName, Wish>>>,
    changed: Arc<Notify>,
}

impl Statuses {
    /// Wishes something to be written, or nothing any more.
    pub fn set(&self, name: EgressName, wish: Option<Wish>) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        match wish {
            Some(wish) => {
                wishes.insert(name, wish);
                self.changed.notify_one();
            }
            None => {
                wishes.remove(&name);
            }
        }
    }

    pub(crate) fn get(&self, name: &EgressName) -> Option<Wish> {
        self.wishes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn names(&self) -> Vec<EgressName> {
        self.wishes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Forgets a wish that was fulfilled, unless there is a newer one.
    fn fulfilled(&self, name: &EgressName, object: &Arc<Packed<Egress>>) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        if wishes
            .get(name)
            .is_some_and(|(newer, _)| Arc::ptr_eq(newer, object))
        {
            wishes.remove(name);
        }
    }
}

/// Writes what is wished, for ever.
pub async fn write(
    client: Client,
    me: NodeName,
    statuses: Statuses,
    metrics: Metrics,
    pulse: Pulse,
) {
    let api: Api<Egress> = Api::all(client);
    let mut retries = Retries::new(BACKOFF, MOST_RETRIES);
    let mut rests = Retries::new(REST, MOST_RETRIES);
    let mut under_way = FuturesUnordered::new();
    let mut queue = Vec::new();
    let mut busy = std::collections::BTreeSet::new();
    loop {
        pulse.beat();
        while under_way.len() < AT_ONCE
            && let Some(name) = queue.pop()
        {
            let Some((object, report)) = statuses.get(&name) else {
                continue;
            };
            let is_resting = report != Report::LetGo && rests.is_waiting(&name);
            if !is_resting && busy.insert(name.clone()) {
                under_way.push(write_one(&api, &me, name, object, report));
            }
        }
        tokio::select! {
            () = pulse.due() => {}
            () = statuses.changed.notified() => queue = statuses.names(),
            name = retries.next() => queue.push(name),
            name = rests.next() => match statuses.get(&name) {
                Some(_) => queue.push(name),
                None => rests.forget(&name),
            },
            Some((name, object, result)) = under_way.next(), if !under_way.is_empty() => {
                busy.remove(&name);
                metrics.count_write("egress_status", &result);
                if settle(&statuses, &name, &object, result) {
                    retries.forget(&name);
                    if !rests.failed(name.clone()) {
                        warn!("too many statuses are written: one more is not held back");
                    }
                    // A newer wish may have come meanwhile.
                    queue.push(name);
                } else if !retries.failed(name) {
                    warn!("too many statuses wait to be written");
                }
            }
        }
    }
}

type Outcome = Result<(), egret_runtime::apply::Error>;

async fn write_one(
    api: &Api<Egress>,
    me: &NodeName,
    name: EgressName,
    object: Arc<Packed<Egress>>,
    report: Report,
) -> (EgressName, Arc<Packed<Egress>>, Outcome) {
    let result = try_write(api, me, &name, &object, report).await;
    (name, object, result)
}

async fn try_write(
    api: &Api<Egress>,
    me: &NodeName,
    name: &EgressName,
    packed: &Packed<Egress>,
    report: Report,
) -> Outcome {
    let (object, now) = (packed.unpack()?, Timestamp::now());
    match report {
        Report::Holds(ip) => {
            let how = How {
                manager: MANAGER,
                part: Part::Status,
                force: true,
                if_unchanged: true,
            };
            let wanted = holds(&object, me, ip, now);
            let written = apply(api, name.as_str(), Some(&object), &wanted, how).await;
            written.map(drop)
        }
        // Also what another manager has written: that of an earlier installation, or of Antrea.
        Report::LetGo => {
            let patch = let_go(&object, me, now);
            amend(api, &object, &patch, MANAGER, Part::Status).await
        }
    }
}

/// Whether the wish is done with: written, or overtaken (what overtook it is read, and brings a new wish if need be).
fn settle(
    statuses: &Statuses,
    name: &EgressName,
    object: &Arc<Packed<Egress>>,
    result: Outcome,
) -> bool {
    match result {
        Ok(()) => debug!(egress = %name, "status written"),
        Err(error) if error.is_conflict() || error.is_not_found() => {
            debug!(egress = %name, "status overtaken");
        }
        Err(error) => {
            let error = egret_runtime::describe(&error);
            warn!(egress = %name, error, "cannot write the status, will retry");
            return false;
        }
    }
    statuses.fulfilled(name, object);
    true
}

/// The fields of the status that the agents own, on the holder.
fn holds(object: &Egress, me: &NodeName, ip: IpAddr, now: Timestamp) -> Value {
    let said = assigned_is(object, true, "Assigned", format!("{ip} is on {me}"));
    json!({"status": {
        "egressNode": me.as_str(),
        "egressIP": ip.to_string(),
        "conditions": [recorded(object, said, now)],
    }})
}

/// What is to be changed in the status when nobody holds the IP any more.
fn let_go(object: &Egress, me: &NodeName, now: Timestamp) -> Value {
    let message = format!("{me} has let the egress IP go and no other node holds it");
    let said = assigned_is(object, false, "Withdrawn", message);
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let others = conditions.filter(|other| other.type_ != Type::IpAssigned.as_str());
    let conditions: Vec<_> = others
        .map(|other| json!(other))
        .chain([recorded(object, said, now)])
        .collect();
    json!({"status": {"egressNode": null, "egressIP": null, "conditions": conditions}})
}

fn assigned_is(object: &Egress, is_true: bool, reason: &'static str, message: String) -> Condition {
    Condition {
        kind: Type::IpAssigned,
        is_true,
        reason,
        message,
        observed_generation: object.metadata.generation.unwrap_or_default(),
    }
}

fn recorded(object: &Egress, condition: Condition, now: Timestamp) -> Value {
    let old: Vec<_> = object.status.iter().filter_map(assigned).collect();
    let Recorded {
        kind,
        is_true,
        reason,
        message,
        observed_generation,
        since,
    } = merge(&old, condition, now.as_second());
    let since = Timestamp::from_second(since).unwrap_or(now);
    json!({
        "type": kind.as_str(),
        "status": if is_true { "True" } else { "False" },
        "reason": reason,
        "message": message,
        "observedGeneration": observed_generation,
        "lastTransitionTime": since.to_string(),
    })
}

/// The condition `IPAssigned` as it stands.
fn assigned(status: &EgressStatus) -> Option<Recorded> {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == Type::IpAssigned.as_str())?;
    Some(Recorded {
        kind: Type::IpAssigned,
        is_true: condition.status == "True",
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        observed_generation: condition.observed_generation.unwrap_or_default(),
        since: condition.last_transition_time.0.as_second(),
    })
}

#[cfg(test)]
mod tests;
