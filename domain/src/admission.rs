//! What is wrong with an object that somebody wants to store, or odd about it, as far as that can be known at that
//! moment.
//!
//! Owns an index of all that admission must know, fed by facts, and the review of one Egress or pool against it: every
//! problem and every warning at once. What one object breaks by itself comes with its draft (crate `egret-crds` reads
//! it); here it meets the others. Never decides who gets which address ([`crate::control`] does), never reads the time.
//! A review costs what it has to look at (the pools, the nodes, the users of what is taken away); how many other
//! Egresses there are matters only by its logarithm.
//!
//! What has been decided:
//! - *Ratcheting.* What was wrong before a change and is the same after it does not refuse the change: it becomes a
//!   warning. An object that is on its way out is never reviewed; deletion is only warned of.
//! - *Stranding.* A change of a pool strands an address that an Egress of this pool has, if afterwards the pool no longer
//!   contains it or keeps it back: a range removed, shrunk or replaced by one of the other family, an entry in
//!   `exclude`, a gateway on top of it. Such a change is refused and names the users. A pool that has become illegible
//!   has what was known of it last; if nothing was, all that its users have is taken for its own. An Egress may leave an
//!   address at any time; a `nodeSelector` that selects no node strands nothing, since nodes come and labels change: it
//!   is warned of.
//! - *Who has an address.* A static Egress has its own; a pooled one the one in its spec, unless its pool does not contain
//!   that, and the one that a node still holds for it. Several static Egresses may share an address. One that its
//!   owner is about to give up (it is being deleted, or asks for another) may be asked for: the operator makes the new one
//!   wait.
//! - *An address that is put back* is not new: the operator may write what the status says that a node holds, whatever has
//!   become of the pool meanwhile.
//! - *Races.* A refusal says on which objects it rests, so that its caller can look at these again; an acceptance may be
//!   overtaken by another request, and then the operator lets the older win.
//!
//! Start reading at [`Index::review_egress`].

mod draft;
mod egress;
mod nodes;
mod pool;
mod pools;
mod review;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use self::draft::{EgressDraft, Fact, PoolDraft};
pub use self::pools::DefaultPool;
pub use self::review::{Doubt, Review};

use self::nodes::Nodes;
use self::pools::Pools;
use crate::addresses::Addresses;
use crate::control::Object;
use crate::groups::Groups;
use crate::name::{EgressName, PoolName};
use crate::overlap::Precedence;
use crate::selector::AppliedTo;

/// All that admission must know.
#[derive(Debug, Default)]
pub struct Index {
    egresses: BTreeMap<EgressName, EgressDraft>,
    pools: Pools,
    nodes: Nodes,
    /// By what their specs and their holders say.
    addresses: Addresses,
    /// Egresses by the pool in their spec.
    users: Groups<PoolName>,
    /// Egresses of the same priority that select the same Pods, in the order in which they win.
    alike: BTreeMap<(i32, AppliedTo), BTreeSet<Precedence>>,
}

impl Index {
    /// Notes what is so.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Egress(egress) => self.egress_is(*egress),
            Fact::EgressGone(name) => self.egress_gone(&name),
            Fact::Pool(pool) => self.pools.set(&pool, &self.addresses),
            Fact::PoolUnreadable(name) => self.pools.set_unreadable(name),
            Fact::PoolGone(name) => self.pools.remove(&name),
            Fact::Node(node) => self.nodes.set(*node),
            Fact::NodeGone(name) => self.nodes.remove(&name),
            Fact::NodeSubnets(name, subnets) => self.nodes.set_subnets(name, subnets),
        }
    }

    /// The pool for Egresses that name neither an address nor a pool.
    pub fn default_pool(&self) -> DefaultPool {
        self.pools.default_pool()
    }

    /// Whether there is this object, as far as is known.
    pub fn knows(&self, object: &Object) -> bool {
        match object {
            Object::Egress(name) => self.egresses.contains_key(name),
            Object::Pool(name) => self.pools.get(name).is_some(),
        }
    }

    fn egress_is(&mut self, egress: EgressDraft) {
        if self.egresses.get(&egress.name) == Some(&egress) {
            return;
        }
        let name = egress.name.clone();
        if let Some(before) = self.egresses.remove(&name) {
            self.leave_groups(&before);
        }
        if let Some(pool) = &egress.pool {
            self.users.insert(pool, &name);
        }
        if let Some((key, place)) = likeness(&egress) {
            self.alike.entry(key).or_default().insert(place);
        }
        self.occupy(&name, egress.addresses());
        self.egresses.insert(name, egress);
    }

    fn egress_gone(&mut self, name: &EgressName) {
        if let Some(gone) = self.egresses.remove(name) {
            self.leave_groups(&gone);
            self.occupy(name, BTreeSet::new());
        }
    }

    fn leave_groups(&mut self, egress: &EgressDraft) {
        if let Some(pool) = &egress.pool {
            self.users.remove(pool, &egress.name);
        }
        if let Some((key, place)) = likeness(egress)
            && let Some(alike) = self.alike.get_mut(&key)
        {
            alike.remove(&place);
            if alike.is_empty() {
                self.alike.remove(&key);
            }
        }
    }

    fn occupy(&mut self, name: &EgressName, now: BTreeSet<IpAddr>) {
        let (taken, left) = self.addresses.set(name, now);
        for ip in taken {
            self.pools.mark(ip, true);
        }
        for ip in left {
            if self.addresses.is_free(ip) {
                self.pools.mark(ip, false);
            }
        }
    }
}

/// Under which key an Egress stands among those that select the same Pods, and at which place.
fn likeness(egress: &EgressDraft) -> Option<((i32, AppliedTo), Precedence)> {
    let selected = egress.applied_to.as_ref()?;
    if egress.deleting || selected.is_nothing() {
        return None;
    }
    let EgressDraft {
        priority,
        created,
        name,
        ..
    } = egress;
    Some((
        (*priority, selected.clone()),
        Precedence::new(*priority, *created, name.clone()),
    ))
}

#[cfg(test)]
mod tests;
