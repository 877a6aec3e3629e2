//! The pools as they are stored, with what of their addresses is free.
//!
//! Owns the rule, the operator's too, that a pool which has become illegible keeps its last legible spec, and which
//! name may have been meant by one that no pool has. Never says what is wrong with a pool.

use std::collections::BTreeMap;
use std::net::IpAddr;

use strsim::osa_distance;

use super::PoolDraft;
use crate::addresses::Addresses;
use crate::listing::listed;
use crate::name::PoolName;
use crate::pool::{Bounds, Pool as Allocator, PoolSpec, Refusal};

/// Of other pools' names, more than this many help nobody.
const NAMES_SHOWN: usize = 5;

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Pools(BTreeMap<PoolName, Pool>);

/// One pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) deleting: bool,
    is_default: bool,
    /// `None` as long as it has never been legible.
    pub(super) legible: Option<Legible>,
}

/// What a legible spec gives.
#[derive(Debug)]
pub(super) struct Legible {
    pub(super) spec: PoolSpec,
    pub(super) bounds: Bounds,
    /// In it just those addresses are taken that some Egress shows.
    pub(super) allocator: Allocator,
}

/// The pool for Egresses that name neither an address nor a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultPool {
    /// No pool is marked as that.
    None,
    /// This one.
    One(PoolName),
    /// More than one is marked, so none is.
    Several(Vec<PoolName>),
}

impl Pool {
    /// Whether an address may lie in it: yes, unless its ranges are known and none contains it.
    pub(super) fn may_contain(&self, ip: IpAddr) -> bool {
        self.legible
            .as_ref()
            .is_none_or(|legible| legible.contains(ip))
    }
}

impl Legible {
    fn new(spec: &PoolSpec, addresses: &Addresses) -> Self {
        let bounds = spec.bounds();
        let mut allocator = Allocator::new(spec);
        for range in bounds.ranges() {
            for (ip, _) in addresses.occupied_in(range) {
                // Refused where the pool does not hand it out: then there is nothing to mark.
                let _ = allocator.claim(ip);
            }
        }
        Self {
            spec: spec.clone(),
            bounds,
            allocator,
        }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        !matches!(self.allocator.refusal(ip), Some(Refusal::Outside { .. }))
    }
}

impl Pools {
    pub(super) fn get(&self, name: &PoolName) -> Option<&Pool> {
        self.0.get(name)
    }

    pub(super) fn legible(&self, name: &PoolName) -> Option<&Legible> {
        self.0.get(name)?.legible.as_ref()
    }

    /// All other pools that are legible.
    pub(super) fn others<'a>(
        &'a self,
        than: &'a PoolName,
    ) -> impl Iterator<Item = (&'a PoolName, &'a Legible)> {
        self.0
            .iter()
            .filter(move |(name, _)| *name != than)
            .filter_map(|(name, pool)| Some((name, pool.legible.as_ref()?)))
    }

    /// A pool that contains the address.
    pub(super) fn around(&self, ip: IpAddr) -> Option<&PoolName> {
        let mut legible = self
            .0
            .iter()
            .filter_map(|(name, pool)| Some((name, pool.legible.as_ref()?)));
        legible.find_map(|(name, pool)| pool.contains(ip).then_some(name))
    }

    pub(super) fn set(&mut self, draft: &PoolDraft, addresses: &Addresses) {
        let pool = self.0.entry(draft.spec.name.clone()).or_default();
        pool.deleting = draft.spec.deleting;
        pool.is_default = draft.is_default;
        let is_known = pool
            .legible
            .as_ref()
            .is_some_and(|legible| legible.spec == draft.spec);
        if draft.problems.is_empty() && !is_known {
            pool.legible = Some(Legible::new(&draft.spec, addresses));
        }
    }

    pub(super) fn set_unreadable(&mut self, name: PoolName) {
        self.0.entry(name).or_default();
    }

    pub(super) fn remove(&mut self, name: &PoolName) {
        self.0.remove(name);
    }

    /// Marks an address as taken or free wherever it is handed out.
    pub(super) fn mark(&mut self, ip: IpAddr, is_taken: bool) {
        for Legible { allocator, .. } in
            self.0.values_mut().filter_map(|pool| pool.legible.as_mut())
        {
            if is_taken {
                let _ = allocator.claim(ip);
            } else {
                allocator.release(ip);
            }
        }
    }

    pub(super) fn default_pool(&self) -> DefaultPool {
        let mut marked: Vec<_> = self
            .0
            .iter()
            .filter(|(_, pool)| pool.is_default && !pool.deleting)
            .map(|(name, _)| name.clone())
            .collect();
        match marked.pop() {
            None => DefaultPool::None,
            Some(only) if marked.is_empty() => DefaultPool::One(only),
            Some(last) => {
                marked.push(last);
                DefaultPool::Several(marked)
            }
        }
    }

    /// What to do about a name that no pool has.
    pub(super) fn instead_of(&self, missing: &PoolName) -> String {
        if let Some(nearest) = self.nearest(missing) {
            return format!("did you mean {nearest:?}?");
        }
        let names: Vec<_> = self.0.keys().collect();
        if names.is_empty() {
            return "create it first".to_owned();
        }
        format!(
            "create it first, or name one that exists: {}",
            listed(&names, NAMES_SHOWN)
        )
    }

    /// The pool whose name is so near that the other may be a slip of the keyboard: one letter in three.
    fn nearest(&self, missing: &PoolName) -> Option<&PoolName> {
        let distance = |name: &PoolName| osa_distance(name.as_str(), missing.as_str());
        let (distance, nearest) = self.0.keys().map(|name| (distance(name), name)).min()?;
        (distance <= missing.as_str().chars().count().div_ceil(3)).then_some(nearest)
    }
}
