//! The operator's replicas: which of them leads, what can happen to one, and what it says of itself.

use anyhow::{Context, Result};

use super::Lab;
use crate::patience::wait_until;

/// Where a replica says how it is.
const ADMIN_PORT: u16 = 6090;

/// A replica's Pod.
struct Replica {
    pod: String,
    address: String,
    node: String,
}

impl Lab {
    /// The replica that the Lease names.
    pub fn leader(&self) -> Result<u8> {
        let holder = self.lease("{.spec.holderIdentity}")?;
        let pod = holder.split('_').next().unwrap_or_default();
        let mut numbered = (1..).zip(self.replicas()?);
        let leader = numbered.find(|(_, replica)| replica.pod == pod);
        let (number, _) = leader.with_context(|| format!("the Lease is held by {holder:?}"))?;
        Ok(number)
    }

    /// Waits until another replica than this leads.
    pub fn wait_for_other_leader(&self, former: u8) -> Result<u8> {
        let what = format!("another replica than {former} leads");
        wait_until(&what, || self.leader(), |leader| *leader != former)
    }

    /// The replicas' Pods: the lab numbers them in the order of their nodes.
    fn replicas(&self) -> Result<Vec<Replica>> {
        let template = "jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name} {.status.podIP}{\"\\n\"}{end}";
        let chosen = ["-l", "app.kubernetes.io/component=operator"];
        let get = ["-n", "egret-system", "get", "pods"];
        let lines = self.kubectl(&[&get[..], &chosen, &["-o", template]].concat())?;
        let mut lines: Vec<_> = lines.lines().collect();
        lines.sort_unstable();
        let replica = |line: &&str| {
            let mut words = line.split(' ').map(str::to_owned);
            let (node, pod, address) = (words.next()?, words.next()?, words.next()?);
            Some(Replica { pod, address, node })
        };
        Ok(lines.iter().filter_map(replica).collect())
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
        let mut numbered = (1..).zip(self.replicas()?);
        let found = numbered.find(|(number, _)| *number == replica);
        let (_, Replica { address, node, .. }) = found.context("there is no such replica")?;
        let ask = format!(
            "exec 3<>/dev/tcp/{address}/{ADMIN_PORT}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
        );
        let node = format!("node/{node}");
        let metrics = self.ask(&["exec", &node, "--", "bash", "-c", &ask])?;
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
