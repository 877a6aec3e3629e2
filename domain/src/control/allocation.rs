//! Who gets which address.
//!
//! Owns the order in which Egresses are served: first those that show to have had an address before, then those that
//! ask for a certain one, then those that take any; among equals the oldest, then by name. A grant stands until the
//! spec or the pool takes it back; whoever waits is served the moment the cause goes away. Never gives an address that
//! anybody else occupies, nor one outside the pool.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;

use super::pools::Pool;
use super::why::{Hindrance, Why};
use super::{Control, EgressFact, Entry, Grant, take};
use crate::name::{EgressName, PoolName};
use crate::net::{from_number, to_number};
use crate::pool::{Pool as Allocator, Refusal};

/// How many free addresses are tried for one that differs from all others inside the tunnel. Of a million addresses in
/// use, one in four thousand collides.
const TRIES: usize = 16;

/// When an Egress is served: the least first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    class: Class,
    created: i64,
    name: EgressName,
}

/// Who is served before whom, whatever their age.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Has had an address before.
    Accepted,
    /// Asks for a certain address.
    Asking,
    /// Takes any.
    Any,
}

impl Control {
    /// Takes back what does not stand, then serves those that ask and those whose hindrance may have gone.
    pub(super) fn allocate(&mut self) {
        let dirty = take(&mut self.dirty.addresses);
        for name in &dirty {
            self.review(name);
        }
        let mut queue: BTreeSet<Turn> = dirty.iter().filter_map(|name| self.turn(name)).collect();
        loop {
            queue.extend(self.no_longer_hindered());
            if queue.is_empty() {
                return;
            }
            // Each round gives at least one address or is the last.
            for turn in take(&mut queue) {
                self.serve(&turn.name);
            }
        }
    }

    /// Those that wait for one of the addresses which changed hands: they may get it, or have to be told who has it.
    fn no_longer_hindered(&mut self) -> Vec<Turn> {
        let mut gone = BTreeSet::new();
        for ip in take(&mut self.dirty.occupancy) {
            if self.addresses.is_free(ip) {
                gone.extend(self.pools.around(ip).cloned().map(Hindrance::Exhausted));
            }
            gone.insert(Hindrance::InUse(ip));
        }
        let waiting = gone.iter().flat_map(|hindrance| self.waiting.of(hindrance));
        waiting.filter_map(|name| self.turn(name)).collect()
    }

    fn review(&mut self, name: &EgressName) {
        let Some(entry) = self.egresses.get(name) else {
            return;
        };
        if entry
            .grant
            .as_ref()
            .is_some_and(|grant| self.stands(&entry.fact, grant))
        {
            self.occupy_what_it_has(name);
        } else {
            self.settle(name, None);
        }
    }

    fn stands(&self, fact: &EgressFact, grant: &Grant) -> bool {
        let is_asked_for = !fact.deleting
            && fact.pool.as_ref() == Some(&grant.pool)
            && match fact.problems {
                None => fact.wanted_ip().is_none_or(|wanted| wanted == grant.ip),
                Some(_) => fact.accepted_ip() == Some(grant.ip),
            };
        is_asked_for
            && self
                .pools
                .get(&grant.pool)
                .is_some_and(|pool| pool.may_contain(grant.ip))
    }

    /// The Egress's turn, if it wants an address and has none.
    fn turn(&self, name: &EgressName) -> Option<Turn> {
        let entry = self.egresses.get(name)?;
        let fact = Some(&entry.fact).filter(|fact| entry.grant.is_none() && !fact.deleting)?;
        let pool = self.pools.get(fact.pool.as_ref()?);
        let class = match (keepable(fact, pool), fact.wanted_ip()) {
            (Some(_), _) => Class::Accepted,
            (None, Some(_)) => Class::Asking,
            (None, None) => Class::Any,
        };
        Some(Turn {
            class,
            created: fact.created,
            name: name.clone(),
        })
    }

    fn serve(&mut self, name: &EgressName) {
        let Some(Entry { fact, .. }) = self.egresses.get(name) else {
            return;
        };
        let Some(pool) = fact.pool.clone() else {
            return;
        };
        let outcome = self.choose(fact, &pool).map(|ip| Grant { pool, ip });
        self.settle(name, Some(outcome));
    }

    fn choose(&self, fact: &EgressFact, name: &PoolName) -> Result<IpAddr, Why> {
        let pool = self.pools.get(name);
        if let Some(ip) = keepable(fact, pool)
            && self.granted_to_another(ip, &fact.name).is_none()
        {
            return Ok(ip);
        }
        if let Some(problems) = &fact.problems {
            return Err(Why::InvalidSpec(problems.clone()));
        }
        let pool = pool.ok_or_else(|| Why::PoolNotFound(name.clone()))?;
        if pool.is_deleting() {
            return Err(Why::PoolDeleting(name.clone()));
        }
        let legible = pool
            .legible
            .as_ref()
            .ok_or_else(|| Why::PoolInvalid(name.clone()))?;
        match fact.wanted_ip() {
            Some(ip) => self.claim(ip, &legible.allocator, &fact.name),
            None => self
                .next_free(&legible.allocator)
                .ok_or_else(|| Why::PoolExhausted(name.clone())),
        }
    }

