//! Why a pool does not give an address, in words for people.
//!
//! Owns the reasons and their messages. Never says what to do about the Egress that asked: its caller knows that.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use super::Range;
use crate::name::PoolName;
use crate::net::IpRange;

/// Why an address cannot be taken from a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No range of the pool contains it.
    Outside {
        /// The address.
        ip: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// A network of the pool contains it, but keeps it back, and no other range hands it out.
    Reserved {
        /// The address.
        ip: IpAddr,
        /// The network that keeps it back.
        range: Range,
        /// Which of its addresses it is.
        why: Reservation,
    },
    /// No node could use it as a source.
    Unusable {
        /// The address.
        ip: IpAddr,
        /// What it is.
        kind: &'static str,
    },
    /// It is the router of the pool's subnet.
    Gateway {
        /// The address.
        ip: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// The user keeps it back.
    Excluded {
        /// The address.
        ip: IpAddr,
        /// The pool.
        pool: PoolName,
        /// The entry that contains it.
        entry: IpRange,
    },
    /// Another pool contains it too, and hands it out alone.
    OfOther {
        /// The address.
        ip: IpAddr,
        /// The pool.
        pool: PoolName,
        /// The other pool.
        other: PoolName,
    },
    /// It has been handed out already.
    Taken {
        /// The address.
        ip: IpAddr,
        /// The pool.
        pool: PoolName,
    },
}

impl Refusal {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        match self {
            Self::Outside { ip, .. }
            | Self::Reserved { ip, .. }
            | Self::Unusable { ip, .. }
            | Self::Gateway { ip, .. }
            | Self::Excluded { ip, .. }
            | Self::OfOther { ip, .. }
            | Self::Taken { ip, .. } => *ip,
        }
    }

    /// The reason, to be read after the address.
    pub(crate) fn predicate(&self) -> String {
        match self {
            Self::Outside { pool, .. } => format!("is in no range of pool {pool}"),
            Self::Reserved { range, why, .. } => {
                format!("is the {why} of {range}, which is never handed out")
            }
            Self::Unusable { kind, .. } => format!("is {kind}, which is never handed out"),
            Self::Gateway { pool, .. } => {
                format!("is the gateway of pool {pool}, which is never handed out")
            }
            Self::Excluded { pool, entry, .. } => {
                format!("is excluded from pool {pool} by {entry} in spec.exclude")
            }
            Self::OfOther { other, .. } => also_in(other),
            Self::Taken { pool, .. } => format!("of pool {pool} is already taken"),
        }
    }
}

/// What is said of addresses that an older pool hands out, to be read after them.
pub(crate) fn also_in(older: &PoolName) -> String {
    format!("also lies in ExternalIPPool {older}, which is older and alone hands it out")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ip(), self.predicate())
    }
}

impl Error for Refusal {}

/// Which address of a network is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// The first, which stands for the network itself (IPv4) or for any of its routers (IPv6, RFC 4291 section 2.6.1).
    FirstAddress,
    /// The last of an IPv4 network.
    Broadcast,
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstAddress => "first address",
            Self::Broadcast => "broadcast address",
        })
    }
}
