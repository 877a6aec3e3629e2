//! The pools as they are, with their allocators.
//!
//! Owns the rule that a pool which has become illegible keeps its last legible spec, and the rule that an address in
//! several pools is handed out by the oldest of them alone: the others go on with what they do not share. Who has an
//! address keeps it. Never decides who gets one.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;

use super::fact::PoolFact;
use crate::addresses::Addresses;
use crate::name::PoolName;
use crate::net::IpRange;
use crate::pool::{Bounds, Pool as Allocator, PoolSpec, Refusal, Usage, Yield};
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
    /// The pools that contain addresses of this one, and which; both know of it.
    meets: BTreeMap<PoolName, Vec<IpRange>>,
}

/// What a legible spec gives.
#[derive(Debug)]
pub(super) struct Legible {
    spec: PoolSpec,
    bounds: Bounds,
    /// In it just those addresses are taken that are occupied.
    pub(super) allocator: Allocator,
}

/// What a spec that was written anew differs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// Something, but not in the addresses that it contains.
    Other,
    /// In these.
    Ranges,
}

impl Pool {
    /// Whether it gives out no new addresses because it is going.
    pub(super) fn is_deleting(&self) -> bool {
        self.fact.as_ref().is_some_and(|fact| fact.deleting)
    }

    /// What it leaves to older pools, the oldest first.
    pub(super) fn yields(&self) -> &[Yield] {
        let legible = self.legible.as_ref();
        legible.map_or(&[], |legible| legible.allocator.yields())
    }

    /// Its addresses, unless it has never been legible.
    pub(super) fn usage(&self) -> Option<Usage> {
        let legible = self.legible.as_ref();
        legible.map(|legible| legible.allocator.usage())
    }

