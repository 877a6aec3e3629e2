//! `ExternalIPPool` to [`egret_domain::pool::PoolSpec`].
//!
//! Owns what one pool's fields must have to do with each other. Never compares pools.

use std::net::IpAddr;

use egret_domain::name::PoolName;
use egret_domain::net::{Cidr, Family, IpRange};
use egret_domain::pool as domain;
use thiserror::Error;

use super::address::{self, BadAddress};
use super::{metadata, selector};
use crate::pool::{
    ExternalIPPool, ExternalIPPoolSpec, IpRange as Given, NOT_ONE_RANGE, SubnetInfo,
};
use crate::problem::{Problems, all, both};

/// The longest prefixes that leave room for a router and another address.
const PREFIX_MAX_V4: u8 = 31;
const PREFIX_MAX_V6: u8 = 127;
const VLAN_MAX: u16 = 4094;

/// Why a pool cannot be what it says, although each address in it is well written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum BadPool {
    #[error("overlaps spec.ipRanges[{other}] ({range}): list each address once")]
    Overlap { other: usize, range: IpRange },
    #[error("is not inside {0}, the subnet that spec.subnetInfo gives: correct one of them")]
    OutsideSubnet(Cidr),
    #[error("must be from 1 to {0} for this gateway")]
    Prefix(u8),
    #[error("must be from 1 to 4094, or 0 for none")]
    Vlan,
}

impl TryFrom<&ExternalIPPool> for domain::PoolSpec {
    type Error = Problems;

    fn try_from(pool: &ExternalIPPool) -> Result<Self, Problems> {
        let ExternalIPPool { metadata, spec, .. } = pool;
        let who = both(
            metadata::name(metadata),
            selector::selector("spec.nodeSelector", &spec.node_selector),
        );
        let addresses = both(ranges_in_subnet(spec), exclude(&spec.exclude));
        let ((name, nodes), ((ranges, subnet), exclude)) = both(who, addresses)?;
        Ok(Self {
            name: PoolName::from(name),
            generation: metadata::generation(metadata),
            deleting: metadata::deleting(metadata),
            ranges,
            exclude,
            subnet,
            nodes,
        })
    }
}

type RangesAndSubnet = (Vec<domain::Range>, Option<domain::Subnet>);

fn ranges_in_subnet(spec: &ExternalIPPoolSpec) -> Result<RangesAndSubnet, Problems> {
    let subnet = spec.subnet_info.as_ref().map(subnet).transpose();
    let (ranges, subnet) = both(ranges(&spec.ip_ranges), subnet)?;
    let network = subnet.map(|(_, network)| network);
    both(without_overlaps(&ranges), all_inside(network, &ranges))?;
    Ok((ranges, subnet.map(|(subnet, _)| subnet)))
}

fn ranges(given: &[Given]) -> Result<Vec<domain::Range>, Problems> {
    let indexed = given.iter().enumerate();
    all(indexed.map(|(index, given)| range(&range_path(index), given)))
}

fn range(path: &str, given: &Given) -> Result<domain::Range, Problems> {
    match (
        given.cidr.as_deref(),
        given.start.as_deref(),
        given.end.as_deref(),
    ) {
        (Some(cidr), None, None) => network(&format!("{path}.cidr"), cidr),
        (None, Some(start), Some(end)) => span(path, start, end),
        _ => Err(Problems::at(path, NOT_ONE_RANGE)),
    }
}

fn network(path: &str, text: &str) -> Result<domain::Range, Problems> {
    let usable = address::network(text).and_then(|network| {
        address::routable_range(network.range())?;
        Ok(domain::Range::Cidr(network))
    });
    usable.map_err(|bad| Problems::of(path, text, bad))
}

fn span(path: &str, start: &str, end: &str) -> Result<domain::Range, Problems> {
    let (first, last) = both(
        field(&format!("{path}.start"), start),
        field(&format!("{path}.end"), end),
    )?;
    IpRange::new(first, last)
        .map_err(BadAddress::from)
        .and_then(address::routable_range)
        .map(domain::Range::Span)
        .map_err(|bad| Problems::of(path, &format!("{start}-{end}"), bad))
}

