//! The node's kernel: what stands there, and how it is changed.
//!
//! Owns every call that changes links, addresses, routes, rules, forwarding entries or nftables, and how they are read:
//! `local` and `report` ask by `links`, on connections of their own; only `announce` looks for itself at a link.
//! Whatever it makes carries a name, a table or a protocol number of Egret's own; nothing else is touched. Never
//! decides what should stand (see `egret_domain::node`).

pub(crate) mod addresses;
mod elements;
pub mod frame;
pub(crate) mod links;
pub mod linux;
mod nft;
mod routing;
pub mod settings;
mod sysctl;

#[cfg(test)]
pub(crate) mod fake;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use egret_domain::datapath::{Commit, Element};
use egret_domain::net::Family;
use thiserror::Error;

/// What the agent needs of a kernel.
pub trait Kernel: Send {
    /// Makes the frame stand (link, route, rule, tables), without disturbing what is right, and tells which elements
    /// stand in it.
    fn repair(&mut self) -> impl Future<Output = Result<BTreeSet<Element>, Error>> + Send;

    /// Carries out changes, in their order.
    fn commit(&mut self, commit: &Commit) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes every trace of Egret, whether there is any or not.
    fn remove(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Tells whether what stands can do its part for these families, or what others have set on this node is in its way.
    fn verify(
        &mut self,
        families: &BTreeSet<Family>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Why the kernel does not do what is asked.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no `nft` to run.
    #[error("cannot run nft: install nftables 1.0.6 or later on the node's PATH")]
    NoNft(#[source] io::Error),
    /// `nft` did not end in time.
    #[error("nft did not answer within {0} s")]
    NftTimedOut(u64),
    /// `nft` refused.
    #[error("nft refused: {0}")]
    Nft(String),
    /// The kernel refused to change entries of Egret's sets.
    #[error("the kernel refused to change Egret's nftables sets")]
    Elements(#[source] io::Error),
    /// The kernel cannot do what Egret's tables need.
    #[error(
        "this kernel or container cannot load Egret's nftables ({0}): Linux 5.16 or later with nf_tables, nat, fib \
         and the netdev egress hook is needed, and the capability NET_ADMIN"
    )]
    NoNftables(String),
    /// `nft` listed something that cannot be read.
    #[error("cannot read what nft lists")]
    Listing(#[source] serde_json::Error),
    /// The kernel refused a netlink request.
    #[error("cannot {what}")]
    Netlink {
        /// What was asked for.
        what: String,
        /// What the kernel says.
        source: rtnetlink::Error,
    },
    /// No link has the node's address.
    #[error("no link of this node has its address {0}: is HOST_IP the node's InternalIP?")]
    NoUplink(IpAddr),
    /// Something is to be committed to a frame that does not stand.
    #[error("the datapath's frame does not stand yet: it is repaired before the next change")]
    NoFrame,
    /// A kernel setting cannot be written.
    #[error("cannot set {path}: the agent needs /proc/sys/net to be writable")]
    Sysctl {
        /// The file.
        path: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// Another program's setting keeps the kernel from answering for pooled egress IPs.
    #[error(
        "this node does not answer ARP for pooled egress IPs, as {path} is {value}: set it to 0; kube-proxy in mode ipvs \
         sets it when its strictARP is true"
    )]
    ArpIgnored {
        /// The file.
        path: String,
        /// What it says.
        value: String,
    },
    /// Nothing forwards IPv6 here.
    #[error(
        "this node does not forward IPv6, as {path} is 0: set it to 1, as a CNI does that gives Pods IPv6 addresses"
    )]
    NotForwarding {
        /// The file.
        path: String,
    },
    /// The node cannot run the datapath, and nothing of it was left there.
    #[error("this node cannot run the datapath, and nothing of it is installed")]
    Unfit {
        /// What is in the way.
        source: Box<Error>,
    },
    /// A socket cannot be used.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
}

impl Error {
    /// The check that failed, in one word, for reports.
    pub fn check(&self) -> &'static str {
        match self {
            Self::NoNft(_)
            | Self::NftTimedOut(_)
            | Self::Nft(_)
            | Self::Listing(_)
            | Self::Elements(_) => "nft",
            Self::NoNftables(_) => "nftables",
            Self::Netlink { .. } | Self::Socket(_) => "netlink",
            Self::NoUplink(_) => "uplink",
            Self::NoFrame => "frame",
            Self::Sysctl { .. } => "sysctl",
            Self::ArpIgnored { .. } => "arp",
            Self::NotForwarding { .. } => "forwarding",
            Self::Unfit { source } => source.check(),
        }
    }

    /// Whether nothing of Egret's is installed on this node, which so holds nothing and stands in nobody's way.
    pub fn is_nothing_installed(&self) -> bool {
        matches!(self, Self::Unfit { .. })
    }
}
