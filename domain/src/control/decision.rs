//! What the operator is to write.
//!
//! Owns the vocabulary between deciding and doing. Never says how a write is made, nor when it is tried again.

use std::net::IpAddr;

use crate::condition::Condition;
use crate::name::{EgressName, NodeName, PoolName};
use crate::pool::Usage;

/// An object that is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// An Egress.
    Egress(EgressName),
    /// A pool.
    Pool(PoolName),
}

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// What the operator owns of an Egress, both in one write, so that its IP is never without the finalizer.
    OwnEgress {
        /// The Egress.
        egress: EgressName,
        /// Whether its deletion is to wait for the operator.
        finalizer: bool,
        /// `spec.egressIP` where the operator chooses it; `None` gives the field up, and removes it unless the user has
        /// written it too.
        ip: Option<IpAddr>,
    },
    /// No node answers for the Egress's IP any more: its deletion need not wait.
    ReleaseEgress(EgressName),
    /// What the operator owns of an Egress's status: all of it, a condition that is not listed goes.
    EgressStatus {
        /// The Egress.
        egress: EgressName,
        /// `status.candidates`.
        candidates: Vec<NodeName>,
        /// The operator's conditions.
        conditions: Vec<Condition>,
    },
    /// The holder in the status is gone from the cluster: the status names none, unless another has come meanwhile.
    ClearHolder {
        /// The Egress.
        egress: EgressName,
        /// The holder that is gone.
        node: NodeName,
    },
    /// The pool's deletion is to wait for the operator.
    GuardPool(PoolName),
    /// Nobody uses the pool any more: its deletion need not wait.
    ReleasePool(PoolName),
    /// What the operator owns of a pool's status: all of it.
    PoolStatus {
        /// The pool.
        pool: PoolName,
        /// `status.usage`; `None` while the pool has never been readable.
        usage: Option<Usage>,
        /// The operator's conditions.
        conditions: Vec<Condition>,
    },
}

impl Decision {
    /// The object that is written.
    pub fn object(&self) -> Object {
        match self {
            Self::OwnEgress { egress, .. }
            | Self::ReleaseEgress(egress)
            | Self::EgressStatus { egress, .. }
            | Self::ClearHolder { egress, .. } => Object::Egress(egress.clone()),
            Self::GuardPool(pool) | Self::ReleasePool(pool) | Self::PoolStatus { pool, .. } => {
                Object::Pool(pool.clone())
            }
        }
    }
}
