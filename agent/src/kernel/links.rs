//! Links, and the tunnel's forwarding entries.
//!
//! Owns the tunnel's link and the link of pooled IPv4 egress IPs, both known by name. Never touches another link.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_domain::datapath::tunnel_mac;
use egret_domain::net::{Family, Mac};
use futures::TryStreamExt;
use netlink_packet_core::ErrorMessage;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::{Handle, LinkBridge, LinkDummy, LinkMessageBuilder, LinkUnspec, LinkVxlan};

use super::settings::{EGRESS_IPS, Settings, TUNNEL, tunnel_mtu};
use super::{Error, addresses};

/// Hops that an outer packet may take.
const TTL_HOPS: u8 = 64;

/// The link towards the other nodes and the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uplink {
    /// Its name.
    pub(super) name: String,
    /// Its number.
    pub(super) index: u32,
    /// Its MTU in bytes.
    pub(super) mtu: u32,
}

/// Turns the kernel's refusal into an error that says what was asked.
pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let what = what.into();
    move |source| Error::Netlink { what, source }
}

/// Whether the kernel refused with one of these error numbers.
fn is_errno(error: &rtnetlink::Error, numbers: &[nix::errno::Errno]) -> bool {
    let rtnetlink::Error::NetlinkError(ErrorMessage {
        code: Some(code), ..
    }) = error
    else {
        return false;
    };
    numbers.iter().any(|number| *number as i32 == -code.get())
}

/// Takes these error numbers for success: what is asked for is so already.
pub(super) fn already(
    result: Result<(), rtnetlink::Error>,
    numbers: &[nix::errno::Errno],
) -> Result<(), rtnetlink::Error> {
    match result {
        Err(error) if !is_errno(&error, numbers) => Err(error),
        _ => Ok(()),
    }
}

async fn find(handle: &Handle, name: &str) -> Result<Option<LinkMessage>, Error> {
    let mut links = handle.link().get().match_name(name).execute();
    match links.try_next().await {
        Err(error) if is_errno(&error, &[nix::errno::Errno::ENODEV]) => Ok(None),
        result => result.map_err(refused(format!("look for link {name}"))),
    }
}

/// The link that has the node's address.
pub(super) async fn uplink(handle: &Handle, node: IpAddr) -> Result<Uplink, Error> {
    let addresses = addresses::addresses(handle).await?;
    let index = addresses
        .iter()
        .find(|(_, ip)| *ip == node)
        .map(|(index, _)| *index)
        .ok_or(Error::NoUplink(node))?;
    let mut links = handle.link().get().match_index(index).execute();
    let link = links.try_next().await.map_err(refused("read the uplink"))?;
    let link = link.ok_or(Error::NoUplink(node))?;
    Ok(Uplink {
        name: name_of(&link).unwrap_or_default().to_owned(),
        index,
        mtu: mtu_of(&link).unwrap_or(1500),
    })
}

fn mtu_of(link: &LinkMessage) -> Option<u32> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        })
}

fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

fn mac_of(link: &LinkMessage) -> Option<Mac> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(mac) => <[u8; 6]>::try_from(mac.as_slice()).ok().map(Mac),
            _ => None,
        })
}

/// Whether the tunnel's link is there, right or wrong.
pub(super) async fn is_tunnel_there(handle: &Handle) -> Result<bool, Error> {
    Ok(find(handle, TUNNEL).await?.is_some())
}

/// The numbers of Egret's own links, as far as they are there.
pub(super) async fn own_links(handle: &Handle) -> Result<BTreeSet<u32>, Error> {
    let mut own = BTreeSet::new();
    for name in [TUNNEL, EGRESS_IPS] {
        own.extend(find(handle, name).await?.map(|link| link.header.index));
    }
    Ok(own)
}

/// The MTU of the tunnel's link, while there is one.
pub(crate) async fn mtu_of_tunnel(handle: &Handle) -> Result<Option<u32>, Error> {
    let link = find(handle, TUNNEL).await?;
    Ok(link.as_ref().and_then(mtu_of))
}

/// The tunnel's link as it should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tunnel {
    /// Its number.
    pub(super) index: u32,
    /// Whether it was made just now, alone or in place of a wrong one.
    pub(super) is_new: bool,
}

/// Makes the tunnel's link as it should be. One that is right is left alone.
pub(super) async fn ensure_tunnel(
    handle: &Handle,
    settings: &Settings,
    node: IpAddr,
    uplink: &Uplink,
) -> Result<Tunnel, Error> {
    if let Some(link) = find(handle, TUNNEL).await? {
        if is_tunnel(&link, settings, node, uplink) {
            return Ok(Tunnel {
                index: link.header.index,
                is_new: false,
            });
        }
        let deletion = handle.link().del(link.header.index).execute().await;
        deletion.map_err(refused(format!("replace link {TUNNEL}")))?;
    }
    let index = make_tunnel(handle, settings, node, uplink).await?;
    Ok(Tunnel {
        index,
        is_new: true,
    })
}

async fn make_tunnel(
    handle: &Handle,
    settings: &Settings,
    node: IpAddr,
    uplink: &Uplink,
) -> Result<u32, Error> {
    let link = LinkVxlan::new(TUNNEL, settings.vni)
        .port(settings.tunnel_port)
        .learning(false)
        .ttl(TTL_HOPS)
        .address(tunnel_mac(node).0.to_vec())
        .mtu(tunnel_mtu(Family::of(node), uplink.mtu))
        .up();
    let link = match node {
        IpAddr::V4(ip) => link.local(ip),
        IpAddr::V6(ip) => link.local6(ip),
    };
    let made = handle.link().add(link.build()).execute().await;
    made.map_err(refused(format!(
        "make the VXLAN link {TUNNEL} (kernel module vxlan and capability NET_ADMIN are needed, and VNI {} with UDP \
         port {} must be free)",
        settings.vni, settings.tunnel_port
    )))?;
    let link = find(handle, TUNNEL).await?;
    link.map(|link| link.header.index)
        .ok_or(Error::NoUplink(node))
}

