//! The pools as they are, with their allocators.
//!
//! Owns the rule that a pool which has become illegible keeps its last legible spec. Never decides who gets an address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::fact::PoolFact;
use crate::addresses::Addresses;
use crate::name::PoolName;
use crate::pool::{Pool as Allocator, PoolSpec, Refusal};
use crate::selector::Selector;

/// All pools.
#[derive(Debug, Default)]
pub(super) struct Pools(BTreeMap<PoolName, Pool>);

/// A pool and its allocator.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// `None` as long as it was never readable at all.
    pub(super) fact: Option<PoolFact>,
    /// Of the last legible spec, `None` if there was none yet.
    pub(super) legible: Option<Legible>,
}

/// What a legible spec gives.
#[derive(Debug)]
pub(super) struct Legible {
    spec: PoolSpec,
    /// In it just those addresses are taken that are occupied.
    pub(super) allocator: Allocator,
}

impl Pool {
    /// Whether it gives out no new addresses because it is going.
    pub(super) fn is_deleting(&self) -> bool {
        self.fact.as_ref().is_some_and(|fact| fact.deleting)
    }

    /// Whether an address may lie in it: yes, unless its ranges are known and none contains it.
    pub(super) fn may_contain(&self, ip: IpAddr) -> bool {
        let refusal = self
            .legible
            .as_ref()
            .and_then(|legible| legible.allocator.refusal(ip));
        !matches!(refusal, Some(Refusal::Outside { .. }))
    }
}

impl Pools {
    pub(super) fn get(&self, name: &PoolName) -> Option<&Pool> {
        self.0.get(name)
    }

    /// The nodes that a pool selects, as far as known.
    pub(super) fn selector(&self, name: &PoolName) -> Option<&Selector> {
        self.0
            .get(name)?
            .legible
            .as_ref()
            .map(|legible| &legible.spec.nodes)
    }

    /// Each pool with the nodes it selects.
    pub(super) fn selectors(&self) -> impl Iterator<Item = (&PoolName, &Selector)> {
        self.0
            .iter()
            .filter_map(|(name, pool)| Some((name, &pool.legible.as_ref()?.spec.nodes)))
    }

    /// The pools that an address may lie in.
    pub(super) fn around(&self, ip: IpAddr) -> impl Iterator<Item = &PoolName> {
        self.0
            .iter()
            .filter(move |(_, pool)| pool.may_contain(ip))
            .map(|(name, _)| name)
    }

    /// Notes what a pool is. Whether that may make a difference to those who use it.
    pub(super) fn set(&mut self, fact: PoolFact, addresses: &Addresses) -> bool {
        let is_new = !self.0.contains_key(&fact.name);
        let pool = self.0.entry(fact.name.clone()).or_default();
        let was_deleting = pool.is_deleting();
        let is_respecified = match &fact.spec {
            Ok(spec) => pool.respecify(spec, addresses),
            Err(_) => false,
        };
        pool.fact = Some(fact);
        is_new || is_respecified || was_deleting != pool.is_deleting()
    }

    /// Notes that there is such a pool. Whether that is news.
    pub(super) fn set_unreadable(&mut self, name: &PoolName) -> bool {
        let is_new = !self.0.contains_key(name);
        self.0.entry(name.clone()).or_default();
        is_new
    }

    pub(super) fn remove(&mut self, name: &PoolName) {
        self.0.remove(name);
    }

    /// Marks an address as taken or free wherever it is handed out. Gives the pools in which that is news.
    pub(super) fn mark(&mut self, ip: IpAddr, is_taken: bool) -> Vec<PoolName> {
        let mut changed = Vec::new();
        for (name, pool) in &mut self.0 {
            if pool.mark(ip, is_taken) {
                changed.push(name.clone());
            }
        }
        changed
    }
}

impl Pool {
    fn respecify(&mut self, spec: &PoolSpec, addresses: &Addresses) -> bool {
        if self
            .legible
            .as_ref()
            .is_some_and(|legible| legible.spec == *spec)
        {
            return false;
        }
        let mut allocator = Allocator::new(spec);
        for ip in addresses.occupied() {
            // Refused where the pool does not hand it out: then there is nothing to mark.
            let _ = allocator.claim(ip);
        }
        self.legible = Some(Legible {
            spec: spec.clone(),
            allocator,
        });
        true
    }

    fn mark(&mut self, ip: IpAddr, is_taken: bool) -> bool {
        let Some(Legible { allocator, .. }) = &mut self.legible else {
            return false;
        };
        let was_taken = allocator.is_taken(ip);
        if is_taken {
            return allocator.claim(ip).is_ok();
        }
        allocator.release(ip);
        was_taken
    }
}
