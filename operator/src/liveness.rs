//! What agents tell of each other and of themselves, and how long it has been so.
//!
//! Owns the looks at `EgressNode` objects and Leases, and their pace. It looks anew each time instead of following a
//! watch: only what was seen in answers without a break can have lasted, and a watch is silent too when the API server
//! is away. By then every Lease would seem to have run out. Never decides what follows.

mod judge;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egret_crds::{EgressNode, EgressNodeStatus};
use egret_domain::control::Fact;
use egret_domain::name::NodeName;
use egret_runtime::apply::{Error, within_limit};
use egret_runtime::describe;
use egret_runtime::home::NAMESPACE;
use egret_runtime::live::Pulse;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::warn;

use self::judge::Judge;
use crate::feed::{Message, Sink};

/// As often as an agent renews its Lease.
const LEASES_EVERY: Duration = Duration::from_secs(10);
/// While some report has not lasted long enough yet, and after news.
const REPORTS_EVERY: Duration = Duration::from_secs(1);
/// The Leases of agents, among others.
const OF_AGENTS: &str = "app.kubernetes.io/component=agent";

/// The nodes that an agent misses, and since when by its clock.
type Since = BTreeMap<NodeName, Timestamp>;

/// What agents are known to report. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reported(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    missed: Mutex<BTreeMap<NodeName, Since>>,
    has_news: Notify,
}

impl Reported {
    /// Notes the report of a node; `None` where there is none any more.
    pub(crate) fn note(&self, by: &NodeName, report: Option<&EgressNodeStatus>) {
        let now = report.map(missed).unwrap_or_default();
        let mut known = self.0.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if now.is_empty() {
            known.remove(by).unwrap_or_default()
        } else {
            known.insert(by.clone(), now.clone()).unwrap_or_default()
        };
        if before != now {
            self.0.has_news.notify_one();
        }
    }
}

fn missed(report: &EgressNodeStatus) -> Since {
    let missed = report.peers_down.iter();
    missed
        .map(|peer| (peer.node.as_str().into(), peer.since.0))
        .collect()
}

/// Tells who is missed and who shows life, for ever.
pub async fn watch_over(client: Client, reported: Reported, sink: Sink, pulse: Pulse) {
    let mut judge = Judge::default();
    let mut leases = interval(LEASES_EVERY);
    leases.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looked, mut is_due) = (Instant::now(), true);
    loop {
        // The Leases are looked at more often than a pulse is due.
        pulse.beat();
        let facts = tokio::select! {
            () = reported.0.has_news.notified() => {
                is_due = true;
                Vec::new()
            }
            _ = leases.tick() => match renewals(&client).await {
                Ok(renewals) => judge.look_at_leases(renewals),
                Err(error) => blind(&mut judge, &error),
            },
            () = sleep_until(looked + REPORTS_EVERY), if is_due || judge.is_waiting() => {
                let answer = reports(&client).await;
                looked = Instant::now();
                is_due = answer.is_err();
                match answer {
                    Ok(reports) => judge.look_at_reports(reports, looked),
                    Err(error) => blind(&mut judge, &error),
                }
            }
        };
        for fact in facts {
            if sink.send(Message::Fact(fact)).await.is_err() {
                return;
            }
        }
    }
}

fn blind(judge: &mut Judge, error: &Error) -> Vec<Fact> {
    let error = describe(error);
    warn!(error, "cannot see which agents are alive, will look again");
    judge.could_not_look()
}

/// Each agent's Lease: when it was renewed, by the agent's clock.
async fn renewals(client: &Client) -> Result<BTreeMap<NodeName, Option<Timestamp>>, Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let leases = within_limit(api.list(&ListParams::default().labels(OF_AGENTS))).await?;
    let renewed = |lease: &Lease| Some(lease.spec.as_ref()?.renew_time.as_ref()?.0);
    let leases = leases.items.iter();
    Ok(leases
        .map(|lease| (lease.name_any().as_str().into(), renewed(lease)))
        .collect())
}

/// Whom each agent misses. A report that cannot be read says nothing.
async fn reports(client: &Client) -> Result<BTreeMap<NodeName, Since>, Error> {
    let kind = ApiResource::erase::<EgressNode>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let nodes = within_limit(api.list(&ListParams::default())).await?;
    let nodes = nodes.items.iter();
    Ok(nodes
        .map(|node| {
            let status = node.data.get("status");
            let status = status.and_then(|status| EgressNodeStatus::deserialize(status).ok());
            let missed = status.as_ref().map(missed).unwrap_or_default();
            (node.name_any().as_str().into(), missed)
        })
        .collect())
}

#[cfg(test)]
mod tests;
