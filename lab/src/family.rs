//! The families that a lab's addresses are of, and addresses of one or of both.
//!
//! Never knows who has which (see `topology`).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a lab's addresses are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both, IPv4 first.
    Dual,
}

impl Families {
    /// Each of them, the primary one first.
    pub fn each(self) -> impl Iterator<Item = Family> + Clone {
        let (first, second) = match self {
            Self::Ipv4 => (Family::V4, None),
            Self::Ipv6 => (Family::V6, None),
            Self::Dual => (Family::V4, Some(Family::V6)),
        };
        [first].into_iter().chain(second)
    }

    /// The primary one.
    pub fn first(self) -> Family {
        match self {
            Self::Ipv4 | Self::Dual => Family::V4,
            Self::Ipv6 => Family::V6,
        }
    }

    /// Whether this is one of them.
    pub fn has(self, family: Family) -> bool {
        self.each().any(|one| one == family)
    }
}

/// Addresses of one thing, one of each family of its lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The primary one.
    pub first: IpAddr,
    /// That of the other family, in a lab of both.
    pub second: Option<IpAddr>,
}

impl Addresses {
    /// The address of each family.
    pub fn of(families: Families, address: impl Fn(Family) -> IpAddr) -> Self {
        Self {
            first: address(families.first()),
            second: families.each().nth(1).map(address),
        }
    }

    /// All of them, the primary one first.
    pub fn all(self) -> impl Iterator<Item = IpAddr> {
        [self.first].into_iter().chain(self.second)
    }

    /// The families that they are of.
    pub fn families(self) -> Families {
        match self {
            Self {
                second: Some(_), ..
            } => Families::Dual,
            Self { first, .. } if first.is_ipv4() => Families::Ipv4,
            Self { .. } => Families::Ipv6,
        }
    }

    /// As a status lists them.
    pub fn listed(self) -> Vec<serde_json::Value> {
        let all = self.all();
        all.map(|ip| serde_json::json!({"ip": ip.to_string()}))
            .collect()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.second.map_or(Ok(()), |second| write!(f, " {second}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_their_families_and_the_primary_one_comes_first() {
        for families in [Families::Ipv4, Families::Ipv6, Families::Dual] {
            let addresses = Addresses::of(families, |family| match family {
                Family::V4 => IpAddr::from([10, 0, 0, 1]),
                Family::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
            });
            assert_eq!(addresses.families(), families);
        }
        let both = Addresses {
            first: IpAddr::from([10, 0, 0, 1]),
            second: Some(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])),
        };
        assert_eq!(both.to_string(), "10.0.0.1 fd00::1");
    }
}
