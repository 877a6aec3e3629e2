//! Pools: which addresses there are, which are taken, which is next.
//!
//! Owns the rules of what is handed out. Never knows which Egress asked, nor writes anything.

use crate::name::PoolName;
use crate::net::{Cidr, IpRange};
use crate::selector::Selector;
use std::net::IpAddr;

/// A pool as the user wrote it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The object's name.
    pub name: PoolName,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// Where its addresses come from, in the user's order.
    pub ranges: Vec<Range>,
    /// Addresses that are never handed out.
    pub exclude: Vec<IpRange>,
    /// The subnet of its addresses, where it is not the nodes' own.
    pub subnet: Option<Subnet>,
    /// The nodes that may hold its addresses.
    pub nodes: Selector,
}

/// One entry of `spec.ipRanges`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// A network: its first address is reserved, for IPv4 its last too, where it is larger than two addresses.
    Cidr(Cidr),
    /// Every address from first to last.
    Span(IpRange),
}

/// `spec.subnetInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The router, never handed out.
    pub gateway: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
    /// VLAN id; `None` is untagged.
    pub vlan: Option<u16>,
}
