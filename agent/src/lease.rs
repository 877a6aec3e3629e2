//! The agent's sign of life: a Lease named after its node, as kubelets have one.
//!
//! Owns how often it is renewed. Slow on purpose: failover does not depend on it. It is there for the operator to know
//! of an agent of which no other agent can tell. Never read by agents.

use std::time::Duration;

use egret_domain::name::NodeName;
use egret_runtime::apply::{Error, How, Part, apply};
use egret_runtime::home::NAMESPACE;
use egret_runtime::live::Pulse;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use crate::owner;

const HOW: How = How {
    manager: "egret-agent",
    part: Part::Object,
    force: true,
    if_unchanged: false,
};
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// As long as four renewals: one may fail.
const DURATION_S: u64 = 4 * RENEW_EVERY.as_secs();
/// Several tries fit between two renewals.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A Lease as it was written, and whose it is.
struct Written {
    lease: Lease,
    owner: Value,
}

/// Renews the Lease, for ever.
pub async fn renew(client: Client, me: NodeName, pulse: Pulse) {
    let mut written = None;
    let mut due = interval(RENEW_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Due more often than a pulse.
        due.tick().await;
        pulse.beat();
        while let Err(error) = renew_once(&client, &me, &mut written).await {
            pulse.beat();
            // It may have gone with a Node that has come again: then it is another's.
            written = None;
            let error = egret_runtime::describe(&error);
            warn!(error, "cannot renew the agent's Lease, will retry");
            sleep(RETRY_AFTER).await;
        }
    }
}

async fn renew_once(
    client: &Client,
    me: &NodeName,
    written: &mut Option<Written>,
) -> Result<(), Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let owner = match written.as_ref() {
        Some(Written { owner, .. }) => owner.clone(),
        None => owner::of_what_this_node_makes(client, me).await?,
    };
    let before = written.as_ref().map(|written| &written.lease);
    let wanted = wanted(me, &owner, Timestamp::now());
    if let Some(lease) = apply(&api, me.as_str(), before, &wanted, HOW).await? {
        *written = Some(Written { lease, owner });
    }
    Ok(())
}

fn wanted(me: &NodeName, owner: &Value, now: Timestamp) -> Value {
    // The operator looks at Leases of agents only.
    let labels = json!({"app.kubernetes.io/component": "agent"});
    json!({
        "metadata": {"labels": labels, "ownerReferences": owner},
        "spec": {
            "holderIdentity": me.as_str(),
            "leaseDurationSeconds": DURATION_S,
            "renewTime": MicroTime(now),
        },
    })
}

#[cfg(test)]
mod tests;
