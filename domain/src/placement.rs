//! Placement: which nodes may hold an egress IP, and in which order.
//!
//! Owns eligibility and ranking, for the operator and for agents that must go on without it. Never knows which nodes
//! are alive, nor how many egress IPs each holds: its caller counts them.

use std::cmp::Reverse;
use std::net::IpAddr;

use xxhash_rust::xxh3::Xxh3;

use crate::name::{NodeName, PoolName};
use crate::selector::{Labels, Selector};

/// How many candidates an Egress has at most: every entry costs an API write when its node goes.
pub const CANDIDATES: usize = 3;

/// What placement needs to know of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not states of one machine"
)]
pub struct Node {
    /// The object's name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// Whether it runs Linux.
    pub is_linux: bool,
    /// Whether it takes no new Pods (`spec.unschedulable`).
    pub is_cordoned: bool,
    /// Whether deletion has been asked for.
    pub is_deleting: bool,
    /// How many egress IPs of pools it may hold.
    pub max_egress_ips: usize,
    /// What stands on the object for that number, where it is none: the default is taken then.
    pub illegible_limit: Option<String>,
    /// Whether its agent has not reported that it cannot be a gateway.
    pub ready_for_egress: bool,
}

impl Node {
    /// A Linux node without labels that nothing keeps from holding so many egress IPs.
    pub fn linux(name: NodeName, max_egress_ips: usize) -> Self {
        Self {
            name,
            labels: Labels::new(),
            is_linux: true,
            is_cordoned: false,
            is_deleting: false,
            max_egress_ips,
            illegible_limit: None,
            ready_for_egress: true,
        }
    }
}

/// Whether a node may hold egress IPs of a pool with this node selector.
pub fn eligible(pool_nodes: &Selector, node: &Node) -> bool {
    let is_able = node.is_linux && node.ready_for_egress && node.max_egress_ips > 0;
    let is_leaving = node.is_cordoned || node.is_deleting;
    is_able && !is_leaving && pool_nodes.matches(&node.labels)
}

/// Eligible nodes in the order in which they may hold the IP.
///
/// The holder is first while it is among `nodes`, with room or without. The others need room and follow by rendezvous
/// hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998): the highest hash of
/// pool, IP and node wins. So the order does not depend on the order of `nodes`, and a node that comes or goes changes
/// nothing between the others.
///
/// `nodes` are those that are [`eligible`]; the caller takes the first [`CANDIDATES`].
pub fn rank<'a>(
    pool: &PoolName,
    ip: IpAddr,
    holder: Option<&NodeName>,
    nodes: impl Iterator<Item = &'a Node>,
    has_room: impl Fn(&NodeName) -> bool,
) -> Vec<NodeName> {
    let is_holder = |node: &NodeName| holder == Some(node);
    let mut names: Vec<_> = nodes
        .map(|node| &node.name)
        .filter(|name| is_holder(name) || has_room(name))
        .map(|name| (!is_holder(name), Reverse(hash(pool, ip, name)), name))
        .collect();
    names.sort_unstable();
    names.into_iter().map(|(.., name)| name.clone()).collect()
}

/// The same in every process and version, or egress IPs would move on an upgrade. Should nodes ever weigh differently,
/// `-weight / ln(hash / 2^64)` keeps this order for equal weights.
fn hash(pool: &PoolName, ip: IpAddr, node: &NodeName) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(pool.as_str().as_bytes());
    // No name contains this byte, and the address has one of two lengths that the first byte tells: nothing is ambiguous.
    hasher.update(&[0]);
    match ip {
        IpAddr::V4(ip) => {
            hasher.update(&[4]);
            hasher.update(&ip.octets());
        }
        IpAddr::V6(ip) => {
            hasher.update(&[6]);
            hasher.update(&ip.octets());
        }
    }
    hasher.update(node.as_str().as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests;
