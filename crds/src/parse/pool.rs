//! `ExternalIPPool` to [`egret_domain::pool::PoolSpec`].
//!
//! Owns what one pool's fields must have to do with each other. Never compares pools.

use std::net::IpAddr;

use egret_domain::admission::PoolDraft;
use egret_domain::name::PoolName;
use egret_domain::net::{Cidr, Family, IpRange};
use egret_domain::pool as domain;
use thiserror::Error;

use super::address::{self, BadAddress};
use super::egress::indexed;
use super::{metadata, remark, selector};
use crate::pool::{
    DEFAULT_POOL, ExternalIPPool, ExternalIPPoolSpec, IpRange as Given, NOT_ONE_RANGE, SubnetInfo,
};
use egret_domain::problem::{Problem, Problems, all, both, note};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

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
        let PoolDraft { spec, problems, .. } = PoolDraft::from(pool);
        Problems::new(problems).map_or(Ok(spec), Err)
    }
}

/// What can be read, although the rest cannot.
impl From<&ExternalIPPool> for PoolDraft {
    fn from(pool: &ExternalIPPool) -> Self {
        let ExternalIPPool { metadata, spec, .. } = pool;
        let mut problems = Vec::new();
        let name = note(metadata::name(metadata), &mut problems);
        let nodes = selector::selector("spec.nodeSelector", &spec.node_selector);
        let nodes = note(nodes, &mut problems);
        let addresses = Addresses::of(spec, &mut problems);
        let (places, ranges) = addresses.ranges.into_iter().unzip();
        Self {
            has_nodes: nodes.is_some(),
            spec: domain::PoolSpec {
                name: PoolName::from(name.unwrap_or_default()),
                generation: metadata::generation(metadata),
                deleting: metadata::deleting(metadata),
                ranges,
                exclude: addresses.exclude,
                subnet: addresses.subnet,
                nodes: nodes.unwrap_or_default(),
            },
            places,
            has_all_addresses: addresses.are_all,
            is_default: is_default(metadata),
            problems,
            remarks: remark::host_bits(networks(spec)),
        }
    }
}

/// The mark of the pool for Egresses that name none, as with storage classes.
fn is_default(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(DEFAULT_POOL))
        .is_some_and(|value| value == "true")
}

/// What is written as a network, with its path.
fn networks(spec: &ExternalIPPoolSpec) -> impl Iterator<Item = (String, &str)> {
    let ranges = spec.ip_ranges.iter().enumerate();
    let cidrs = ranges.filter_map(|(index, range)| {
        let cidr = range.cidr.as_deref()?;
        Some((format!("{}.cidr", range_path(index)), cidr))
    });
    cidrs.chain(indexed("spec.exclude", &spec.exclude))
}

/// What of a pool's addresses is legible.
struct Addresses {
    /// With their places in the list.
    ranges: Vec<(usize, domain::Range)>,
    exclude: Vec<IpRange>,
    subnet: Option<domain::Subnet>,
    /// Whether that is all of them.
    are_all: bool,
}

impl Addresses {
    fn of(spec: &ExternalIPPoolSpec, problems: &mut Vec<Problem>) -> Self {
        let given = spec.ip_ranges.iter().enumerate();
        let ranges: Vec<_> = given
            .filter_map(|(index, given)| {
                let range = note(range(&range_path(index), given), problems)?;
                Some((index, range))
            })
            .collect();
        let subnet = spec.subnet_info.as_ref().map(subnet).transpose();
        let subnet = note(subnet, problems);
        note(without_overlaps(&ranges), problems);
        let network = subnet.flatten().map(|(_, network)| network);
        note(all_inside(network, &ranges), problems);
        let exclude: Vec<_> = indexed("spec.exclude", &spec.exclude)
            .filter_map(|(path, text)| note(excluded(&path, text), problems))
            .collect();
        let are_all = ranges.len() == spec.ip_ranges.len()
            && exclude.len() == spec.exclude.len()
            && subnet.is_some();
        Self {
            ranges,
            exclude,
            subnet: subnet.flatten().map(|(subnet, _)| subnet),
            are_all,
        }
    }
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

fn without_overlaps(ranges: &[(usize, domain::Range)]) -> Result<Vec<()>, Problems> {
    all(ranges.iter().enumerate().map(|(position, (index, range))| {
        let range = range.bounds();
        let earlier = ranges.iter().take(position);
        let mut overlapping = earlier.filter(|(_, earlier)| overlap(earlier.bounds(), range));
        overlapping.next().map_or(Ok(()), |(other, earlier)| {
            let bad = BadPool::Overlap {
                other: *other,
                range: earlier.bounds(),
            };
            Err(Problems::of(&range_path(*index), &range.to_string(), bad))
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

fn all_inside(
    subnet: Option<Cidr>,
    ranges: &[(usize, domain::Range)],
) -> Result<Vec<()>, Problems> {
    let Some(subnet) = subnet else {
        return Ok(Vec::new());
    };
    all(ranges.iter().map(|(index, range)| {
        let bounds = range.bounds();
        if subnet.contains(bounds.start()) && subnet.contains(bounds.end()) {
            return Ok(());
        }
        let bad = BadPool::OutsideSubnet(subnet);
        Err(Problems::of(&range_path(*index), &range.to_string(), bad))
    }))
}

fn excluded(path: &str, text: &str) -> Result<IpRange, Problems> {
    address::any_range(text).map_err(|bad| Problems::of(path, text, bad))
}

fn range_path(index: usize) -> String {
    format!("spec.ipRanges[{index}]")
}

#[cfg(test)]
mod tests;
