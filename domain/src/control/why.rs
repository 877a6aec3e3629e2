//! Why an Egress has no IP.
//!
//! Owns reasons and messages: each says what to do. Never decides whether it is so.

use std::fmt;
use std::net::IpAddr;

use crate::name::{EgressName, PoolName};
use crate::pool::Refusal;

/// Why an Egress has no IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It cannot be acted on; how to mend it.
    InvalidSpec(String),
    /// There is no such pool.
    PoolNotFound(PoolName),
    /// The pool cannot be acted on.
    PoolInvalid(PoolName),
    /// The pool is on its way out.
    PoolDeleting(PoolName),
    /// The pool has no free address.
    PoolExhausted(PoolName),
    /// The pool does not give this address to anybody.
    Refused(Refusal),
    /// Another Egress has this address.
    Taken { ip: IpAddr, by: EgressName },
    /// Nodes could not tell this address from one that is in use.
    Twin { ip: IpAddr, of: IpAddr },
}

/// What must change for an Egress to get an IP, where that is neither its own spec nor its pool's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hindrance {
    /// No address of the pool is free.
    Exhausted(PoolName),
    /// This address is in use.
    InUse(IpAddr),
}

impl Why {
    /// What has to go away.
    pub(super) fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::PoolExhausted(pool) => Some(Hindrance::Exhausted(pool.clone())),
            Self::Taken { ip, .. } => Some(Hindrance::InUse(*ip)),
            Self::Twin { of, .. } => Some(Hindrance::InUse(*of)),
            _ => None,
        }
    }

    /// One word for the condition's reason.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::PoolNotFound(_) => "PoolNotFound",
            Self::PoolInvalid(_) => "PoolInvalid",
            Self::PoolDeleting(_) => "PoolDeleting",
            Self::PoolExhausted(_) => "PoolExhausted",
            Self::Refused(Refusal::Outside { .. }) => "OutsidePool",
            Self::Refused(
                Refusal::Reserved { .. } | Refusal::Unusable { .. } | Refusal::Gateway { .. },
            ) => "AddressReserved",
            Self::Refused(Refusal::Excluded { .. }) => "AddressExcluded",
            Self::Refused(Refusal::OfOther { .. }) => "AddressOfOtherPool",
            Self::Refused(Refusal::Taken { .. }) | Self::Taken { .. } | Self::Twin { .. } => {
                "AddressTaken"
            }
        }
    }
}

/// What helps against an address that cannot be had.
const CHOOSE: &str = "choose another address in spec.egressIP, or leave it out to get a free one";

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSpec(problems) => f.write_str(problems),
            Self::PoolNotFound(pool) => write!(
                f,
                "there is no ExternalIPPool {pool}: create it, or name another in spec.externalIPPool"
            ),
            Self::PoolInvalid(pool) => {
                write!(
                    f,
                    "ExternalIPPool {pool} cannot be used: its condition Ready says why"
                )
            }
            Self::PoolDeleting(pool) => write!(
                f,
                "ExternalIPPool {pool} is being deleted: name another in spec.externalIPPool"
            ),
            Self::PoolExhausted(pool) => write!(
                f,
                "ExternalIPPool {pool} has no free address: add a range to it, or delete an Egress that uses it"
            ),
            Self::Refused(refusal) => write!(f, "{refusal}: {CHOOSE}"),
            Self::Taken { ip, by } => write!(f, "{ip} is in use by Egress {by}: {CHOOSE}"),
            Self::Twin { ip, of } => {
                write!(
                    f,
                    "{ip} has the same identity inside the tunnel as {of}: {CHOOSE}"
                )
            }
        }
    }
}