    /// Who has been given this address, other than this Egress. Only that counts against one that has had it before:
    /// of two that a fault has given the same address, the older keeps it although a node of the other still answers.
    fn granted_to_another<'a>(
        &'a self,
        ip: IpAddr,
        egress: &'a EgressName,
    ) -> Option<&'a EgressName> {
        let has_it = |name: &EgressName| {
            let grant = self
                .egresses
                .get(name)
                .and_then(|entry| entry.grant.as_ref());
            grant.is_some_and(|grant| grant.ip == ip)
        };
        self.addresses.others(ip, egress).find(|name| has_it(name))
    }

    fn claim(&self, ip: IpAddr, pool: &Allocator, egress: &EgressName) -> Result<IpAddr, Why> {
        match pool.refusal(ip) {
            // Who has taken it is known better here.
            None | Some(Refusal::Taken { .. }) => {}
            Some(refusal) => return Err(Why::Refused(refusal)),
        }
        if let Some(by) = self.addresses.others(ip, egress).next() {
            return Err(Why::Taken { ip, by: by.clone() });
        }
        self.addresses
            .twin(ip)
            .map_or(Ok(ip), |of| Err(Why::Twin { ip, of }))
    }

    fn next_free(&self, pool: &Allocator) -> Option<IpAddr> {
        let runs = pool.free_ranges(TRIES);
        let addresses = runs.iter().flat_map(|run| {
            let numbers = to_number(run.start())..=to_number(run.end());
            numbers
                .take(TRIES)
                .filter_map(|number| from_number(run.family(), number))
        });
        addresses
            .take(TRIES)
            .find(|ip| self.addresses.twin(*ip).is_none())
    }

    /// Notes what an Egress has got: an address, a refusal, or (`None`) nothing, which stands for an Egress that has not
    /// been served or does not wait to be.
    fn settle(&mut self, name: &EgressName, outcome: Option<Result<Grant, Why>>) {
        let Some(entry) = self.egresses.get_mut(name) else {
            return;
        };
        let (grant, refused) = match outcome {
            Some(Ok(grant)) => (Some(grant), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        if entry.grant != grant || entry.refused != refused {
            self.dirty.places.insert(name.clone());
            self.dirty.egresses.insert(name.clone());
        }
        entry.grant = grant;
        let before = mem::replace(&mut entry.refused, refused);
        let hindrance = entry.refused.as_ref().and_then(Why::hindrance);
        self.wait_no_more(name, before.as_ref());
        if let Some(hindrance) = hindrance {
            self.waiting.insert(&hindrance, name);
        }
        self.occupy_what_it_has(name);
    }

    pub(super) fn wait_no_more(&mut self, name: &EgressName, refused: Option<&Why>) {
        if let Some(hindrance) = refused.and_then(Why::hindrance) {
            self.waiting.remove(&hindrance, name);
        }
    }

    /// Apart from what it has been given: what its spec still shows, and what a node still answers for.
    fn occupy_what_it_has(&mut self, name: &EgressName) {
        let Some(Entry { fact, grant, .. }) = self.egresses.get(name) else {
            return;
        };
        let granted = grant.as_ref().map(|grant| grant.ip);
        let shown = if fact.pool.is_none() {
            fact.ip
        } else {
            fact.owned_ip()
        };
        let answered = fact.status.ip.filter(|_| self.holder(fact).is_some());
        self.occupy(
            name,
            [granted, shown, answered].into_iter().flatten().collect(),
        );
    }

    pub(super) fn occupy(&mut self, name: &EgressName, now: BTreeSet<IpAddr>) {
        let (taken, left) = self.addresses.set(name, now);
        for ip in taken {
            self.dirty.pools.extend(self.pools.mark(ip, true));
            self.dirty.occupancy.insert(ip);
        }
        for ip in left {
            if self.addresses.is_free(ip) {
                self.dirty.pools.extend(self.pools.mark(ip, false));
            }
            self.dirty.occupancy.insert(ip);
        }
    }
}

/// The address that an Egress has had before, unless its pool rules that out. An address that the pool keeps back by
/// now, but did not when it was given, stays.
fn keepable(fact: &EgressFact, pool: Option<&Pool>) -> Option<IpAddr> {
    fact.accepted_ip()
        .filter(|ip| pool.is_some_and(|pool| pool.may_contain(*ip)))
}
