//! The allocator of one pool.
//!
//! Owns which addresses are free. Never handles single addresses of a range in bulk: a range is one run in a set, so a
//! whole address family costs as little as one address.

use std::net::IpAddr;

use range_set_blaze::{Integer, UIntPlusOne};

use super::{Numbers, PoolSpec, Range, Refusal};
use crate::name::PoolName;
use crate::net::{Family, IpRange, to_number, unusable};

/// The free and the taken addresses of one pool.
///
/// A call costs time in proportion to the number of the pool's ranges and to the logarithm of the number of runs of
/// free addresses; how large the ranges are does not matter.
#[derive(Debug, Clone)]
pub struct Pool {
    spec: PoolSpec,
    yields: Vec<Yield>,
    blocks: Vec<Block>,
}

/// Addresses of one pool that another hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yield {
    /// The other pool.
    pub to: PoolName,
    /// The addresses that both contain.
    pub shared: Vec<IpRange>,
}

/// How many addresses a pool has. Both figures stay at `i64::MAX` where they would exceed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Addresses that the pool hands out; those reserved, excluded, or its gateway's are not among them.
    pub total: i64,
    /// Those of them that are taken.
    pub used: i64,
}

/// What one range hands out, without what an earlier range of the pool hands out already.
#[derive(Debug, Clone)]
struct Block {
    family: Family,
    usable: Numbers,
    free: Numbers,
}

impl Pool {
    /// The allocator of a pool of which nothing is taken yet.
    pub fn new(spec: &PoolSpec) -> Self {
        Self::yielding(spec, Vec::new())
    }

    /// The same for a pool that does not hand out what others do.
    pub(crate) fn yielding(spec: &PoolSpec, yields: Vec<Yield>) -> Self {
        let mut unavailable = spec.withheld();
        for range in yields.iter().flat_map(|one| &one.shared) {
            let family = unavailable.entry(range.family()).or_default();
            family.ranges_insert(range.numbers());
        }
        let block = |range: &Range| {
            let family = range.bounds().family();
            Block::new(*range, unavailable.entry(family).or_default())
        };
        Self {
            blocks: spec.ranges.iter().map(block).collect(),
            spec: spec.clone(),
            yields,
        }
    }

    /// What it leaves to others.
    pub fn yields(&self) -> &[Yield] {
        &self.yields
    }

    /// Takes this address: the next free one, a user's wish, or what an Egress had before a restart.
    pub fn claim(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        self.refusal(ip).map_or(Ok(()), Err)?;
        if let Some(block) = self.blocks.iter_mut().find(|block| block.has(ip)) {
            block.free.remove(to_number(ip));
        }
        Ok(())
    }

    /// Gives an address back. One that is free, or that the pool does not hand out, is ignored.
    pub fn release(&mut self, ip: IpAddr) {
        if let Some(block) = self.blocks.iter_mut().find(|block| block.has(ip)) {
            block.free.insert(to_number(ip));
        }
    }

    /// Why [`Pool::claim`] would refuse the address; `None` if it is free.
    pub fn refusal(&self, ip: IpAddr) -> Option<Refusal> {
        match self.block_of(ip) {
            None => Some(self.why_withheld(ip)),
            Some(block) if block.is_free(ip) => None,
            Some(_) => Some(Refusal::Taken {
                ip,
                pool: self.spec.name.clone(),
            }),
        }
    }

    /// Whether the address is handed out by this pool and taken.
    pub fn is_taken(&self, ip: IpAddr) -> bool {
        self.block_of(ip).is_some_and(|block| !block.is_free(ip))
    }

    /// How many addresses there are and how many are taken.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for block in &self.blocks {
            let total = block.usable.len();
            let mut used = total;
            used -= block.free.len();
            usage.total = usage.total.saturating_add(saturate(total));
            usage.used = usage.used.saturating_add(saturate(used));
        }
        usage
    }

    /// The first runs of free addresses in the order of allocation, at most so many: by the ranges in the order of the
    /// spec, the lowest first.
    pub(crate) fn free_ranges(&self, at_most: usize) -> Vec<IpRange> {
        self.blocks
            .iter()
            .flat_map(Block::free_ranges)
            .take(at_most)
            .collect()
    }

    fn block_of(&self, ip: IpAddr) -> Option<&Block> {
        self.blocks.iter().find(|block| block.has(ip))
    }

    /// Why an address is in none of the blocks.
    fn why_withheld(&self, ip: IpAddr) -> Refusal {
        let PoolSpec {
            name,
            ranges,
            exclude,
            ..
        } = &self.spec;
        let pool = name.clone();
        let Some(&range) = ranges.iter().find(|range| range.bounds().contains(ip)) else {
            return Refusal::Outside { ip, pool };
        };
        if let Some(kind) = unusable(ip) {
            return Refusal::Unusable { ip, kind };
        }
        if self.spec.gateway() == Some(ip) {
            return Refusal::Gateway { ip, pool };
        }
        if let Some(&entry) = exclude.iter().find(|entry| entry.contains(ip)) {
            return Refusal::Excluded { ip, pool, entry };
        }
        if let Some(one) = self.yields.iter().find(|one| one.has(ip)) {
            let other = one.to.clone();
            return Refusal::OfOther { ip, pool, other };
        }
        Refusal::Reserved {
            ip,
            range,
            why: range.reservation(ip),
        }
    }
}

impl Yield {
    fn has(&self, ip: IpAddr) -> bool {
        self.shared.iter().any(|range| range.contains(ip))
    }
}

impl Block {
    /// The block of a range; what it hands out is added to what later ranges cannot.
    fn new(range: Range, unavailable: &mut Numbers) -> Self {
        let usable = &Numbers::from(range.usable()) - &*unavailable;
        *unavailable |= &usable;
        Self {
            family: range.bounds().family(),
            free: usable.clone(),
            usable,
        }
    }

    fn has(&self, ip: IpAddr) -> bool {
        self.family == Family::of(ip) && self.usable.contains(to_number(ip))
    }

    /// Only for an address that it [has](Self::has).
    fn is_free(&self, ip: IpAddr) -> bool {
        self.free.contains(to_number(ip))
    }

    fn free_ranges(&self) -> impl Iterator<Item = IpRange> {
        self.free
            .ranges()
            .filter_map(|run| IpRange::from_numbers(self.family, &run))
    }
}

fn saturate(count: <u128 as Integer>::SafeLen) -> i64 {
    match count {
        UIntPlusOne::UInt(count) => i64::try_from(count).unwrap_or(i64::MAX),
        UIntPlusOne::MaxPlusOne => i64::MAX,
    }
}
