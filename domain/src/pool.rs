//! Pools: what one is, and which addresses it has at all.
//!
//! Owns the rules of what a range hands out; which of it is taken, and what comes next, [`Pool`] knows. Never knows
//! which Egress asked, nor writes anything.
//!
//! Start reading at [`PoolSpec`] and `Range::usable`, then at [`Pool`].

mod allocator;
mod refusal;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use range_set_blaze::RangeSetBlaze;

pub use self::allocator::{Pool, Usage, Yield};
pub(crate) use self::refusal::also_in;
pub use self::refusal::{Refusal, Reservation};
use crate::name::PoolName;
use crate::net::{Cidr, Family, IpRange, unusable_blocks};
use crate::selector::Selector;

/// Addresses of one family as numbers; a run of any length is one entry.
type Numbers = RangeSetBlaze<u128>;

/// A pool as the user wrote it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The object's name.
    pub name: PoolName,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether deletion has been asked for.
    pub deleting: bool,
    /// Where its addresses come from, in the user's order.
    pub ranges: Vec<Range>,
    /// Addresses that are never handed out.
    pub exclude: Vec<IpRange>,
    /// The subnet of its addresses, where it is not the nodes' own.
    pub subnet: Option<Subnet>,
    /// The nodes that may hold its addresses.
    pub nodes: Selector,
}

impl PoolSpec {
    /// All addresses inside its ranges, whether handed out or not.
    pub fn bounds(&self) -> Bounds {
        Bounds(by_family(self.ranges.iter().map(|range| range.bounds())))
    }

    /// The addresses that it hands out.
    fn usable(&self) -> Bounds {
        let mut families: BTreeMap<Family, Numbers> = BTreeMap::new();
        for range in &self.ranges {
            let family = families.entry(range.bounds().family()).or_default();
            family.ranges_insert(range.usable());
        }
        Bounds(families).without(&Bounds(self.withheld()))
    }

    /// The subnet's router.
    fn gateway(&self) -> Option<IpAddr> {
        self.subnet.map(|subnet| subnet.gateway)
    }

    /// The addresses that no range hands out, whatever its own rule is.
    fn withheld(&self) -> BTreeMap<Family, Numbers> {
        let unusable = [Family::V4, Family::V6]
            .into_iter()
            .flat_map(unusable_blocks);
        by_family(
            self.exclude
                .iter()
                .copied()
                .chain(self.gateway().map(IpRange::single))
                .chain(unusable.map(|(range, _)| range)),
        )
    }
}

/// One entry of `spec.ipRanges`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// A network: its first address is reserved, for IPv4 its last too, where it is larger than two addresses.
    Cidr(Cidr),
    /// Every address from first to last.
    Span(IpRange),
}

impl Range {
    /// From first to last address, reserved ones included.
    pub fn bounds(self) -> IpRange {
        match self {
            Self::Cidr(cidr) => cidr.range(),
            Self::Span(span) => span,
        }
    }

    /// The addresses that this range hands out.
    fn usable(self) -> RangeInclusive<u128> {
        let all = self.bounds().numbers();
        match self {
            Self::Cidr(cidr) if cidr.family().bits() - cidr.prefix() > 1 => {
                let last_reserved = u128::from(cidr.family() == Family::V4);
                all.start() + 1..=all.end() - last_reserved
            }
            Self::Cidr(_) | Self::Span(_) => all,
        }
    }

    /// Which one it is of the addresses that this range keeps back.
    fn reservation(self, ip: IpAddr) -> Reservation {
        if ip == self.bounds().start() {
            Reservation::FirstAddress
        } else {
            Reservation::Broadcast
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::Span(span) => span.fmt(f),
        }
    }
}

/// `spec.subnetInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The router, never handed out.
    pub gateway: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
    /// VLAN id; `None` is untagged.
    pub vlan: Option<u16>,
}

/// A set of addresses, those of a whole pool for example. Costs what its runs cost, however long they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds(BTreeMap<Family, Numbers>);

impl Bounds {
    /// Its addresses, IPv4 first, in ascending order and as few ranges as possible.
    pub fn ranges(&self) -> Vec<IpRange> {
        let runs = |(family, numbers): (&Family, &Numbers)| {
            let ranges = numbers.ranges();
            let family = *family;
            ranges
                .filter_map(|run| IpRange::from_numbers(family, &run))
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(runs).collect()
    }

    /// The addresses that are in both.
    #[must_use]
    pub(crate) fn shared_with(&self, other: &Self) -> Self {
        self.combined(other, |mine, theirs| mine & theirs)
    }

    /// Its addresses that the other lacks.
    #[must_use]
    fn without(&self, other: &Self) -> Self {
        self.combined(other, |mine, theirs| mine - theirs)
    }

    fn combined(&self, other: &Self, how: impl Fn(&Numbers, &Numbers) -> Numbers) -> Self {
        let nothing = Numbers::default();
        let families = self.0.iter().map(|(family, mine)| {
            let theirs = other.0.get(family).unwrap_or(&nothing);
            (*family, how(mine, theirs))
        });
        Self(families.collect())
    }
}

/// The addresses that lie in ranges of both pools. Reserved and excluded addresses count too: two pools never share
/// even these.
pub fn overlaps(a: &PoolSpec, b: &PoolSpec) -> Vec<IpRange> {
    a.bounds().shared_with(&b.bounds()).ranges()
}

/// The addresses that one who has them loses when a pool is changed so: those that it no longer contains, and those
/// that it no longer hands out.
pub fn lost(before: &PoolSpec, after: &PoolSpec) -> Vec<IpRange> {
    let outside = before.bounds().without(&after.bounds());
    let withheld = before.usable().without(&after.usable());
    let withheld_inside = withheld.without(&outside);
    let mut lost = outside.ranges();
    lost.extend(withheld_inside.ranges());
    lost
}

fn by_family(ranges: impl Iterator<Item = IpRange>) -> BTreeMap<Family, Numbers> {
    let mut families: BTreeMap<Family, Numbers> = BTreeMap::new();
    for range in ranges {
        families
            .entry(range.family())
            .or_default()
            .ranges_insert(range.numbers());
    }
    families
}

#[cfg(test)]
mod tests;
