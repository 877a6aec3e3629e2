//! What an agent gets to know.
//!
//! Owns the values that stand for objects, addresses and peers as they were last seen. Never interprets them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{ClusterNode, Pod};
use crate::egress::{Egress, Mode, WhenUnavailable};
use crate::name::{EgressName, NamespaceName, NodeName, PodName, PoolName};
use crate::net::{Cidr, Family};
use crate::ownership::Holding;
use crate::pool::PoolSpec;
use crate::selector::{AppliedTo, Labels, Selector};

/// An Egress and what its status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressFact {
    /// The spec.
    pub egress: Egress,
    /// Whether the operator has accepted the IP in the spec: until then it is a wish. Of no meaning for a static Egress.
    pub is_allocated: bool,
    /// `status.candidates`.
    pub candidates: Vec<NodeName>,
    /// `status.egressNode` and `status.egressIP`.
    pub reported: Option<Holding>,
}

/// An Egress whose spec cannot be used: what was known of that stands, but the object may go, and be held or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableEgress {
    /// The object's name.
    pub name: EgressName,
    /// The object's UID.
    pub uid: String,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// The Pods that are selected, where that can be told: if no more was ever known, their traffic is dropped.
    pub applied_to: Option<AppliedTo>,
    /// `status.candidates`.
    pub candidates: Vec<NodeName>,
    /// `status.egressNode` and `status.egressIP`.
    pub reported: Option<Holding>,
}

impl UnusableEgress {
    /// The same as an Egress that waits for an IP.
    pub(super) fn without_ip(self) -> EgressFact {
        EgressFact {
            egress: Egress {
                name: self.name,
                uid: self.uid,
                generation: 0,
                created: self.created,
                deleting: self.deleting,
                applied_to: self.applied_to.unwrap_or_default(),
                mode: Mode::Pooled {
                    pool: PoolName::from(""),
                    ip: None,
                },
                priority: 0,
                when_unavailable: WhenUnavailable::Drop,
                except: Vec::new(),
                bandwidth: None,
            },
            is_allocated: false,
            candidates: self.candidates,
            reported: self.reported,
        }
    }
}

/// A pool as an agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The nodes that may hold its addresses.
    pub nodes: Selector,
    /// The families of its addresses.
    pub families: BTreeSet<Family>,
}

impl From<&PoolSpec> for Pool {
    fn from(spec: &PoolSpec) -> Self {
        let ranges = spec.ranges.iter();
        Self {
            nodes: spec.nodes.clone(),
            families: ranges.map(|range| range.bounds().family()).collect(),
        }
    }
}

/// Something that is so, or is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// An Egress was made or changed.
    Egress(Box<EgressFact>),
    /// An Egress was made or changed, and its spec cannot be used.
    EgressUnusable(Box<UnusableEgress>),
    /// An Egress is gone.
    EgressGone(EgressName),
    /// A pool was made or changed.
    Pool(PoolName, Pool),
    /// A pool is gone.
    PoolGone(PoolName),
    /// A Pod of this node was made or changed.
    Pod(Pod),
    /// A Pod of this node is gone, has ended, or has no address of its own.
    PodGone(PodName),
    /// A namespace was made or its labels changed.
    Namespace(NamespaceName, Labels),
    /// A namespace is gone.
    NamespaceGone(NamespaceName),
    /// A node was made or changed.
    Node(Box<ClusterNode>),
    /// A node is gone.
    NodeGone(NodeName),
    /// The Service networks, all of them.
    ServiceCidrs(Vec<Cidr>),
    /// The addresses on this node's links, without Egret's own.
    LocalAddresses(BTreeSet<IpAddr>),
    /// The nodes whose agents answer.
    Alive {
        /// They, this node among them.
        nodes: BTreeSet<NodeName>,
        /// Whether silence may be taken for absence.
        settled: bool,
    },
}
