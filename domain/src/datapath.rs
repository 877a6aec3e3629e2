//! The datapath of one node as a value: what should stand in its kernel, and what to change to get there.
//!
//! Owns the elements (set and map entries, forwarding entries, addresses), their difference and the order in which
//! changes are safe. The frame they live in (tables, chains, link, route, rule) is fixed and belongs to the agent.
//! Never talks to a kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64;

use crate::net::{Cidr, Family, Mac};

/// The Ethernet address that stands for an egress IP inside the tunnel: locally administered, `02:e9` and the four
/// bytes of an IPv4 address, or `06:e9` and a hash of an IPv6 address.
pub fn identity(egress_ip: IpAddr) -> Mac {
    let (first, [a, b, c, d]) = match egress_ip {
        IpAddr::V4(ip) => (0x02, ip.octets()),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = xxh3_64(&ip.octets()).to_be_bytes();
            (0x06, [a, b, c, d])
        }
    };
    Mac([first, 0xe9, a, b, c, d])
}

/// The Ethernet address of a node's own end of the tunnel: `02:ea` and the last four bytes of its address.
pub fn tunnel_mac(node_ip: IpAddr) -> Mac {
    let [a, b, c, d] = match node_ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            [a, b, c, d]
        }
    };
    Mac([0x02, 0xea, a, b, c, d])
}

/// One thing that stands in a node's kernel, apart from the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// Traffic to these destinations keeps its path.
    Except(Cidr),
    /// This node may send to the tunnel port.
    Peer(IpAddr),
    /// The Pod's outside traffic goes into the tunnel, to the gateway of this identity; without one it is dropped.
    Remote {
        /// The Pod's address.
        pod: IpAddr,
        /// Stands for its egress IP.
        identity: Option<Mac>,
    },
    /// The Pod's outside traffic gets its egress IP here: this node is the gateway.
    Local {
        /// The Pod's address.
        pod: IpAddr,
        /// Its egress IP.
        egress_ip: IpAddr,
    },
    /// What arrives in the tunnel for this identity gets the egress IP here.
    Gateway {
        /// Stands for the egress IP.
        identity: Mac,
        /// The egress IP.
        egress_ip: IpAddr,
    },
    /// What is sent into the tunnel for this identity goes to this node.
    Forward {
        /// Stands for the egress IP.
        identity: Mac,
        /// The gateway's node address.
        node: IpAddr,
    },
    /// New connections from outside to this pooled egress IP are dropped here.
    Guard(IpAddr),
    /// A pooled egress IP that this node answers for.
    Address(IpAddr),
    /// A pooled egress IP that this node does not answer for: what others send here for it, they learnt too long ago.
    Elsewhere(IpAddr),
}

impl Element {
    /// The family of the packets that it is for; of a forwarding entry, that of the packets around them.
    pub fn family(&self) -> Family {
        match self {
            Self::Except(cidr) => cidr.family(),
            Self::Remote { pod, .. } => Family::of(*pod),
            Self::Gateway { egress_ip, .. } | Self::Local { egress_ip, .. } => {
                Family::of(*egress_ip)
            }
            Self::Peer(ip)
            | Self::Guard(ip)
            | Self::Address(ip)
            | Self::Elsewhere(ip)
            | Self::Forward { node: ip, .. } => Family::of(*ip),
        }
    }
}

/// One step from what is to what should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Is there and should not be.
    Remove(Element),
    /// Is not there and should be.
    Add(Element),
}

/// What changes `is` into `should`.
pub fn diff(is: &BTreeSet<Element>, should: &BTreeSet<Element>) -> Vec<Change> {
    let removed = is.difference(should).copied().map(Change::Remove);
    removed
        .chain(should.difference(is).copied().map(Change::Add))
        .collect()
}

/// Changes in the order in which they are safe, field after field.
///
/// What attracts traffic goes first when it is lost and last when it is gained; a source is redirected only once its
/// new way stands; and the marks, maps and translations change together in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// Egress IPs that this node no longer answers for.
    pub withdraw: Vec<IpAddr>,
    /// Identities that get a (new) gateway.
    pub forward: Vec<(Mac, IpAddr)>,
    /// Set and map entries, for one transaction; removals before additions.
    pub transaction: Vec<Change>,
    /// Identities that lose their gateway: what is still sent there is dropped.
    pub unforward: Vec<Mac>,
    /// Egress IPs that this node answers for from now on.
    pub assume: Vec<IpAddr>,
    /// Egress IPs, pooled or static, that this node is the gateway of from now on: the neighbours are to be told.
    pub announce: Vec<IpAddr>,
}

impl Commit {
    /// Puts changes in order.
    pub fn of(changes: &[Change]) -> Self {
        let mut commit = Self::default();
        for change in changes {
            commit.place(*change);
        }
        let forwarded: BTreeSet<Mac> = commit.forward.iter().map(|(mac, _)| *mac).collect();
        commit.unforward.retain(|mac| !forwarded.contains(mac));
        commit.transaction.sort();
        commit.announce.sort();
        commit.announce.dedup();
        commit
    }

    /// The same, and announces every egress IP that this node is to be the gateway of: the neighbours may not have been
    /// told, by an agent that was killed or a commit that failed halfway.
    #[must_use]
    pub fn announcing(mut self, planned: &BTreeSet<Element>) -> Self {
        self.announce = planned
            .iter()
            .filter_map(|element| match element {
                Element::Gateway { egress_ip, .. } => Some(*egress_ip),
                _ => None,
            })
            .collect();
        self
    }

    fn place(&mut self, change: Change) {
        match change {
            Change::Remove(Element::Address(ip)) => self.withdraw.push(ip),
            Change::Add(Element::Address(ip)) => {
                self.assume.push(ip);
                self.announce.push(ip);
            }
            Change::Remove(Element::Forward { identity, .. }) => self.unforward.push(identity),
            Change::Add(Element::Forward { identity, node }) => {
                self.forward.push((identity, node));
            }
            other => {
                if let Change::Add(Element::Gateway { egress_ip, .. }) = other {
                    self.announce.push(egress_ip);
                }
                self.transaction.push(other);
            }
        }
    }

    /// The egress IPs, pooled or static, that this node holds from now on.
    pub fn taken(&self) -> BTreeSet<IpAddr> {
        let gateways = self.transaction.iter().filter_map(|change| match change {
            Change::Add(Element::Gateway { egress_ip, .. }) => Some(*egress_ip),
            _ => None,
        });
        self.assume.iter().copied().chain(gateways).collect()
    }

    /// Those that it no longer holds.
    pub fn let_go(&self) -> BTreeSet<IpAddr> {
        let gateways = self.transaction.iter().filter_map(|change| match change {
            Change::Remove(Element::Gateway { egress_ip, .. }) => Some(*egress_ip),
            _ => None,
        });
        self.withdraw.iter().copied().chain(gateways).collect()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
