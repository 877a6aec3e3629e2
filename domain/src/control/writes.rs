//! The writes that the operator may make, as values.
//!
//! Owns the vocabulary between deciding and doing, and of what people are told of nodes. Never says how a write is
//! made, nor when it is tried again.

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

/// One thing to write to an Egress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressWrite {
    /// What the operator owns of the object, both in one write, so that its IP is never without the finalizer.
    Own {
        /// Whether its deletion is to wait for the operator.
        finalizer: bool,
        /// `spec.egressIP` where the operator chooses it; `None` gives the field up, and removes it unless the user has
        /// written it too.
        ip: Option<IpAddr>,
    },
    /// No node answers for the Egress's IP any more: its deletion need not wait.
    Release,
    /// What the operator owns of the status: all of it, a condition that is not listed goes.
    Status {
        /// `status.candidates`.
        candidates: Vec<NodeName>,
        /// The operator's conditions.
        conditions: Vec<Condition>,
    },
    /// The holder in the status is gone: the status names none, unless another has come meanwhile.
    ClearHolder {
        /// It.
        node: NodeName,
        /// What is said of the assignment instead, and why.
        because: Condition,
    },
}

/// One thing to write to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolWrite {
    /// The pool's deletion is to wait for the operator.
    Guard,
    /// Nobody uses the pool any more: its deletion need not wait.
    Release,
    /// What the operator owns of the status: all of it.
    Status {
        /// `status.usage`; `None` while the pool has never been legible.
        usage: Option<Usage>,
        /// The operator's conditions.
        conditions: Vec<Condition>,
    },
}

/// Something about a node that people should hear of. A node has no condition for it, and nothing is written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWarning {
    /// The node.
    pub node: NodeName,
    /// One word in `CamelCase`.
    pub reason: &'static str,
    /// One sentence for people: what is the matter and what to do.
    pub message: String,
}
