//! Objects as somebody wants them to be, or as they are stored.
//!
//! Owns the values: of each object what is legible, and what is wrong with the rest. Never interprets more than one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::name::{EgressName, NodeName, PoolName};
use crate::net::Cidr;
use crate::node::ClusterNode;
use crate::pool::PoolSpec;
use crate::problem::Problem;
use crate::selector::AppliedTo;

/// Something that is so, or is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// An Egress is stored.
    Egress(Box<EgressDraft>),
    /// An Egress is gone.
    EgressGone(EgressName),
    /// A pool is stored.
    Pool(Box<PoolDraft>),
    /// There is a pool, but nobody can read it. What was known of it stands.
    PoolUnreadable(PoolName),
    /// A pool is gone.
    PoolGone(PoolName),
    /// A node was made or changed.
    Node(Box<ClusterNode>),
    /// A node is gone.
    NodeGone(NodeName),
    /// The subnets that a node is in, as it reports them itself.
    NodeSubnets(NodeName, Vec<Cidr>),
}

/// An Egress, as far as it is legible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressDraft {
    /// The object's name, or how it will begin.
    pub name: EgressName,
    /// Creation time in Unix seconds; one that is not stored yet is younger than all that are.
    pub created: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// `spec.externalIPPool`.
    pub pool: Option<PoolName>,
    /// `spec.egressIP`.
    pub ip: Option<IpAddr>,
    /// Whether it names no address in any way, not even in one that is refused.
    pub lacks_address: bool,
    /// The address that a node holds for it, by its status.
    pub held: Option<IpAddr>,
    /// Whether nothing is stored in the end (`--dry-run=server`, and so `kubectl diff`): then what it needs may be tried out
    /// with it, and not be stored either.
    pub is_rehearsed: bool,
    /// `spec.appliedTo`, if it is legible.
    pub applied_to: Option<AppliedTo>,
    /// `spec.priority`.
    pub priority: i32,
    /// What is wrong with it by itself.
    pub problems: Vec<Problem>,
    /// What is legal, but probably not meant.
    pub remarks: Vec<Problem>,
}

impl EgressDraft {
    /// The addresses that it shows.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        [self.ip, self.held].into_iter().flatten().collect()
    }
}

/// A pool, as far as it is legible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolDraft {
    /// What of it is legible.
    pub spec: PoolSpec,
    /// For each of its ranges the place in `spec.ipRanges`: what is illegible is missing among them.
    pub places: Vec<usize>,
    /// Whether all of its addresses are legible: ranges, subnet and what is excluded.
    pub has_all_addresses: bool,
    /// Whether its node selector is legible.
    pub has_nodes: bool,
    /// Whether it is marked as the pool for Egresses that name none.
    pub is_default: bool,
    /// What is wrong with it by itself.
    pub problems: Vec<Problem>,
    /// What is legal, but probably not meant.
    pub remarks: Vec<Problem>,
}
