//! Objects as `kubectl get -o json` shows them.
//!
//! Owns only the fields that a suite looks at. Written down a second time on purpose: a field that Egret renames by
//! mistake is found here.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde::Deserialize;

/// A list of objects.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    /// They.
    pub items: Vec<T>,
}

/// What every object has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Since when it is being deleted.
    pub deletion_timestamp: Option<String>,
    /// Counts the changes of its spec.
    #[serde(default)]
    pub generation: i64,
    /// Changes with every write.
    #[serde(default)]
    pub resource_version: String,
}

/// A condition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it speaks of.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The generation of the object that it speaks of.
    #[serde(default)]
    pub observed_generation: i64,
}

/// An Egress.
#[derive(Debug, Clone, Deserialize)]
pub struct Egress {
    /// Its name.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: EgressSpec,
    /// What is so.
    #[serde(default)]
    pub status: EgressStatus,
}

/// What was asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressSpec {
    /// The address asked for or allocated.
    #[serde(rename = "egressIP")]
    pub egress_ip: Option<String>,
    /// The pool that it is from.
    #[serde(rename = "externalIPPool")]
    pub external_ip_pool: Option<String>,
}

/// What is so.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressStatus {
    /// The egress IP in force.
    #[serde(rename = "egressIP")]
    pub egress_ip: Option<String>,
    /// The gateway.
    pub egress_node: Option<String>,
    /// The nodes that may be the gateway, first those that should.
    #[serde(default)]
    pub candidates: Vec<String>,
    /// Why it is so.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

impl Egress {
    /// The egress IP in force and the node that has it, when both are told.
    pub fn held(&self) -> Option<(&str, &str)> {
        let EgressStatus {
            egress_ip,
            egress_node,
            ..
        } = &self.status;
        Some((egress_ip.as_deref()?, egress_node.as_deref()?))
    }

    /// Whether all is well with it.
    pub fn is_ready(&self) -> bool {
        is_true(&self.status.conditions, "Ready")
    }

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        find(&self.status.conditions, kind)
    }
}

/// A pool.
#[derive(Debug, Clone, Deserialize)]
pub struct Pool {
    /// Its name.
    pub metadata: Metadata,
    /// What it has.
    pub spec: PoolSpec,
    /// What is so.
    #[serde(default)]
    pub status: PoolStatus,
}

/// What it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// Its ranges.
    pub ip_ranges: Vec<IpRange>,
}

/// A range of addresses, if it is written as its first and last.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IpRange {
    /// The first.
    pub start: Option<Ipv4Addr>,
    /// The last.
    pub end: Option<Ipv4Addr>,
}

/// What is so.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PoolStatus {
    /// How much of it is in use.
    pub usage: Option<Usage>,
    /// Why it is so.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

impl Pool {
    /// Its first range.
    pub fn range(&self) -> Option<RangeInclusive<Ipv4Addr>> {
        let range = self.spec.ip_ranges.first()?;
        Some(range.start?..=range.end?)
    }

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        find(&self.status.conditions, kind)
    }

    /// Whether it says that it has no address left.
    pub fn is_exhausted(&self) -> bool {
        is_true(&self.status.conditions, "Exhausted")
    }
}

/// How much of a pool is in use, in addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// All.
    pub total: i64,
    /// Taken.
    pub used: i64,
}

/// A node's report on itself.
#[derive(Debug, Clone, Deserialize)]
pub struct EgressNode {
    /// Its name.
    pub metadata: Metadata,
    /// What is so.
    #[serde(default)]
    pub status: EgressNodeStatus,
}

/// What is so.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressNodeStatus {
    /// How many addresses of its Pods an Egress selects.
    #[serde(default)]
    pub pods: usize,
    /// The nodes that it does not hear.
    #[serde(default)]
    pub peers_down: Vec<PeerDown>,
    /// Why it is so.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A node that is not heard.
#[derive(Debug, Clone, Deserialize)]
pub struct PeerDown {
    /// It.
    pub node: String,
}

impl EgressNode {
    /// Whether its datapath stands.
    pub fn is_ready(&self) -> bool {
        is_true(&self.status.conditions, "Ready")
    }
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}
