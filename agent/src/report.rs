//! The node's report on itself: its `EgressNode` object.
//!
//! Owns what stands there and how often it is written: only news, and not more than once in a while. Never reports on
//! other nodes' behalf.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use egret_crds::EgressNode;
use egret_crds::keyring::Keyring;
use egret_crds::node::DISABLED;
use egret_domain::name::{EgressName, NodeName};
use egret_domain::net::Cidr;
use egret_domain::node::Index;
use egret_runtime::apply::{How, Part, apply, within_limit};
use jiff::Timestamp;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::kernel::{Error, links};

const MANAGER: &str = "egret-agent";
/// News are written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// Of the networks that a node is in, more are not reported.
const MOST_SUBNETS: usize = 64;

/// What a node reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeReport {
    held: BTreeSet<IpAddr>,
    pods: usize,
    overlapped: BTreeSet<EgressName>,
    /// Where Egress is off: whether nothing of Egret is left here.
    off: Option<bool>,
    /// The check that failed, and what to do.
    failed: Option<(&'static str, String)>,
    /// Whether there is anything to report yet.
    is_known: bool,
}

impl NodeReport {
    /// What the index says, and what failed.
    pub fn of(index: &Index, failed: Option<(&'static str, String)>) -> Self {
        Self {
            held: index.held(),
            pods: index.pods_served(),
            overlapped: index.overlapped(),
            failed,
            off: None,
            is_known: true,
        }
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
}

/// Writes the report whenever it has news, for ever.
pub async fn write(
    client: Client,
    me: NodeName,
    address: IpAddr,
    mut reports: watch::Receiver<NodeReport>,
    mut keys: watch::Receiver<Keyring>,
) {
    let api: Api<EgressNode> = Api::all(client);
    loop {
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            Ok(()) = keys.changed() => {}
        }
        loop {
            let report = reports.borrow_and_update().clone();
            let keys = keys.borrow_and_update().digests();
            if !report.is_known || try_write(&api, &me, address, &report, &keys).await {
                break;
            }
            sleep(WRITE_EVERY).await;
        }
        sleep(WRITE_EVERY).await;
    }
}

async fn try_write(
    api: &Api<EgressNode>,
    me: &NodeName,
    address: IpAddr,
    report: &NodeReport,
    keys: &[String],
) -> bool {
    match write_once(api, me, address, report, keys).await {
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
    api: &Api<EgressNode>,
    me: &NodeName,
    address: IpAddr,
    report: &NodeReport,
    keys: &[String],
) -> Result<(), egret_runtime::apply::Error> {
    let how = |part| How {
        manager: MANAGER,
        part,
        force: true,
        if_unchanged: false,
    };
    let name = me.as_str();
    let found = within_limit(api.get_opt(name)).await?;
    let object = match found {
        Some(object) => Some(object),
        None => apply(api, name, None, &json!({}), how(Part::Object)).await?,
    };
    let subnets = subnets().await;
    let now = Timestamp::now();
    let wanted = wanted(object.as_ref(), address, &subnets, report, keys, now);
    apply(api, name, object.as_ref(), &wanted, how(Part::Status))
        .await
        .map(drop)
}

/// The networks that this node is in, as texts.
async fn subnets() -> Vec<String> {
    match try_subnets().await {
        Ok(subnets) => {
            let shown = subnets.iter().take(MOST_SUBNETS);
            shown.map(ToString::to_string).collect()
        }
        Err(error) => {
            warn!(
                error = egret_runtime::describe(&error),
                "cannot tell which networks this node is in"
            );
            Vec::new()
        }
    }
}

async fn try_subnets() -> Result<BTreeSet<Cidr>, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
    let connection = tokio::spawn(connection);
    let subnets = links::subnets(&handle).await;
    connection.abort();
    subnets
}

fn wanted(
    object: Option<&EgressNode>,
    address: IpAddr,
    subnets: &[String],
    report: &NodeReport,
    keys: &[String],
    now: Timestamp,
) -> Value {
    let failed = report.failed.iter();
    let failed: Vec<_> = failed
        .map(|(name, message)| json!({"name": name, "message": message}))
        .collect();
    json!({"status": {
        "version": env!("CARGO_PKG_VERSION"),
        "tunnelAddress": address.to_string(),
        "subnets": subnets,
        "egressIPs": report.held.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "egressIPCount": report.held.len(),
        "pods": report.pods,
        "overlapped": report.overlapped.iter().map(EgressName::as_str).collect::<Vec<_>>(),
        "failedChecks": failed,
        "gossipKeys": keys,
        "conditions": [ready(object, report, now)],
    }})
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
        "lastTransitionTime": since.to_string(),
    })
}