    fn created(&self) -> i64 {
        self.fact.as_ref().map_or(i64::MAX, |fact| fact.created)
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

    /// Every pool.
    pub(super) fn all(&self) -> impl Iterator<Item = (&PoolName, &Pool)> {
        self.0.iter()
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

    /// Notes what a pool is. Gives the pools to whose users that may make a difference.
    pub(super) fn set(&mut self, fact: PoolFact, addresses: &Addresses) -> BTreeSet<PoolName> {
        let name = fact.name.clone();
        let is_new = !self.0.contains_key(&name);
        let pool = self.0.entry(name.clone()).or_default();
        let (was_deleting, was_created) = (pool.is_deleting(), pool.created());
        let change = match &fact.spec {
            Ok(spec) => pool.respecify(spec, addresses),
            Err(_) => Change::None,
        };
        pool.fact = Some(fact);
        let is_changed = is_new || change != Change::None || was_deleting != pool.is_deleting();
        let is_older_or_younger = was_created != pool.created();
        let mut touched = BTreeSet::new();
        if change == Change::Ranges || is_older_or_younger {
            touched = self.meet(&name, addresses);
        }
        touched.extend(is_changed.then_some(name));
        touched
    }

    /// Finds the pools that this one shares addresses with, now that its ranges or its age are others. Gives those that
    /// hand out more or less than before.
    fn meet(&mut self, name: &PoolName, addresses: &Addresses) -> BTreeSet<PoolName> {
        let now = self.shared_by(name);
        let before = match self.0.get_mut(name) {
            Some(pool) => mem::replace(&mut pool.meets, now.clone()),
            None => BTreeMap::new(),
        };
        let mut concerned: BTreeSet<_> = before.into_keys().chain(now.keys().cloned()).collect();
        for other in &concerned {
            if let Some(pool) = self.0.get_mut(other) {
                pool.meets.remove(name);
                let shared = now.get(other).map(|shared| (name.clone(), shared.clone()));
                pool.meets.extend(shared);
            }
        }
        concerned.insert(name.clone());
        concerned.retain(|one| self.yield_anew(one, addresses));
        concerned
    }

    fn shared_by(&self, name: &PoolName) -> BTreeMap<PoolName, Vec<IpRange>> {
        let legible = self.get(name).and_then(|pool| pool.legible.as_ref());
        let Some(Legible { bounds, .. }) = legible else {
            return BTreeMap::new();
        };
        let others = self.0.iter().filter(|(other, _)| *other != name);
        let shared = others.filter_map(|(other, pool)| {
            let shared = bounds.shared_with(&pool.legible.as_ref()?.bounds).ranges();
            (!shared.is_empty()).then(|| (other.clone(), shared))
        });
        shared.collect()
    }

    /// Makes a pool leave to older ones what they share. Whether that is news.
    fn yield_anew(&mut self, name: &PoolName, addresses: &Addresses) -> bool {
        let yields = self.yields_of(name);
        let pool = self.0.get_mut(name);
        let Some(legible) = pool.and_then(|pool| pool.legible.as_mut()) else {
            return false;
        };
        if legible.allocator.yields() == yields {
            return false;
        }
        legible.allocator = allocator(&legible.spec, yields, addresses);
        true
    }

    /// Of two pools of one age, the first by name counts as the older: as of Egresses.
    fn yields_of(&self, name: &PoolName) -> Vec<Yield> {
        let Some(pool) = self.get(name) else {
            return Vec::new();
        };
        let older: BTreeMap<_, _> = pool
            .meets
            .iter()
            .filter_map(|(other, shared)| Some(((self.get(other)?.created(), other), shared)))
            .filter(|(age, _)| *age < (pool.created(), name))
            .collect();
        let yields = older.into_iter().map(|((_, other), shared)| Yield {
            to: other.clone(),
            shared: shared.clone(),
        });
        yields.collect()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &PoolName> {
        self.0.keys()
    }

    /// Forgets who has which address.
    pub(super) fn mark_all_free(&mut self) {
        for pool in self.0.values_mut() {
            let yields = pool.yields().to_vec();
            if let Some(legible) = &mut pool.legible {
                legible.allocator = Allocator::yielding(&legible.spec, yields);
            }
        }
    }

    /// Notes that there is such a pool. Whether that is news.
    pub(super) fn set_unreadable(&mut self, name: &PoolName) -> bool {
        let is_new = !self.0.contains_key(name);
        self.0.entry(name.clone()).or_default();
        is_new
    }

    /// Gives the pools that hand out more than before.
    pub(super) fn remove(&mut self, name: &PoolName, addresses: &Addresses) -> BTreeSet<PoolName> {
        let Some(gone) = self.0.remove(name) else {
            return BTreeSet::new();
        };
        let mut concerned: BTreeSet<_> = gone.meets.into_keys().collect();
        for other in &concerned {
            if let Some(pool) = self.0.get_mut(other) {
                pool.meets.remove(name);
            }
        }
        concerned.retain(|one| self.yield_anew(one, addresses));
        concerned
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
    fn respecify(&mut self, spec: &PoolSpec, addresses: &Addresses) -> Change {
        let before = self.legible.as_ref();
        if before.is_some_and(|legible| legible.spec == *spec) {
            return Change::None;
        }
        let bounds = spec.bounds();
        let is_as_wide = before.is_some_and(|legible| legible.bounds == bounds);
        self.legible = Some(Legible {
            spec: spec.clone(),
            bounds,
            allocator: allocator(spec, self.yields().to_vec(), addresses),
        });
        if is_as_wide {
            Change::Other
        } else {
            Change::Ranges
        }
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

/// An allocator in which just those addresses are taken that are occupied.
fn allocator(spec: &PoolSpec, yields: Vec<Yield>, addresses: &Addresses) -> Allocator {
    let mut allocator = Allocator::yielding(spec, yields);
    for ip in addresses.occupied() {
        // Refused where the pool does not hand it out: then there is nothing to mark.
        let _ = allocator.claim(ip);
    }
    allocator
}
