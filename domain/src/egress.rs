//! An Egress that has been checked: what cannot be acted on cannot be built.
//!
//! Owns the meaning of the spec's fields. Never knows how they are spelt in YAML (crate `egret-crds` parses them).

use std::net::IpAddr;

use crate::name::{EgressName, PoolName};
use crate::net::Cidr;
use crate::selector::AppliedTo;

/// What the user asked for, and what only the API server knows of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// The object's name.
    pub name: EgressName,
    /// The object's UID: a deleted Egress and a new one of the same name are two.
    pub uid: String,
    /// `metadata.generation`, for `observedGeneration`.
    pub generation: i64,
    /// Creation time in Unix seconds; older Egresses are served first.
    pub created: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// The Pods that are selected.
    pub applied_to: AppliedTo,
    /// Where the egress IP comes from.
    pub mode: Mode,
    /// Higher wins where Egresses overlap.
    pub priority: i32,
    /// What selected Pods' traffic does while nobody holds the egress IP.
    pub when_unavailable: WhenUnavailable,
    /// Destinations that keep the normal path.
    pub except: Vec<Cidr>,
    /// Limit of outgoing traffic.
    pub bandwidth: Option<Bandwidth>,
}

/// Where an egress IP comes from, and who places it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Egret allocates the IP and chooses the node.
    Pooled {
        /// The pool to take the IP from.
        pool: PoolName,
        /// The IP in the spec: asked for by the user, or written there by the operator.
        ip: Option<IpAddr>,
    },
    /// The user has put the IP on some node.
    Static {
        /// The IP.
        ip: IpAddr,
    },
}

/// What selected Pods' outside traffic does while nobody holds the egress IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenUnavailable {
    /// It is dropped.
    #[default]
    Drop,
    /// It leaves with the address of the Pod's node.
    NodeIp,
}

/// Limit of an egress IP's outgoing traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bits per second.
    pub rate_bits: u64,
    /// Bits that may exceed the rate at once.
    pub burst_bits: u64,
}

impl Egress {
    /// The IP in the spec, if there is one yet.
    pub fn spec_ip(&self) -> Option<IpAddr> {
        match &self.mode {
            Mode::Pooled { ip, .. } => *ip,
            Mode::Static { ip } => Some(*ip),
        }
    }

    /// The pool, for a pooled Egress.
    pub fn pool(&self) -> Option<&PoolName> {
        match &self.mode {
            Mode::Pooled { pool, .. } => Some(pool),
            Mode::Static { .. } => None,
        }
    }

    /// Whether the user places the IP.
    pub fn is_static(&self) -> bool {
        matches!(self.mode, Mode::Static { .. })
    }
}
