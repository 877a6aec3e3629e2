//! How many objects are in which state.
//!
//! Owns the counting, for whoever watches over the whole. Never names an object, never decides anything.

use std::collections::BTreeMap;

use super::{Control, verdict};
use crate::condition::{Condition, Type};

/// What is said of an object in its condition `Ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// Whether all is well.
    pub is_ready: bool,
    /// The condition's reason.
    pub reason: &'static str,
}

/// Objects by state.
pub type Counts = BTreeMap<State, i64>;

/// All objects, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Egresses by state.
    pub egresses: Counts,
    /// Those of them that have an address of a pool.
    pub allocated: i64,
    /// Pools by state, as far as they have ever been readable.
    pub pools: Counts,
    /// Those of them that have no free address.
    pub exhausted: i64,
    /// Addresses of all pools together.
    pub addresses: i64,
    /// Those of them that are in use.
    pub used: i64,
    /// Nodes whose agent can make them a gateway, as far as it has reported.
    pub fit_nodes: i64,
    /// Nodes whose agent reports that they cannot be one.
    pub unfit_nodes: i64,
}

impl Control {
    /// Counts all objects as they are now; none while another operator decides about them. It takes time for each of
    /// them: to be asked for now and then.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        if !self.is_synced {
            return census;
        }
        for entry in self.egresses.values() {
            let conditions = self.conditions(entry);
            count(&mut census.egresses, &conditions);
            census.allocated += i64::from(entry.grant.is_some());
        }
        for (name, pool) in self.pools.all() {
            let usage = pool.usage();
            if let Some(usage) = usage {
                census.addresses = census.addresses.saturating_add(usage.total);
                census.used = census.used.saturating_add(usage.used);
                census.exhausted += i64::from(usage.used >= usage.total);
            }
            if let Some(fact) = &pool.fact {
                let users: Vec<_> = self.users.of(name).collect();
                let conditions = verdict::of_pool(fact, usage, pool.yields(), &users);
                count(&mut census.pools, &conditions);
            }
        }
        for node in self.nodes.values() {
            census.fit_nodes += i64::from(node.is_fit);
            census.unfit_nodes += i64::from(!node.is_fit);
        }
        census
    }
}

fn count(counts: &mut Counts, conditions: &[Condition]) {
    let ready = conditions.iter().find(|one| one.kind == Type::Ready);
    if let Some(ready) = ready {
        let state = State {
            is_ready: ready.is_true,
            reason: ready.reason,
        };
        *counts.entry(state).or_default() += 1;
    }
}
