//! What the operator gets to know.
//!
//! Owns the values that stand for objects as they were last seen. Never interprets more than one object.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::verdict::allocated;
use super::{Object, Sign};
use crate::condition::{Recorded, Type};
use crate::name::{EgressName, NodeName, PoolName};
use crate::placement::Node;
use crate::pool::{PoolSpec, Usage};

/// Something that is so, or is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// An Egress was made or changed.
    Egress(Box<EgressFact>),
    /// An Egress is gone. One of the same name that comes later is another.
    EgressGone(EgressName),
    /// A pool was made or changed.
    Pool(Box<PoolFact>),
    /// There is a pool, but nobody can read it. What was known of it stands.
    PoolUnreadable(PoolName),
    /// A pool is gone.
    PoolGone(PoolName),
    /// A node was made or changed.
    Node(Box<Node>),
    /// A node is gone.
    NodeGone(NodeName),
    /// A node's agent reports whether the node can be a gateway.
    NodeFitness {
        /// The node.
        node: NodeName,
        /// Whether it can.
        is_fit: bool,
    },
    /// There is no report of a node's agent, or none any more: the node can be a gateway, but nothing moves there.
    ReportGone(NodeName),
    /// An agent gives signs of life, has ceased to, or (`None`) has never given any.
    Sign {
        /// Its node.
        node: NodeName,
        /// Whether it does.
        sign: Option<Sign>,
    },
    /// The nodes of which an agent has not heard for eight seconds, all of them.
    Missed {
        /// The node that reports it.
        by: NodeName,
        /// They.
        nodes: BTreeSet<NodeName>,
    },
    /// The Egresses that select a Pod of a node which uses another one, all of them.
    Overlapped {
        /// The node.
        node: NodeName,
        /// They.
        egresses: BTreeSet<EgressName>,
    },
    /// Whether Egress is off: no node holds an egress IP then. It is on until told otherwise.
    Off(bool),
    /// A decision about this object could not be carried out, and it is time to try again.
    NotWritten(Object),
    /// So many seconds have gone by since a moment of the teller's choice. Without it no node is ever stable for a while.
    Time(u64),
    /// Everything that existed at one moment has been told, and this operator decides.
    Synced,
    /// Another operator decides from now on: this one gives no decisions before the next [`Fact::Synced`].
    Superseded,
}

/// An Egress, as far as the operator is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressFact {
    /// The object's name.
    pub name: EgressName,
    /// `metadata.generation`.
    pub generation: i64,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// Whether deletion waits for the operator.
    pub has_finalizer: bool,
    /// `spec.externalIPPool`; an Egress without is static.
    pub pool: Option<PoolName>,
    /// `spec.egressIP`, where it is legible.
    pub ip: Option<IpAddr>,
    /// Whether it names something that is no address.
    pub is_ip_illegible: bool,
    /// Who wrote that.
    pub ip_writer: Writer,
    /// Why the object cannot be acted on, if it cannot. The pool is given all the same, and the IP where it is legible.
    pub problems: Option<String>,
    /// What the status says.
    pub status: EgressStatus,
}

/// The fields of an Egress's status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EgressStatus {
    /// `status.egressIP`.
    pub ip: Option<IpAddr>,
    /// `status.egressNode`.
    pub node: Option<NodeName>,
    /// `status.candidates`.
    pub candidates: Vec<NodeName>,
    /// `status.conditions`, as far as their types are known.
    pub conditions: Vec<Recorded>,
}

/// Who wrote `spec.egressIP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writer {
    /// Somebody, but not the operator.
    #[default]
    User,
    /// The operator alone.
    Operator,
    /// The operator, and then the user wrote the same.
    Both,
}

/// A pool, as far as the operator is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFact {
    /// The object's name.
    pub name: PoolName,
    /// `metadata.generation`.
    pub generation: i64,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// Whether deletion waits for the operator.
    pub has_finalizer: bool,
    /// The spec, or why it cannot be used.
    pub spec: Result<PoolSpec, String>,
    /// `status.usage`.
    pub usage: Option<Usage>,
    /// `status.conditions`, as far as their types are known.
    pub conditions: Vec<Recorded>,
}

impl EgressFact {
    /// The IP that the user wants, where he wants a certain one.
    pub(super) fn wanted_ip(&self) -> Option<IpAddr> {
        self.ip.filter(|_| self.ip_writer != Writer::Operator)
    }

    /// Whether another state of the same Egress may have other candidates, with the same address.
    pub(super) fn is_placed_otherwise(&self, other: &Self) -> bool {
        let matters = |fact: &Self| (fact.deleting, fact.created, fact.status.node.clone());
        matters(self) != matters(other)
    }

    /// The IP in the spec as far as the operator owns the field.
    pub(super) fn owned_ip(&self) -> Option<IpAddr> {
        self.ip.filter(|_| self.ip_writer != Writer::User)
    }

    /// The IP that the object shows to have been accepted before: written by the operator, found free by it, or held
    /// by a node.
    pub(super) fn accepted_ip(&self) -> Option<IpAddr> {
        let held = self.status.ip.filter(|_| self.status.node.is_some());
        match self.ip {
            None => held,
            Some(ip) => {
                let is_accepted = self.ip_writer != Writer::User
                    || held == Some(ip)
                    || self
                        .pool
                        .as_ref()
                        .is_some_and(|pool| self.is_said_to_have(pool, ip));
                is_accepted.then_some(ip)
            }
        }
    }

    /// Whether the status says in the operator's own words that it has been given this address of this pool.
    fn is_said_to_have(&self, pool: &PoolName, ip: IpAddr) -> bool {
        self.status
            .condition(Type::IpAllocated)
            .is_some_and(|said| said.is_true && said.message == allocated(pool, ip))
    }
}

impl EgressStatus {
    /// The condition of a type.
    pub(super) fn condition(&self, kind: Type) -> Option<&Recorded> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }
}