fn field(path: &str, text: &str) -> Result<IpAddr, Problems> {
    address::address(text).map_err(|bad| Problems::of(path, text, bad))
}

/// Every address of an entry, those included that are never handed out.
fn extent(range: domain::Range) -> IpRange {
    match range {
        domain::Range::Cidr(network) => network.range(),
        domain::Range::Span(span) => span,
    }
}

fn without_overlaps(ranges: &[domain::Range]) -> Result<Vec<()>, Problems> {
    all(ranges.iter().enumerate().map(|(index, range)| {
        let range = extent(*range);
        let earlier = ranges
            .iter()
            .take(index)
            .map(|earlier| extent(*earlier))
            .enumerate();
        let mut overlapping = earlier.filter(|(_, earlier)| overlap(*earlier, range));
        overlapping.next().map_or(Ok(()), |(other, earlier)| {
            let bad = BadPool::Overlap {
                other,
                range: earlier,
            };
            Err(Problems::of(&range_path(index), &range.to_string(), bad))
        })
    }))
}

fn overlap(one: IpRange, other: IpRange) -> bool {
    one.contains(other.start()) || other.contains(one.start())
}

/// The subnet as it is used, and as a network.
fn subnet(given: &SubnetInfo) -> Result<(domain::Subnet, Cidr), Problems> {
    let gateway = address::routable(&given.gateway)
        .map_err(|bad| Problems::of("spec.subnetInfo.gateway", &given.gateway, bad));
    let network = gateway.and_then(|ip| Ok((ip, network_around(ip, given.prefix_length)?)));
    both(network, vlan(given.vlan)).map(|((gateway, network), vlan)| {
        (
            domain::Subnet {
                gateway,
                prefix: network.prefix(),
                vlan,
            },
            network,
        )
    })
}

fn network_around(gateway: IpAddr, length: i32) -> Result<Cidr, Problems> {
    let max = match Family::of(gateway) {
        Family::V4 => PREFIX_MAX_V4,
        Family::V6 => PREFIX_MAX_V6,
    };
    let prefix = u8::try_from(length)
        .ok()
        .filter(|prefix| (1..=max).contains(prefix));
    prefix
        .and_then(|prefix| Cidr::new(gateway, prefix))
        .ok_or_else(|| {
            Problems::of(
                "spec.subnetInfo.prefixLength",
                &length.to_string(),
                BadPool::Prefix(max),
            )
        })
}

fn vlan(given: Option<i32>) -> Result<Option<u16>, Problems> {
    let Some(id) = given.filter(|id| *id != 0) else {
        return Ok(None);
    };
    let bad = || Problems::of("spec.subnetInfo.vlan", &id.to_string(), BadPool::Vlan);
    u16::try_from(id)
        .ok()
        .filter(|id| *id <= VLAN_MAX)
        .map(Some)
        .ok_or_else(bad)
}

fn all_inside(subnet: Option<Cidr>, ranges: &[domain::Range]) -> Result<Vec<()>, Problems> {
    let Some(subnet) = subnet else {
        return Ok(Vec::new());
    };
    all(ranges.iter().enumerate().map(|(index, range)| {
        let range = extent(*range);
        if subnet.contains(range.start()) && subnet.contains(range.end()) {
            return Ok(());
        }
        let bad = BadPool::OutsideSubnet(subnet);
        Err(Problems::of(&range_path(index), &range.to_string(), bad))
    }))
}

fn exclude(given: &[String]) -> Result<Vec<IpRange>, Problems> {
    all(given.iter().enumerate().map(|(index, text)| {
        let path = format!("spec.exclude[{index}]");
        address::any_range(text).map_err(|bad| Problems::of(&path, text, bad))
    }))
}

fn range_path(index: usize) -> String {
    format!("spec.ipRanges[{index}]")
}

#[cfg(test)]
mod tests;
