//! What each object should say, against what it says.
//!
//! Owns when a finalizer comes and goes, when a holder is cleared, and which writes bring an object to say what it
//! should. Never gives one that would change nothing.

use super::liveness::lose;
use super::{Control, EgressFact, EgressWrite, Entry, Object, PoolWrite, Writer, take, verdict};
use crate::condition::{Condition, Recorded, Type};
use crate::name::{EgressName, PoolName};

impl Control {
    pub(super) fn report(&mut self) -> Vec<Object> {
        let (mut egresses, mut pools) =
            (take(&mut self.dirty.egresses), take(&mut self.dirty.pools));
        egresses.retain(|name| !self.writes_to_egress(name).is_empty());
        pools.retain(|name| !self.writes_to_pool(name).is_empty());
        let egresses = egresses.into_iter().map(Object::Egress);
        egresses
            .chain(pools.into_iter().map(Object::Pool))
            .collect()
    }

    /// What to write to an Egress as things are now, in this order; nothing if it says what it should.
    pub fn writes_to_egress(&self, name: &EgressName) -> Vec<EgressWrite> {
        let Some(entry) = self.egresses.get(name) else {
            return Vec::new();
        };
        let fact = &entry.fact;
        let is_held = self.holder(fact).is_some();
        let is_let_go =
            fact.deleting && !is_held || fact.is_static() && !self.is_held_as_before(fact);
        if fact.has_finalizer && is_let_go {
            return vec![EgressWrite::Release];
        }
        if fact.deleting && !is_held {
            return Vec::new();
        }
        let own = own(entry);
        // The status tells of a generation, which the first write changes.
        let status = if own.is_some() {
            None
        } else {
            self.status(entry)
        };
        self.clear_holder(fact)
            .into_iter()
            .chain(own)
            .chain(status)
            .collect()
    }

    /// Whether a node may still answer for what the Egress was before its last change. An agent that has seen the change
    /// has let go of a pooled IP before it reports of the new generation.
    fn is_held_as_before(&self, fact: &EgressFact) -> bool {
        let said = fact.status.condition(Type::IpAssigned);
        let is_of_now =
            said.is_some_and(|said| said.is_true && said.observed_generation == fact.generation);
        self.holder(fact).is_some() && !is_of_now
    }

    /// What an Egress's conditions should be.
    pub(super) fn conditions(&self, entry: &Entry) -> Vec<Condition> {
        let fact = &entry.fact;
        let overlapped: Vec<_> = self.overlapped.nodes_of(&fact.name).collect();
        verdict::of_egress(entry, self.holder(fact), &overlapped, self.is_off)
    }

    fn status(&self, entry: &Entry) -> Option<EgressWrite> {
        let Entry {
            fact, candidates, ..
        } = entry;
        let conditions = self.conditions(entry);
        let is_left = [Type::IpAllocated, Type::Overlapped]
            .into_iter()
            .filter(|kind| fact.status.condition(*kind).is_some())
            .any(|kind| conditions.iter().all(|wanted| wanted.kind != kind));
        let is_said = fact.status.candidates == *candidates
            && !is_left
            && say(&fact.status.conditions, &conditions);
        (!is_said).then(|| EgressWrite::Status {
            candidates: candidates.clone(),
            conditions,
        })
    }

    fn clear_holder(&self, fact: &EgressFact) -> Option<EgressWrite> {
        let node = fact.status.node.clone()?;
        let because = lose(fact, &node, self.gone(&node)?);
        Some(EgressWrite::ClearHolder { node, because })
    }

    /// What to write to a pool as things are now, in this order; nothing if it says what it should.
    pub fn writes_to_pool(&self, name: &PoolName) -> Vec<PoolWrite> {
        let pool = self.pools.get(name);
        let Some((pool, fact)) = pool.and_then(|pool| Some((pool, pool.fact.as_ref()?))) else {
            return Vec::new();
        };
        let users: Vec<_> = self.users.of(name).collect();
        if fact.deleting && users.is_empty() {
            return fact
                .has_finalizer
                .then_some(PoolWrite::Release)
                .into_iter()
                .collect();
        }
        let usage = pool.usage();
        let conditions = verdict::of_pool(fact, usage, pool.yields(), &users);
        let is_guarded = fact.deleting || fact.has_finalizer;
        let is_said = fact.usage == usage && say(&fact.conditions, &conditions);
        let guard = (!is_guarded).then_some(PoolWrite::Guard);
        let status = (!is_said).then_some(PoolWrite::Status { usage, conditions });
        guard.into_iter().chain(status).collect()
    }
}

/// What the operator should own of the object, if it owns something else.
fn own(entry: &Entry) -> Option<EgressWrite> {
    let Entry { fact, grant, .. } = entry;
    if fact.deleting {
        return None;
    }
    if fact.pool.is_none() {
        return leave_to_the_user(fact);
    }
    let ip = grant
        .as_ref()
        .map(|grant| grant.ip)
        .filter(|_| is_operators_choice(fact));
    let finalizer = fact.has_finalizer || grant.is_some();
    let is_owned = fact.has_finalizer == finalizer && fact.owned_ip() == ip;
    (!is_owned).then_some(EgressWrite::Own { finalizer, ip })
}

/// A static Egress's address is its user's alone, or each change of it would be a conflict with the operator. Where
/// nobody has written it but the operator (a client-side apply says the same and owns nothing), giving it up would take
/// it away, and the API server would refuse that: it stays. So does the finalizer, until no node answers for a pooled IP.
fn leave_to_the_user(fact: &EgressFact) -> Option<EgressWrite> {
    let is_shared = fact.ip_writer == Writer::Both;
    (fact.is_static() && is_shared).then_some(EgressWrite::Own {
        finalizer: fact.has_finalizer,
        ip: None,
    })
}

impl EgressFact {
    fn is_static(&self) -> bool {
        self.pool.is_none() && self.problems.is_none()
    }
}

/// Whether the operator is to fill in the IP: the user has not.
fn is_operators_choice(fact: &EgressFact) -> bool {
    let is_absent = fact.ip.is_none() && !fact.is_ip_illegible;
    is_absent || fact.ip_writer == Writer::Operator
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
