//! The review of an Egress.
//!
//! Owns what an Egress must have to do with pools, nodes and other Egresses. Never looks at a field by itself: that is
//! done when it comes here.

use std::net::IpAddr;

use super::pools::Legible;
use super::review::Findings;
use super::{DefaultPool, Doubt, EgressDraft, Index, Review, likeness};
use crate::control::Object;
use crate::listing::listed;
use crate::name::{EgressName, PoolName};
use crate::net::Family;
use crate::pool::{Pool as Allocator, Refusal};
use crate::problem::Problem;

const IP: &str = "spec.egressIP";
const POOL: &str = "spec.externalIPPool";
const APPLIED_TO: &str = "spec.appliedTo";
/// Of free ranges and of pools, more than this many are not told.
const SHOWN: usize = 3;

impl Index {
    /// Everything that speaks against storing this Egress, in place of `old` if there is one.
    pub fn review_egress(&self, new: &EgressDraft, old: Option<&EgressDraft>) -> Review {
        if new.deleting {
            return Review::default();
        }
        let before = old.map(|old| self.look_at_egress(&as_it_was(old, new)));
        self.look_at_egress(new).since(before.as_ref())
    }

    fn look_at_egress(&self, egress: &EgressDraft) -> Findings {
        let mut found = Findings::of(&egress.problems, &egress.remarks);
        self.look_at_selection(egress, &mut found);
        self.look_for_an_address(egress, &mut found);
        if let Some(pool) = &egress.pool {
            self.look_at_its_pool(egress, pool, &mut found);
        }
        if let Some(ip) = egress.ip {
            self.look_at_its_ip(egress, ip, &mut found);
        }
        found
    }

    fn look_at_selection(&self, egress: &EgressDraft, found: &mut Findings) {
        if let Some(selected) = &egress.applied_to
            && selected.is_nothing()
        {
            found.odd(Problem::at(
                APPLIED_TO,
                "selects no Pod: write a podSelector, a namespaceSelector, or both ({} in one of them selects all)",
            ));
        }
        let Some((key, mine)) = likeness(egress) else {
            return;
        };
        let alike = self.alike.get(&key).into_iter().flatten();
        let family = self.family_of(egress);
        let mut others = alike.filter(|place| {
            let other = self.egresses.get(place.egress());
            let other_family = other.and_then(|other| self.family_of(other));
            // A Pod of both families may have an Egress for each.
            let is_apart = family
                .zip(other_family)
                .is_some_and(|(one, other)| one != other);
            *place.egress() != egress.name && !is_apart
        });
        if let Some(other) = others.next() {
            let used = other.min(&mine).egress();
            let other = other.egress();
            let remark = format!(
                "selects the same Pods as Egress {other} at the same priority: they use Egress {used}, the older; \
                 give one of them a higher spec.priority"
            );
            found.odd(Problem::at(APPLIED_TO, remark));
        }
    }

    fn look_for_an_address(&self, egress: &EgressDraft, found: &mut Findings) {
        if !egress.lacks_address {
            return;
        }
        match self.default_pool() {
            DefaultPool::One(_) => {}
            // A default pool may have come a moment ago.
            DefaultPool::None => {
                found.doubt(Doubt::Pools);
                if egress.is_rehearsed {
                    let reason = "is missing, and no pool is marked as default: one that is tried out together with this \
                                  Egress does not count, so create it first or name it here";
                    found.wrong(Problem::at(POOL, reason), []);
                }
            }
            DefaultPool::Several(pools) => {
                let reason = format!(
                    "is missing, and several pools are marked as default ({}): name one of them",
                    listed(&pools, SHOWN)
                );
                found.wrong(
                    Problem::at(POOL, reason),
                    pools.into_iter().map(Object::Pool),
                );
            }
        }
    }

