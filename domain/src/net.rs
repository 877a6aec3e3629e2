//! Addresses, address ranges and Ethernet addresses, in canonical form.
//!
//! Owns their parsing and arithmetic without overflow. Says which addresses are good for nothing outside a node, and never
//! more of what one may be used for (see [`crate::pool`]).

mod special;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use thiserror::Error;

pub use self::special::{blocks as unusable_blocks, unusable, unusable_throughout};

/// Address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An address as a number; within one family the order of numbers is the order of addresses.
pub(crate) fn to_number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address that a number stands for; `None` if the family has no such address.
pub(crate) fn from_number(family: Family, number: u128) -> Option<IpAddr> {
    match family {
        Family::V4 => u32::try_from(number)
            .ok()
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        Family::V6 => Some(Ipv6Addr::from_bits(number).into()),
    }
}

/// A network whose host bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} is not a network: write ADDRESS/PREFIX, such as 10.10.1.0/28 or fd00::/64")]
pub struct BadCidr {
    text: String,
}

impl Cidr {
    /// The network of that prefix length around an address; `None` if the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let network = IpNetwork::new(address, prefix).ok()?;
        Some(Self {
            network: network.network(),
            prefix,
        })
    }

    /// The network of one address.
    pub fn host(address: IpAddr) -> Self {
        Self {
            network: address,
            prefix: Family::of(address).bits(),
        }
    }

    /// First address.
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// Prefix length in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Address family.
    pub fn family(self) -> Family {
        Family::of(self.network)
    }

    /// All its addresses, first and last included.
    pub fn range(self) -> IpRange {
        let family = self.family();
        let host_bits = u32::from(family.bits() - self.prefix);
        let mask = 1_u128
            .checked_shl(host_bits)
            .map_or(u128::MAX, |size| size - 1);
        let end = from_number(family, to_number(self.network) | mask).unwrap_or(self.network);
        IpRange {
            start: self.network,
            end,
        }
    }

    /// Whether the address lies inside.
    pub fn contains(self, ip: IpAddr) -> bool {
        self.range().contains(ip)
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr {
            text: text.to_owned(),
        };
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address = address.parse().map_err(|_| bad())?;
        // Rust's own parser of numbers would take "+5".
        let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| is_number).ok_or_else(bad)?;
        Self::new(address, prefix).ok_or_else(bad)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Addresses from `start` to `end`, both included, of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpRange {
    start: IpAddr,
    end: IpAddr,
}

/// Why two addresses are not a range.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadRange {
    /// One is IPv4, the other IPv6.
    #[error("{start} and {end} are of different families")]
    MixedFamilies {
        /// As given.
        start: IpAddr,
        /// As given.
        end: IpAddr,
    },
    /// The last comes before the first.
    #[error("{start} comes after {end}")]
    Backwards {
        /// As given.
        start: IpAddr,
        /// As given.
        end: IpAddr,
    },
}

impl IpRange {
    /// The range between two addresses.
    pub fn new(start: IpAddr, end: IpAddr) -> Result<Self, BadRange> {
        if Family::of(start) != Family::of(end) {
            return Err(BadRange::MixedFamilies { start, end });
        }
        if start > end {
            return Err(BadRange::Backwards { start, end });
        }
        Ok(Self { start, end })
    }

    /// The range between two numbers (see [`to_number`]); `None` if it is empty or leaves the family.
    pub(crate) fn from_numbers(family: Family, numbers: &RangeInclusive<u128>) -> Option<Self> {
        let start = from_number(family, *numbers.start())?;
        let end = from_number(family, *numbers.end())?;
        Self::new(start, end).ok()
    }

    /// The range of one address.
    pub fn single(ip: IpAddr) -> Self {
        Self { start: ip, end: ip }
    }

    /// First address.
    pub fn start(self) -> IpAddr {
        self.start
    }

    /// Last address.
    pub fn end(self) -> IpAddr {
        self.end
    }

    /// Address family.
    pub fn family(self) -> Family {
        Family::of(self.start)
    }

    /// Its addresses as numbers (see [`to_number`]).
    pub fn numbers(self) -> RangeInclusive<u128> {
        to_number(self.start)..=to_number(self.end)
    }

    /// Whether the address lies inside.
    pub fn contains(self, ip: IpAddr) -> bool {
        // All IPv4 addresses are ordered before all IPv6 addresses, so the other family's are never in between.
        self.start <= ip && ip <= self.end
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            return self.start.fmt(f);
        }
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl fmt::Debug for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// Why a text is not an Ethernet address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} is not an Ethernet address such as 02:e9:0a:0a:00:0b")]
pub struct BadMac {
    text: String,
}

impl FromStr for Mac {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac {
            text: text.to_owned(),
        };
        let mut parts = text.split(':');
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            *byte = parts.next().and_then(hex_byte).ok_or_else(bad)?;
        }
        parts
            .next()
            .is_none()
            .then_some(Self(bytes))
            .ok_or_else(bad)
    }
}

/// Exactly two hexadecimal digits (Rust's own parser of numbers would take "+5").
fn hex_byte(text: &str) -> Option<u8> {
    let is_pair = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_pair.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
