//! Addresses on this node's links.
//!
//! Owns the pooled egress IPs: IPv4 ones are on a link of Egret's own, IPv6 ones on the uplink, known by Egret's protocol
//! number, for the kernel answers neighbour solicitations on a link only for that link's addresses (ADR 13). Never
//! touches another address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_domain::net::{Cidr, Family};
use futures::TryStreamExt;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use rtnetlink::Handle;

use super::Error;
use super::links::{address_family, already, own_links, refused};

/// All addresses of this network namespace, each with its link's number.
pub(super) async fn addresses(handle: &Handle) -> Result<Vec<(u32, IpAddr)>, Error> {
    Ok(address_messages(handle)
        .await?
        .iter()
        .filter_map(|message| Some((message.header.index, local_address(message)?)))
        .collect())
}

async fn address_messages(handle: &Handle) -> Result<Vec<AddressMessage>, Error> {
    let listing = handle.address().get().execute();
    listing
        .try_collect()
        .await
        .map_err(refused("list addresses"))
}

/// Where an egress IP of Egret's is, or should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    /// The link's number.
    pub(super) link: u32,
    /// The address.
    pub(super) ip: IpAddr,
}

/// The pooled egress IPs on this node's links: IPv4 ones by their link, IPv6 ones by their protocol number.
pub(super) async fn held(
    handle: &Handle,
    egress_ips: u32,
    protocol: u8,
) -> Result<Vec<Held>, Error> {
    let messages = address_messages(handle).await?;
    let held = messages.iter().filter_map(|message| {
        let (link, ip) = (message.header.index, local_address(message)?);
        let is_egrets = match ip {
            IpAddr::V4(_) => link == egress_ips,
            IpAddr::V6(_) => is_marked(message, protocol),
        };
        is_egrets.then_some(Held { link, ip })
    });
    Ok(held.collect())
}

/// The pooled IPv6 egress IPs on this node's links.
pub(super) async fn held_ipv6(handle: &Handle, protocol: u8) -> Result<Vec<Held>, Error> {
    // No link has this number: no IPv4 address is on it.
    held(handle, 0, protocol).await
}

fn is_marked(message: &AddressMessage, protocol: u8) -> bool {
    let mark = AddressAttribute::Protocol(AddressProtocol::from(protocol));
    message.attributes.contains(&mark)
}

fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    // On a point-to-point link `Address` is the peer's.
    find(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    })
    .or_else(|| {
        find(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

/// The networks that the addresses of this node are in, without Egret's own, and without those that lead nowhere.
pub(crate) async fn subnets(handle: &Handle) -> Result<BTreeSet<Cidr>, Error> {
    let own = own_links(handle).await?;
    let messages = address_messages(handle).await?.into_iter();
    Ok(messages
        .filter(|message| !own.contains(&message.header.index))
        .filter_map(|message| subnet(local_address(&message)?, message.header.prefix_len))
        .collect())
}

fn subnet(ip: IpAddr, prefix: u8) -> Option<Cidr> {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let has_neighbours = prefix < Family::of(ip).bits() && !ip.is_loopback() && !is_link_local;
    Cidr::new(ip, prefix).filter(|_| has_neighbours)
}

/// The addresses of this node that are not Egret's, whose have this protocol number or are on its links.
pub(crate) async fn addresses_of_others(
    handle: &Handle,
    protocol: u8,
) -> Result<BTreeSet<IpAddr>, Error> {
    let own = own_links(handle).await?;
    let messages = address_messages(handle).await?;
    Ok(messages
        .iter()
        .filter(|message| !own.contains(&message.header.index) && !is_marked(message, protocol))
        .filter_map(local_address)
        .collect())
}

/// Puts an egress IP on its link. An IPv6 one is there at once, as its last holder may be gone without a word, and is
/// deprecated from the start (RFC 6724, rule 3): the node itself never chooses it as a source.
pub(super) async fn assume(
    handle: &Handle,
    Held { link, ip }: Held,
    protocol: u8,
) -> Result<(), Error> {
    let mut request = handle.address().add(link, ip, Family::of(ip).bits());
    if ip.is_ipv6() {
        let message = request.message_mut();
        message.header.flags |= AddressHeaderFlags::Nodad;
        let mut lifetimes = CacheInfo::default();
        (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (0, u32::MAX);
        message.attributes.extend([
            AddressAttribute::Flags(AddressFlags::Nodad),
            AddressAttribute::CacheInfo(lifetimes),
            AddressAttribute::Protocol(AddressProtocol::from(protocol)),
        ]);
    }
    already(request.execute().await, &[nix::errno::Errno::EEXIST])
        .map_err(refused(format!("add address {ip}")))
}

/// Takes an egress IP from its link.
pub(super) async fn withdraw(handle: &Handle, Held { link, ip }: Held) -> Result<(), Error> {
    let mut message = AddressMessage::default();
    message.header.index = link;
    message.header.prefix_len = Family::of(ip).bits();
    message.header.family = address_family(Family::of(ip));
    message.attributes.push(AddressAttribute::Local(ip));
    let removed = handle.address().del(message).execute().await;
    already(removed, &[nix::errno::Errno::EADDRNOTAVAIL])
        .map_err(refused(format!("remove address {ip}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_counts_if_it_leads_to_others() {
        let network = |ip: &str, prefix| subnet(ip.parse().unwrap(), prefix);
        assert_eq!(
            network("10.10.0.101", 16),
            Some("10.10.0.0/16".parse().unwrap())
        );
        assert_eq!(network("fd10::65", 64), Some("fd10::/64".parse().unwrap()));
        for (ip, prefix) in [
            ("127.0.0.1", 8),
            ("::1", 128),
            ("fe80::1", 64),
            ("169.254.0.1", 16),
            ("10.10.0.61", 32),
        ] {
            assert_eq!(network(ip, prefix), None, "{ip}");
        }
    }
}
