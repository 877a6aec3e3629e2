//! What an agent gets to know.
//!
//! Owns the values that stand for objects, addresses and peers as they were last seen. Never interprets them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{ClusterNode, Pod};
use crate::egress::Egress;
use crate::name::{EgressName, NamespaceName, NodeName, PodName, PoolName};
use crate::net::Cidr;
use crate::ownership::Holding;
use crate::selector::{Labels, Selector};

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

/// Something that is so, or is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// An Egress was made or changed.
    Egress(Box<EgressFact>),
    /// An Egress is gone.
    EgressGone(EgressName),
    /// A pool was made or its node selector changed.
    Pool(PoolName, Selector),
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
