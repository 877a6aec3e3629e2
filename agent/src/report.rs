//! The node's report on itself: its `EgressNode` object.
//!
//! Owns what stands there and how often it is written: only news, and not more than once in a while. Never reports on
//! other nodes' behalf: of them it only says whether their agents answer this one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use egret_crds::EgressNode;
use egret_crds::keyring::Keyring;
use egret_crds::node::DISABLED;
use egret_domain::name::{EgressName, NodeName};
use egret_domain::net::Cidr;
use egret_domain::node::Index;
use egret_runtime::apply::{How, Part, apply, within_limit};
use egret_runtime::live::Pulse;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::kernel::{Error, addresses, links};
use crate::metrics::Metrics;
use crate::owner;

const MANAGER: &str = "egret-agent";
/// News are written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// Without news the report is looked at this often: it may have been deleted, with its Node or by hand.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Of the networks that a node is in, more are not reported.
const MOST_SUBNETS: usize = 64;
/// Of the nodes that it misses, more are not reported: every other node reports them too.
const MOST_MISSED: usize = 256;

/// The nodes that this one misses, since when: their agents do not answer it. The report has them as `peersDown`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed(BTreeMap<NodeName, Timestamp>);

impl Missed {
    /// These are missed now; one that was before has been since then.
    pub fn set(&mut self, missed: BTreeSet<NodeName>, now: Timestamp) {
        let before = std::mem::take(&mut self.0);
        self.0 = missed
            .into_iter()
            .map(|node| {
                let since = before.get(&node).copied().unwrap_or(now);
                (node, since)
            })
            .collect();
    }
}

/// What a node reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeReport {
    held: BTreeSet<IpAddr>,
    pods: usize,
    overlapped: BTreeSet<EgressName>,
    missed: Missed,
    /// Where Egress is off: whether nothing of Egret is left here.
    off: Option<bool>,
    /// The check that failed, and what to do.
    failed: Option<(&'static str, String)>,
    /// Whether there is anything to report yet.
    is_known: bool,
}

