//! Addresses, networks and ranges as users write them.
//!
//! Owns the one accepted spelling (RFC 4291 text for IPv6, four decimal numbers for IPv4) and that addresses which can
//! never be a source outside a node are refused. Never knows in which field a text stands.

use std::net::{IpAddr, Ipv4Addr};

use egret_domain::net::{BadRange, Cidr, Family, IpRange, unusable, unusable_throughout};
use thiserror::Error;

/// Why a text is not the address, network or range that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum BadAddress {
    #[error("is not an IP address: write it like 10.10.0.8 or fd00::8")]
    NotAnAddress,
    #[error("has a number with a leading zero, which some read as octal: write {without}")]
    LeadingZero { without: IpAddr },
    #[error("has a zone: write the address alone, without '%' and what follows")]
    Zone,
    #[error("is a network: write one address, without '/' and what follows")]
    Network,
    #[error(
        "is {kind}, which cannot be used here: write an address that is routed outside the node"
    )]
    Unusable { kind: &'static str },
    #[error("is an IPv4 address written as IPv6: write {0}")]
    Mapped(Ipv4Addr),
    #[error(
        "has no prefix length: write {0} for this address alone, or ADDRESS/PREFIX such as 10.10.1.0/28"
    )]
    NoPrefix(Cidr),
    #[error("has no usable prefix length: write a number from 0 to {max} after '/'")]
    Prefix { max: u8 },
    #[error("is not a network: write ADDRESS/PREFIX, such as 10.10.1.0/28 or fd00::/64")]
    NotANetwork,
    #[error("mixes IPv4 and IPv6: take both ends from one of them")]
    MixedFamilies,
    #[error("ends before it begins: exchange first and last address")]
    Backwards,
    #[error(
        "is no address, network or range: write one like 10.10.0.8, 10.10.0.0/30 or 10.10.0.2-10.10.0.9"
    )]
    NotARange,
}

impl From<BadRange> for BadAddress {
    fn from(bad: BadRange) -> Self {
        match bad {
            BadRange::MixedFamilies { .. } => Self::MixedFamilies,
            BadRange::Backwards { .. } => Self::Backwards,
        }
    }
}

/// One address, of any kind.
pub(super) fn address(text: &str) -> Result<IpAddr, BadAddress> {
    text.parse().map_err(|_| {
        if text.contains('/') {
            BadAddress::Network
        } else if text.contains('%') {
            BadAddress::Zone
        } else if let Ok(without) = without_leading_zeros(text).parse() {
            BadAddress::LeadingZero { without }
        } else {
            BadAddress::NotAnAddress
        }
    })
}

/// One address that can be seen outside a node.
pub(super) fn routable(text: &str) -> Result<IpAddr, BadAddress> {
    let ip = address(text)?;
    match (mapped(ip), unusable(ip)) {
        (Some(plain), _) => Err(BadAddress::Mapped(plain)),
        (None, Some(kind)) => Err(BadAddress::Unusable { kind }),
        (None, None) => Ok(ip),
    }
}

/// A network; its host bits may be set and are masked.
pub(super) fn network(text: &str) -> Result<Cidr, BadAddress> {
    let Some((ip, prefix)) = text.split_once('/') else {
        return Err(match address(text) {
            Ok(ip) => BadAddress::NoPrefix(Cidr::host(ip)),
            Err(BadAddress::NotAnAddress) => BadAddress::NotANetwork,
            Err(other) => other,
        });
    };
    let ip = address(ip).map_err(|bad| match bad {
        BadAddress::NotAnAddress | BadAddress::Network => BadAddress::NotANetwork,
        other => other,
    })?;
    let bad_prefix = BadAddress::Prefix {
        max: Family::of(ip).bits(),
    };
    let length = prefix_length(prefix).ok_or_else(|| bad_prefix.clone())?;
    Cidr::new(ip, length).ok_or(bad_prefix)
}

/// The network that a text means, if it is a network with host bits set.
pub(super) fn masked(text: &str) -> Option<Cidr> {
    let network = network(text).ok()?;
    let (ip, _) = text.split_once('/')?;
    (address(ip).ok()? != network.network()).then_some(network)
}

/// A network, one address, or `FIRST-LAST`.
pub(super) fn any_range(text: &str) -> Result<IpRange, BadAddress> {
    if let Some((start, end)) = text.split_once('-') {
        return Ok(IpRange::new(address(start.trim())?, address(end.trim())?)?);
    }
    if text.contains('/') {
        return network(text).map(Cidr::range);
    }
    address(text).map(IpRange::single).map_err(|bad| match bad {
        BadAddress::NotAnAddress => BadAddress::NotARange,
        other => other,
    })
}

/// Refuses a range of which no address can be seen outside a node. A larger one that merely includes such is legal.
pub(super) fn routable_range(range: IpRange) -> Result<IpRange, BadAddress> {
    let unusable = unusable_throughout(range);
    unusable.map_or(Ok(range), |kind| Err(BadAddress::Unusable { kind }))
}

fn mapped(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    }
}

fn prefix_length(text: &str) -> Option<u8> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

/// The text with the numbers of an IPv4 address as they would be written.
fn without_leading_zeros(text: &str) -> String {
    let numbers = text
        .split('.')
        .map(|number| match number.trim_start_matches('0') {
            "" if !number.is_empty() => "0",
            trimmed => trimmed,
        });
    numbers.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests;