    fn look_at_its_pool(&self, egress: &EgressDraft, name: &PoolName, found: &mut Findings) {
        let problem = |reason: String| Problem::of(POOL, name.as_str(), reason);
        let object = || [Object::Pool(name.clone())];
        match self.pools.get(name) {
            None => {
                let instead = self.pools.instead_of(name);
                let problem = problem(format!("does not exist: {instead}"));
                if egress.is_rehearsed {
                    found.odd(problem);
                } else {
                    found.wrong(problem, object());
                }
            }
            Some(pool) if pool.deleting => {
                let reason = "is being deleted: name another pool";
                found.wrong(problem(reason.to_owned()), object());
            }
            Some(pool) => match &pool.legible {
                None => {
                    let remark = "cannot be used as it is: its condition Ready says why";
                    found.odd(problem(remark.to_owned()));
                }
                Some(legible) => self.look_at_its_addresses(egress, legible, found),
            },
        }
    }

    /// Looks for what keeps one that wants any address of a pool from having one.
    fn look_at_its_addresses(&self, egress: &EgressDraft, pool: &Legible, found: &mut Findings) {
        let name = &pool.spec.name;
        let problem = |reason: String| Problem::of(POOL, name.as_str(), reason);
        if egress.ip.is_none()
            && let Some(family) = self.only_family_without_nodes(pool)
        {
            let reason = format!(
                "has only {family} addresses, and no node has one: name a pool of {} addresses",
                family.other()
            );
            found.wrong(problem(reason), [Object::Pool(name.clone())]);
        } else if let Some(remark) = self.lack_of_room(egress, name, &pool.allocator) {
            found.odd(problem(remark));
        }
    }

    /// The family of all of the pool's addresses, if no node could hold any of them.
    fn only_family_without_nodes(&self, pool: &Legible) -> Option<Family> {
        only_family(pool).filter(|family| self.nodes.lack(*family))
    }

    /// The family of an Egress's address, or of the one that it will get, where that is certain.
    fn family_of(&self, egress: &EgressDraft) -> Option<Family> {
        let pool = || self.pools.legible(egress.pool.as_ref()?);
        let address = egress.ip.map(Family::of);
        address.or_else(|| only_family(pool()?))
    }

    /// What to say to one that wants any address of a pool which has too few.
    fn lack_of_room(
        &self,
        egress: &EgressDraft,
        pool: &PoolName,
        allocator: &Allocator,
    ) -> Option<String> {
        if !egress.addresses().is_empty() {
            return None;
        }
        let usage = allocator.usage();
        let is_new = !self.users.has(pool, &egress.name);
        let users = self.users.count(pool) + usize::from(is_new);
        let users = i64::try_from(users).unwrap_or(i64::MAX);
        let what_to_do = "add a range to it, or delete an Egress that uses it";
        if usage.used >= usage.total {
            return Some(format!(
                "has no free address: this Egress waits for one; {what_to_do}"
            ));
        }
        (users > usage.total).then(|| {
            format!(
                "has {} addresses for {users} Egresses: the youngest waits; {what_to_do}",
                usage.total
            )
        })
    }

    fn look_at_its_ip(&self, egress: &EgressDraft, ip: IpAddr, found: &mut Findings) {
        let problem = |reason: String| Problem::of(IP, &ip.to_string(), reason);
        let family = Family::of(ip);
        if self.nodes.lack(family) {
            let reason = format!(
                "is an {family} address, and no node has one: write an {} address",
                family.other()
            );
            found.wrong(problem(reason), []);
        }
        let legible = egress
            .pool
            .as_ref()
            .and_then(|pool| self.pools.legible(pool));
        match legible.and_then(|legible| withheld(legible, ip)) {
            Some((reason, pool)) => found.wrong(problem(reason), [Object::Pool(pool)]),
            None => self.look_for_rivals(egress, ip, legible, found),
        }
        if egress.pool.is_none()
            && let Some(pool) = self.pools.around(ip)
        {
            found.odd(problem(format!(
                "is an address of ExternalIPPool {pool}: without spec.externalIPPool it is for you to put it on a \
                 node, and the pool does not hand it out"
            )));
        }
        let has_own_subnet = legible.is_some_and(|legible| legible.spec.subnet.is_some());
        if !has_own_subnet && self.nodes.are_all_elsewhere(ip) {
            let remark =
                "is in no node's subnet: see to it that it is routed to the node that holds it";
            found.odd(problem(remark.to_owned()));
        }
    }