impl NodeReport {
    /// What the index says, who is missed, and what failed.
    pub fn of(index: &Index, missed: &Missed, failed: Option<(&'static str, String)>) -> Self {
        Self {
            held: index.held(),
            pods: index.pods_served(),
            overlapped: index.overlapped(),
            missed: missed.clone(),
            failed,
            off: None,
            is_known: true,
        }
    }

    #[cfg(test)]
    pub(crate) fn misses(&self, node: &NodeName) -> bool {
        self.missed.0.contains_key(node)
    }

    /// What there is to tell where Egress is off: whether nothing of Egret is left on this node, and what failed.
    pub fn off(is_clean: bool, failed: Option<(&'static str, String)>) -> Self {
        Self {
            failed,
            off: Some(is_clean),
            is_known: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.failed.is_none() && self.off.is_none()
    }

    pub(crate) fn show(&self, metrics: &Metrics) {
        metrics.show_node(self.pods, self.held.len(), self.failed.is_none());
    }
}

/// Who writes the report.
#[derive(Clone)]
pub struct Writer {
    /// The API server.
    pub client: Client,
    /// This node.
    pub me: NodeName,
    /// Its address, at which the tunnel ends.
    pub address: IpAddr,
    /// Counts the writes.
    pub metrics: Metrics,
}

impl Writer {
    /// Writes the report whenever it or the keys of the gossip have news, for ever.
    pub async fn run(
        self,
        mut reports: watch::Receiver<NodeReport>,
        mut keys: watch::Receiver<Keyring>,
        pulse: Pulse,
    ) {
        loop {
            let news = async {
                tokio::select! {
                    changed = reports.changed() => changed,
                    Ok(()) = keys.changed() => Ok(()),
                }
            };
            if let Ok(Err(_)) = pulse.through(timeout(LOOK_EVERY, news)).await {
                return;
            }
            loop {
                pulse.beat();
                let report = reports.borrow_and_update().clone();
                let digests = keys.borrow_and_update().digests();
                if !report.is_known || self.try_write(&report, &digests).await {
                    break;
                }
                sleep(WRITE_EVERY).await;
            }
            sleep(WRITE_EVERY).await;
        }
    }

    async fn try_write(&self, report: &NodeReport, keys: &[String]) -> bool {
        let network = network().await;
        let result = self.write_once(&network, report, keys).await;
        self.metrics.count_write("node_report", &result);
        match result {
            Ok(()) => true,
            Err(error) => {
                warn!(
                    error = egret_runtime::describe(&error),
                    "cannot write the node's report"
                );
                false
            }
        }
    }

    async fn write_once(
        &self,
        network: &Network,
        report: &NodeReport,
        keys: &[String],
    ) -> Result<(), egret_runtime::apply::Error> {
        let Self {
            client,
            me,
            address,
            ..
        } = self;
        let api: Api<EgressNode> = Api::all(client.clone());
        let how = |part| How {
            manager: MANAGER,
            part,
            force: true,
            if_unchanged: false,
        };
        let name = me.as_str();
        let mut object = within_limit(api.get_opt(name)).await?;
        if object.is_none() {
            let owner = owner::of_what_this_node_makes(client, me).await?;
            let new = json!({"metadata": {"ownerReferences": owner}});
            object = apply(&api, name, None, &new, how(Part::Object)).await?;
        }
        let now = Timestamp::now();
        let wanted = wanted(object.as_ref(), *address, network, report, keys, now);
        apply(&api, name, object.as_ref(), &wanted, how(Part::Status))
            .await
            .map(drop)
    }
}

/// What the kernel says of this node's networks.
#[derive(Debug, Default)]
struct Network {
    /// Those that it is in.
    subnets: BTreeSet<Cidr>,
    /// The tunnel's MTU in bytes.
    mtu: Option<u32>,
}

async fn network() -> Network {
    try_network().await.unwrap_or_else(|error| {
        warn!(
            error = egret_runtime::describe(&error),
            "cannot tell which networks this node is in"
        );
        Network::default()
    })
}

async fn try_network() -> Result<Network, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
    let connection = tokio::spawn(connection);
    let read = async {
        Ok(Network {
            subnets: addresses::subnets(&handle).await?,
            mtu: links::mtu_of_tunnel(&handle).await?,
        })
    };
    let network = read.await;
    connection.abort();
    network
}

fn wanted(
    object: Option<&EgressNode>,
    address: IpAddr,
    network: &Network,
    report: &NodeReport,
    keys: &[String],
    now: Timestamp,
) -> Value {
    let failed = report.failed.iter();
    let missed = report.missed.0.iter().take(MOST_MISSED);
    let always = [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("tunnelAddress", json!(address.to_string())),
        ("egressIPCount", json!(report.held.len())),
        ("pods", json!(report.pods)),
        ("conditions", json!([ready(object, report, now)])),
    ];
    let mtu = network.mtu.map(|mtu| ("mtu", json!(mtu)));
    let lists = [
        ("subnets", texts(network.subnets.iter().take(MOST_SUBNETS))),
        ("egressIPs", texts(&report.held)),
        ("overlapped", texts(&report.overlapped)),
        (
            "failedChecks",
            failed
                .map(|(name, message)| json!({"name": name, "message": message}))
                .collect(),
        ),
        (
            "peersDown",
            missed
                .map(|(node, since)| json!({"node": node.as_str(), "since": Time(*since)}))
                .collect(),
        ),
        ("gossipKeys", texts(keys)),
    ];
    // An empty list is read back as none: writing it would never be done.
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let lists = lists.map(|(field, list)| (field, json!(list)));
    let status: Map<_, _> = always
        .into_iter()
        .chain(mtu)
        .chain(lists)
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
    json!({ "status": status })
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<Value> {
    items
        .into_iter()
        .map(|item| json!(item.to_string()))
        .collect()
}

fn ready(object: Option<&EgressNode>, report: &NodeReport, now: Timestamp) -> Value {
    let status = if report.is_ready() { "True" } else { "False" };
    let before = object
        .and_then(|object| object.status.as_ref())
        .and_then(|status| {
            status
                .conditions
                .iter()
                .find(|condition| condition.type_ == "Ready")
        });
    let since = before.filter(|before| before.status == status);
    let since = since.map_or(now, |before| before.last_transition_time.0);
    let (reason, message) = match (&report.failed, report.off) {
        (Some((_, message)), _) => ("CheckFailed", message.clone()),
        (None, None) => (
            "DatapathReady",
            "the datapath is as it should be".to_owned(),
        ),
        (None, Some(true)) => (
            DISABLED,
            "Egress is off in the configuration, and nothing of Egret is left on this node"
                .to_owned(),
        ),
        (None, Some(false)) => (
            "CleaningUp",
            "Egress is off in the configuration: Egresses that name this node are being told"
                .to_owned(),
        ),
    };
    json!({
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": Time(since),
    })
}

#[cfg(test)]
mod tests;
