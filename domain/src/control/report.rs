//! What to write.
//!
//! Owns the comparison of what the objects should say with what they say. Never gives a decision that would change
//! nothing.

use super::{Control, Decision, EgressFact, Entry, Writer, take, verdict};
use crate::condition::{Condition, Recorded, Type};
use crate::name::{EgressName, PoolName};
use crate::pool::Usage;

impl Control {
    pub(super) fn report(&mut self) -> Vec<Decision> {
        let (egresses, pools) = (take(&mut self.dirty.egresses), take(&mut self.dirty.pools));
        let of_egresses = egresses.iter().flat_map(|name| self.for_egress(name));
        let of_pools = pools.iter().flat_map(|name| self.for_pool(name));
        of_egresses.chain(of_pools).collect()
    }

    fn for_egress(&self, name: &EgressName) -> Vec<Decision> {
        let Some(entry) = self.egresses.get(name) else {
            return Vec::new();
        };
        let fact = &entry.fact;
        let is_held = self.holder(fact).is_some();
        if fact.has_finalizer && (fact.is_static() || fact.deleting && !is_held) {
            return vec![Decision::ReleaseEgress(name.clone())];
        }
        if fact.deleting && !is_held {
            return Vec::new();
        }
        let own = own_decision(entry);
        // The status tells of a generation, which the first write changes.
        let status = if own.is_some() {
            None
        } else {
            self.status_decision(entry)
        };
        own.into_iter()
            .chain(status)
            .chain(self.clear_decision(fact))
            .collect()
    }

    fn status_decision(&self, entry: &Entry) -> Option<Decision> {
        let Entry {
            fact, candidates, ..
        } = entry;
        let conditions = verdict::of_egress(entry, self.holder(fact));
        let unwanted = |kind| !conditions.iter().any(|wanted| wanted.kind == kind);
        let is_left =
            unwanted(Type::IpAllocated) && fact.status.condition(Type::IpAllocated).is_some();
        let is_said = fact.status.candidates == *candidates
            && !is_left
            && say(&fact.status.conditions, &conditions);
        (!is_said).then(|| Decision::EgressStatus {
            egress: fact.name.clone(),
            candidates: candidates.clone(),
            conditions,
        })
    }

    fn clear_decision(&self, fact: &EgressFact) -> Option<Decision> {
        let node = fact
            .status
            .node
            .as_ref()
            .filter(|node| !self.nodes.contains_key(*node))?;
        Some(Decision::ClearHolder {
            egress: fact.name.clone(),
            node: node.clone(),
        })
    }

    fn for_pool(&self, name: &PoolName) -> Vec<Decision> {
        let pool = self.pools.get(name);
        let Some((pool, fact)) = pool.and_then(|pool| Some((pool, pool.fact.as_ref()?))) else {
            return Vec::new();
        };
        let users: Vec<_> = self.users.of(name).collect();
        if fact.deleting && users.is_empty() {
            let release = fact
                .has_finalizer
                .then(|| Decision::ReleasePool(name.clone()));
            return release.into_iter().collect();
        }
        let usage = pool
            .legible
            .as_ref()
            .map(|legible| legible.allocator.usage());
        let conditions = verdict::of_pool(fact, usage, &users);
        let guard = !fact.deleting && !fact.has_finalizer;
        let status = fact.usage != usage || !say(&fact.conditions, &conditions);
        let guard = guard.then(|| Decision::GuardPool(name.clone()));
        let status = status.then(|| pool_status(name, usage, conditions));
        guard.into_iter().chain(status).collect()
    }
}

impl EgressFact {
    fn is_static(&self) -> bool {
        self.pool.is_none() && self.problems.is_none()
    }
}

/// What the operator should own of the object, if it owns something else.
fn own_decision(entry: &Entry) -> Option<Decision> {
    let Entry { fact, grant, .. } = entry;
    if fact.deleting || fact.pool.is_none() {
        return None;
    }
    let ip = grant
        .as_ref()
        .map(|grant| grant.ip)
        .filter(|_| is_operators_choice(fact));
    let finalizer = fact.has_finalizer || grant.is_some();
    let is_owned = fact.has_finalizer == finalizer && fact.owned_ip() == ip;
    (!is_owned).then(|| Decision::OwnEgress {
        egress: fact.name.clone(),
        finalizer,
        ip,
    })
}

fn pool_status(name: &PoolName, usage: Option<Usage>, conditions: Vec<Condition>) -> Decision {
    Decision::PoolStatus {
        pool: name.clone(),
        usage,
        conditions,
    }
}

/// Whether the operator is to fill in the IP: the user has not.
fn is_operators_choice(fact: &EgressFact) -> bool {
    fact.ip.is_none() || fact.ip_writer == Writer::Operator
}

/// Whether the conditions stand there already.
fn say(recorded: &[Recorded], wanted: &[Condition]) -> bool {
    wanted
        .iter()
        .all(|wanted| recorded.iter().any(|recorded| says(recorded, wanted)))
}

fn says(recorded: &Recorded, wanted: &Condition) -> bool {
    recorded.kind == wanted.kind
        && recorded.is_true == wanted.is_true
        && recorded.reason == wanted.reason
        && recorded.message == wanted.message
        && recorded.observed_generation == wanted.observed_generation
}
