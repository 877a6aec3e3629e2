//! Placement: which nodes may hold an egress IP, and in which order.
//!
//! Owns eligibility and ranking, for the operator and for agents that must go on without it. Never knows which nodes
//! are alive, nor how many egress IPs each holds: its caller counts them.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::IpAddr;

use xxhash_rust::xxh3::Xxh3;

use crate::name::{NodeName, PoolName};
use crate::net::Family;
use crate::selector::{Labels, Selector};

/// The well-known label of a node's zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

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
    pub is_fit: bool,
    /// The families of its own addresses; none as long as it has none.
    pub families: BTreeSet<Family>,
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
            is_fit: true,
            families: BTreeSet::new(),
        }
    }

    /// Whether it can hold this IP: without an address of its family it is not reached for it. One of which no address is
    /// known yet has nothing against it.
    pub fn can_hold(&self, ip: IpAddr) -> bool {
        self.families.is_empty() || self.families.contains(&Family::of(ip))
    }

    /// The zone that it is in, if that is told.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get(ZONE_LABEL).map(String::as_str)
    }

    /// What of it the order of candidates depends on: whoever keeps such an order makes it anew when this changes.
    pub fn standing(&self) -> (usize, Option<&str>, &BTreeSet<Family>) {
        (self.max_egress_ips, self.zone(), &self.families)
    }
}

/// Whether a node may hold egress IPs of a pool with this node selector.
pub(crate) fn eligible(pool_nodes: &Selector, node: &Node) -> bool {
    let is_gateway = node.is_linux && node.is_fit && node.max_egress_ips > 0;
    let is_leaving = node.is_cordoned || node.is_deleting;
    is_gateway && !is_leaving && pool_nodes.matches(&node.labels)
}

/// Eligible nodes in the order in which they may hold the IP, for agents that go on without the operator: see [`Score`].
///
/// The order does not depend on the order of `nodes`, and a node that comes or goes changes nothing between the others.
/// `nodes` are those that are [`eligible`].
pub fn rank<'a>(
    pool: &PoolName,
    ip: IpAddr,
    nodes: impl Iterator<Item = &'a Node>,
) -> Vec<NodeName> {
    let mut scores: Vec<_> = nodes.map(|node| Score::of(pool, ip, node)).collect();
    scores.sort_unstable();
    let names = scores.into_iter();
    names.map(|score| score.node.name.clone()).collect()
}

/// The candidates of an IP, at most [`CANDIDATES`].
///
/// The first is `place`, if it is given: the node that holds the IP, or should. The others follow by score, but each is in
/// another zone than the one before it, where there is such a node. `nodes` are those that may be in the list.
pub fn candidates<'a>(
    pool: &PoolName,
    ip: IpAddr,
    place: Option<&'a Node>,
    nodes: impl Iterator<Item = &'a Node>,
) -> Vec<&'a Node> {
    let is_place = |node: &Node| place.is_some_and(|place| place.name == node.name);
    let others = nodes.filter(|node| !is_place(node));
    let mut left: Vec<_> = others.map(|node| Score::of(pool, ip, node)).collect();
    let mut chosen: Vec<&Node> = place.into_iter().collect();
    while chosen.len() < CANDIDATES {
        let zone = chosen.last().map(|last| last.zone());
        let best = left
            .iter()
            .enumerate()
            .min_by_key(|(_, score)| (zone == Some(score.node.zone()), *score));
        let Some((position, _)) = best else {
            break;
        };
        chosen.push(left.swap_remove(position).node);
    }
    chosen
}

/// How near a node is to an IP: the least is the first.
///
/// Rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998): each node has a
/// hash with each IP of each pool. Read as a number `u` between 0 and 1, `-log(u)` is an exponential variate, and divided
/// by a weight the least of several is each node's with a chance in proportion to its weight. The weight is the number of
/// egress IPs that the node may hold: not what of it is free, for then each one given would move others.
#[derive(Debug, Clone, Copy)]
pub struct Score<'a> {
    hash: u64,
    node: &'a Node,
}

impl<'a> Score<'a> {
    /// The score of a node.
    pub fn of(pool: &PoolName, ip: IpAddr, node: &'a Node) -> Self {
        Self {
            hash: hash(pool, ip, &node.name),
            node,
        }
    }

    fn weight(&self) -> u128 {
        self.node.max_egress_ips as u128
    }
}

impl Ord for Score<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // As fractions, multiplied out: no rounding, the same on every machine. Of one weight, as nodes mostly are, the
        // hashes have the order of the exponents.
        let by_weight = if self.weight() == other.weight() {
            Ordering::Equal
        } else {
            let mine = u128::from(exponent(self.hash)) * other.weight();
            mine.cmp(&(u128::from(exponent(other.hash)) * self.weight()))
        };
        by_weight
            .then_with(|| other.hash.cmp(&self.hash))
            .then_with(|| self.node.name.cmp(&other.node.name))
    }
}

impl PartialOrd for Score<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score<'_> {}

/// Bits behind the point of [`exponent`].
const FRACTION: u32 = 24;

/// `-log2(hash / 2^64)` with a fixed point. In integers, since the logarithms of floating-point libraries differ in
/// their last bits, and nodes have to agree. A higher hash never gives a higher one, so that the order between nodes of
/// one weight is that of their hashes.
fn exponent(hash: u64) -> u64 {
    let hash = hash.max(1);
    let zeros = hash.leading_zeros();
    let mut mantissa = u128::from(hash << zeros);
    let mut log = u64::from(u64::BITS - 1 - zeros);
    for _ in 0..FRACTION {
        // The square of a number from 1 to 2 is over 2 just if its logarithm is over a half.
        mantissa = (mantissa * mantissa) >> (u64::BITS - 1);
        let carry = mantissa >> u64::BITS;
        mantissa >>= carry;
        log = log << 1 | u64::from(carry != 0);
    }
    (u64::from(u64::BITS) << FRACTION) - log
}

/// The same in every process and version, or egress IPs would move on an upgrade.
fn hash(pool: &PoolName, ip: IpAddr, node: &NodeName) -> u64 {
    #[cfg(test)]
    work::count();
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

/// How much work is done, for tests of what a change costs.
#[cfg(test)]
pub(crate) mod work {
    use std::cell::Cell;

    thread_local! {
        static HASHES: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        HASHES.set(HASHES.get() + 1);
    }

    /// The hashes made since the last call.
    pub(crate) fn take() -> usize {
        HASHES.take()
    }
}

#[cfg(test)]
mod tests;