fn is_tunnel(link: &LinkMessage, settings: &Settings, node: IpAddr, uplink: &Uplink) -> bool {
    let is_up = link.header.flags.contains(LinkFlags::Up);
    let is_vxlan = vxlan_info(link).is_some_and(|info| {
        let has = |wanted: InfoVxlan| info.contains(&wanted);
        has(InfoVxlan::Id(settings.vni))
            && has(InfoVxlan::Port(settings.tunnel_port))
            && has(InfoVxlan::Learning(false))
            && match node {
                IpAddr::V4(ip) => has(InfoVxlan::Local(ip)),
                IpAddr::V6(ip) => has(InfoVxlan::Local6(ip)),
            }
    });
    is_up
        && is_vxlan
        && mtu_of(link) == Some(tunnel_mtu(Family::of(node), uplink.mtu))
        && mac_of(link) == Some(tunnel_mac(node))
}

fn vxlan_info(link: &LinkMessage) -> Option<&Vec<InfoVxlan>> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                LinkInfo::Data(InfoData::Vxlan(info)) => Some(info),
                _ => None,
            }),
            _ => None,
        })
}

/// Makes the link of pooled IPv4 egress IPs and tells its number: the kernel answers ARP for them on the uplink, and never
/// chooses them as a source. A dummy link, or a bridge without ports where the kernel has no dummy.
pub(super) async fn ensure_egress_ips(handle: &Handle) -> Result<u32, Error> {
    if let Some(link) = find(handle, EGRESS_IPS).await? {
        if !link.header.flags.contains(LinkFlags::Up) {
            let up = LinkUnspec::new_with_index(link.header.index).up().build();
            handle
                .link()
                .set(up)
                .execute()
                .await
                .map_err(refused(format!("set {EGRESS_IPS} up")))?;
        }
        return Ok(link.header.index);
    }
    let dummy = LinkDummy::new(EGRESS_IPS).up().build();
    if handle.link().add(dummy).execute().await.is_err() {
        let bridge: LinkMessageBuilder<LinkBridge> = LinkBridge::new(EGRESS_IPS).up();
        let made = handle.link().add(bridge.build()).execute().await;
        made.map_err(refused(format!(
            "make link {EGRESS_IPS}, as a dummy or as a bridge"
        )))?;
    }
    let link = find(handle, EGRESS_IPS).await?;
    link.map(|link| link.header.index)
        .ok_or_else(|| Error::Netlink {
            what: format!("find link {EGRESS_IPS} after making it"),
            source: rtnetlink::Error::RequestFailed,
        })
}

/// Removes both links, with all addresses and forwarding entries on them.
pub(super) async fn remove(handle: &Handle) -> Result<(), Error> {
    for name in [EGRESS_IPS, TUNNEL] {
        if let Some(link) = find(handle, name).await? {
            let deletion = handle.link().del(link.header.index).execute().await;
            deletion.map_err(refused(format!("remove link {name}")))?;
        }
    }
    Ok(())
}

/// As netlink numbers a family.
pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// Sends what is for an identity to a node, from now on.
pub(super) async fn forward(
    handle: &Handle,
    tunnel: u32,
    identity: Mac,
    node: IpAddr,
) -> Result<(), Error> {
    let entry = handle
        .neighbours()
        .add_bridge(tunnel, &identity.0)
        .destination(node)
        .state(NeighbourState::Permanent)
        .flags(NeighbourFlags::Own)
        .replace();
    entry
        .execute()
        .await
        .map_err(refused(format!("forward {identity} to {node}")))
}

/// Drops what is for an identity, from now on.
pub(super) async fn unforward(handle: &Handle, tunnel: u32, identity: Mac) -> Result<(), Error> {
    let mut entry = NeighbourMessage::default();
    entry.header.family = AddressFamily::Bridge;
    entry.header.ifindex = tunnel;
    entry.header.flags = NeighbourFlags::Own;
    entry
        .attributes
        .push(NeighbourAttribute::LinkLayerAddress(identity.0.to_vec()));
    let removed = handle.neighbours().del(entry).execute().await;
    already(removed, &[nix::errno::Errno::ENOENT])
        .map_err(refused(format!("stop forwarding {identity}")))
}

/// The tunnel's forwarding entries: identity to node.
pub(super) async fn forwards(handle: &Handle, tunnel: u32) -> Result<BTreeMap<Mac, IpAddr>, Error> {
    let entries: Vec<NeighbourMessage> = handle
        .neighbours()
        .get()
        .set_address_family(AddressFamily::Bridge)
        .execute()
        .try_collect()
        .await
        .map_err(refused("list forwarding entries"))?;
    let of_tunnel = entries
        .iter()
        .filter(|entry| entry.header.ifindex == tunnel);
    Ok(of_tunnel.filter_map(forward_of).collect())
}

fn forward_of(entry: &NeighbourMessage) -> Option<(Mac, IpAddr)> {
    let mac = entry
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(mac) => <[u8; 6]>::try_from(mac.as_slice()).ok(),
            _ => None,
        })?;
    let node = entry
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(address) => address_of(address),
            _ => None,
        })?;
    Some((Mac(mac), node))
}

fn address_of(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        NeighbourAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        // An entry of family bridge does not say of which family its destination is.
        NeighbourAddress::Other(bytes) => <[u8; 4]>::try_from(bytes.as_slice())
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from))
            .ok(),
        _ => None,
    }
}
