//! The operator's replicas: which of them leads, what can happen to one, and what it says of itself.

use anyhow::{Context, Result};

use super::Lab;
use crate::patience::wait_until;

/// Prints what the first process of this node that listens on the operator's admin port says.
const METRICS: &str =
    "exec 3<>/dev/tcp/127.0.0.1/9811; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";

impl Lab {
    /// The replica that the Lease names.
    pub fn leader(&self) -> Result<u8> {
        let holder = self.lease("{.spec.holderIdentity}")?;
        let name = holder.split('_').next().unwrap_or_default();
        let number = name.rsplit('-').next().unwrap_or_default();
        let number = number.parse();
        number.with_context(|| format!("the Lease is held by {holder:?}"))
    }

    /// Waits until another replica than this leads.
    pub fn wait_for_other_leader(&self, former: u8) -> Result<u8> {
        let what = format!("another replica than {former} leads");
        wait_until(&what, || self.leader(), |leader| *leader != former)
    }

    /// A field of the Lease.
    pub fn lease(&self, field: &str) -> Result<String> {
        let path = format!("jsonpath={field}");
        let lease = ["get", "lease", "egret-operator", "-o", &path];
        self.kubectl(&[&["-n", "egret-system"], &lease[..]].concat())
    }

    /// Asks a replica of the operator to end, and starts it again.
    pub fn restart_replica(&self, replica: u8) -> Result<()> {
        self.order(replica, &["restart"])
    }

    /// Kills a replica of the operator and keeps it down until it is restarted.
    pub fn keep_replica_down(&self, replica: u8) -> Result<()> {
        self.order(replica, &["kill", "--stay"])
    }

    /// Stops a replica of the operator in the middle of whatever it does.
    pub fn pause_replica(&self, replica: u8) -> Result<()> {
        self.order(replica, &["stop"])
    }

    /// Lets a stopped replica of the operator go on.
    pub fn continue_replica(&self, replica: u8) -> Result<()> {
        self.order(replica, &["cont"])
    }

    fn order(&self, replica: u8, order: &[&str]) -> Result<()> {
        let replica = replica.to_string();
        self.ask(&[&["operator"], order, &[&replica]].concat())
            .map(drop)
    }

    /// How often a replica of the operator has written something since its start, and whether it says that it leads.
    pub fn replica_says(&self, replica: u8) -> Result<(u64, bool)> {
        let node = format!("node/node-{replica}");
        let metrics = self.ask(&["exec", &node, "--", "bash", "-c", METRICS])?;
        let lines = || metrics.lines().filter_map(|line| line.rsplit_once(' '));
        let is_write = |name: &str| {
            name.starts_with("egret_operator_writes_total{") && name.contains("\"written\"")
        };
        let writes = lines().filter(|(name, _)| is_write(name));
        let writes = writes.filter_map(|(_, count)| count.parse::<u64>().ok());
        let leads = lines().find(|(name, _)| *name == "egret_operator_leader");
        let (_, leads) = leads.context("the operator does not say whether it leads")?;
        Ok((writes.sum(), leads == "1"))
    }
}