    /// Looks for others that have this address, or one that nodes could not tell from it.
    fn look_for_rivals(
        &self,
        egress: &EgressDraft,
        ip: IpAddr,
        legible: Option<&Legible>,
        found: &mut Findings,
    ) {
        let problem = |reason: String| Problem::of(IP, &ip.to_string(), reason);
        let advice = || match legible {
            Some(legible) => advice(&legible.allocator),
            None => "write an address that no other Egress has".to_owned(),
        };
        match self.rival(egress, ip) {
            Some(rival) if rival.deleting => found.odd(problem(format!(
                "is still in use by Egress {}, which is being deleted: this Egress waits for that",
                rival.name
            ))),
            Some(rival) if is_leaving(rival, ip) => found.odd(problem(format!(
                "is still held for Egress {}, which asks for another: this Egress waits for that",
                rival.name
            ))),
            Some(rival) => {
                let reason = format!("is in use by Egress {}: {}", rival.name, advice());
                found.wrong(problem(reason), [Object::Egress(rival.name.clone())]);
            }
            None => {}
        }
        if let Some(twin) = self.addresses.twin(ip)
            && let Some(of) = self.addresses.others(twin, &egress.name).next()
        {
            let reason = format!(
                "cannot be told from {twin} of Egress {of} inside the tunnel: {}",
                advice()
            );
            found.wrong(problem(reason), [Object::Egress(of.clone())]);
        }
    }

    /// The Egress that has this address and does not share it; of several the one that will keep it.
    fn rival(&self, egress: &EgressDraft, ip: IpAddr) -> Option<&EgressDraft> {
        self.addresses
            .others(ip, &egress.name)
            .filter_map(|name| self.egresses.get(name))
            .filter(|other| self.has(other, ip))
            .filter(|other| egress.pool.is_some() || other.pool.is_some())
            .min_by_key(|other| seniority(other, ip))
    }

    fn has(&self, egress: &EgressDraft, ip: IpAddr) -> bool {
        let is_of_pool = egress.pool.as_ref().is_none_or(|pool| {
            let pool = self.pools.get(pool);
            pool.is_some_and(|pool| pool.may_contain(ip))
        });
        egress.held == Some(ip) || egress.ip == Some(ip) && is_of_pool
    }
}

/// Less for one that keeps the address for longer.
fn seniority(egress: &EgressDraft, ip: IpAddr) -> (bool, i64, &EgressName) {
    let goes = egress.deleting || is_leaving(egress, ip);
    (goes, egress.created, &egress.name)
}

/// Whether a node holds the address for it only until it has the other one that it asks for.
fn is_leaving(egress: &EgressDraft, ip: IpAddr) -> bool {
    egress.ip.is_some_and(|asked| asked != ip)
}

/// The old Egress. An address that a node holds for it counts as its own, whether its spec shows it or not.
fn as_it_was(old: &EgressDraft, new: &EgressDraft) -> EgressDraft {
    let put_back = new
        .ip
        .filter(|ip| old.held == Some(*ip) && old.pool == new.pool);
    EgressDraft {
        ip: put_back.or(old.ip),
        is_rehearsed: new.is_rehearsed,
        ..old.clone()
    }
}

/// Why the pool gives the address to nobody.
fn withheld(legible: &Legible, ip: IpAddr) -> Option<(String, PoolName)> {
    let refusal = legible.allocator.refusal(ip)?;
    // Who has taken it, and whether that matters, is known better elsewhere.
    if matches!(refusal, Refusal::Taken { .. }) {
        return None;
    }
    let reason = format!("{}: {}", refusal.predicate(), advice(&legible.allocator));
    Some((reason, legible.spec.name.clone()))
}

/// Which addresses can be had instead.
fn advice(pool: &Allocator) -> String {
    let free = pool.free_ranges(SHOWN);
    if free.is_empty() {
        return "the pool has no free address: add a range to it, or delete an Egress that uses it"
            .to_owned();
    }
    format!(
        "write a free one ({}), or leave the field out to get one",
        listed(&free, SHOWN)
    )
}

/// The family of all of the pool's addresses, if it is one.
fn only_family(pool: &Legible) -> Option<Family> {
    let ranges = pool.spec.ranges.iter();
    let mut families = ranges.map(|range| range.bounds().family());
    let family = families.next()?;
    families.all(|other| other == family).then_some(family)
}
