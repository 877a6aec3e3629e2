//! The tunnel's routes, the rules that lead to them, and the settings of its link.
//!
//! Owns one rule, one route and one neighbour of each family, all marked with Egret's protocol number or in its table.
//! Never touches the node's own routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_domain::net::Family;
use futures::TryStreamExt;
use netlink_packet_route::address::AddressScope;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteProtocol, RouteScope};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::errno::Errno;
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};

use super::links::{address_family, already, refused};
use super::settings::{Settings, TUNNEL};
use super::{Error, sysctl};

/// The tunnel link's own address, the same on every node and never a source: on a link without any address even a loose
/// reverse-path filter drops. IPv6 has no such filter.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 253);
/// The Ethernet address of the next hop. It has no forwarding entry: a packet that keeps it is dropped.
const NOBODY: [u8; 6] = [0x02, 0xe9, 0xff, 0xff, 0xff, 0xff];

/// A next hop that no one has: the tunnel's `into` chain puts the identity in its Ethernet address's place.
const fn next_hop(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(169, 254, 77, 254)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xe9)),
    }
}

/// What the tunnel's link needs, and whether it listens to routers: what comes out of a tunnel is none's.
const fn link_settings(family: Family) -> [(&'static str, &'static str); 2] {
    match family {
        Family::V4 => [("rp_filter", "2"), ("forwarding", "1")],
        Family::V6 => [("disable_ipv6", "0"), ("accept_ra", "0")],
    }
}

/// Makes the rule, the route and the neighbour of a family stand, and the link's settings right.
pub(super) async fn ensure(
    handle: &Handle,
    settings: &Settings,
    tunnel: u32,
    family: Family,
) -> Result<(), Error> {
    for (name, value) in link_settings(family) {
        sysctl::set(family, TUNNEL, name, value).await?;
    }
    if family == Family::V4 {
        ensure_address(handle, tunnel).await?;
    }
    ensure_neighbour(handle, tunnel, family).await?;
    ensure_route(handle, settings, tunnel, family).await?;
    ensure_rule(handle, settings, family).await
}

async fn ensure_address(handle: &Handle, tunnel: u32) -> Result<(), Error> {
    let mut request = handle.address().add(tunnel, IpAddr::V4(OWN_ADDRESS), 32);
    request.message_mut().header.scope = AddressScope::Link;
    let added = already(request.execute().await, &[Errno::EEXIST]);
    added.map_err(refused("add the tunnel's own address"))
}

async fn ensure_neighbour(handle: &Handle, tunnel: u32, family: Family) -> Result<(), Error> {
    let request = handle.neighbours().add(tunnel, next_hop(family));
    let request = request.link_layer_address(&NOBODY).replace();
    request
        .execute()
        .await
        .map_err(refused("add the tunnel's neighbour"))
}

async fn ensure_route(
    handle: &Handle,
    settings: &Settings,
    tunnel: u32,
    family: Family,
) -> Result<(), Error> {
    let mut route = RouteMessageBuilder::<IpAddr>::new()
        .table_id(settings.route_table)
        .protocol(RouteProtocol::from(settings.route_protocol))
        .scope(RouteScope::Universe)
        .output_interface(tunnel)
        .onlink()
        .build();
    route.header.address_family = address_family(family);
    route
        .attributes
        .push(RouteAttribute::Gateway(match next_hop(family) {
            IpAddr::V4(ip) => RouteAddress::Inet(ip),
            IpAddr::V6(ip) => RouteAddress::Inet6(ip),
        }));
    let request = handle.route().add(route).replace();
    let what = format!(
        "add the tunnel's {family} route to table {}",
        settings.route_table
    );
    request.execute().await.map_err(refused(what))
}

async fn ensure_rule(handle: &Handle, settings: &Settings, family: Family) -> Result<(), Error> {
    let mut rules = rules(handle, settings, family).await?;
    let right = rules.iter().position(|rule| is_right(rule, settings));
    match right {
        Some(right) => {
            rules.swap_remove(right);
        }
        None => add_rule(handle, settings, family).await?,
    }
    delete_rules(handle, rules).await
}

async fn add_rule(handle: &Handle, settings: &Settings, family: Family) -> Result<(), Error> {
    let mut request = handle
        .rule()
        .add()
        .action(RuleAction::ToTable)
        .priority(settings.rule_preference)
        .table_id(settings.route_table)
        .fw_mark(settings.mark_bit);
    request.message_mut().header.family = address_family(family);
    request.message_mut().attributes.extend([
        RuleAttribute::FwMask(settings.mark_bit),
        RuleAttribute::Protocol(RouteProtocol::from(settings.route_protocol)),
    ]);
    let added = already(request.execute().await, &[Errno::EEXIST]);
    added.map_err(refused(format!(
        "add the {family} routing rule with preference {}",
        settings.rule_preference
    )))
}

/// Egret's rules of a family: those with its protocol number.
async fn rules(
    handle: &Handle,
    settings: &Settings,
    family: Family,
) -> Result<Vec<RuleMessage>, Error> {
    let version = match family {
        Family::V4 => IpVersion::V4,
        Family::V6 => IpVersion::V6,
    };
    let protocol = RuleAttribute::Protocol(RouteProtocol::from(settings.route_protocol));
    let rules: Vec<RuleMessage> = handle
        .rule()
        .get(version)
        .execute()
        .try_collect()
        .await
        .map_err(refused("list routing rules"))?;
    Ok(rules
        .into_iter()
        .filter(|rule| rule.attributes.contains(&protocol))
        .collect())
}

fn is_right(rule: &RuleMessage, settings: &Settings) -> bool {
    [
        RuleAttribute::Priority(settings.rule_preference),
        RuleAttribute::FwMark(settings.mark_bit),
        RuleAttribute::FwMask(settings.mark_bit),
        RuleAttribute::Table(settings.route_table),
    ]
    .iter()
    .all(|wanted| rule.attributes.contains(wanted))
}

async fn delete_rules(handle: &Handle, rules: Vec<RuleMessage>) -> Result<(), Error> {
    for rule in rules {
        let deleted = already(handle.rule().del(rule).execute().await, &[Errno::ENOENT]);
        deleted.map_err(refused("remove a routing rule"))?;
    }
    Ok(())
}

/// Removes the rule of a family; the route and the neighbour go with the tunnel's link.
pub(super) async fn remove(
    handle: &Handle,
    settings: &Settings,
    family: Family,
) -> Result<(), Error> {
    let rules = rules(handle, settings, family).await?;
    delete_rules(handle, rules).await
}
