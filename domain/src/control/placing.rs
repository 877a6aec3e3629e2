//! Which nodes may hold each granted address.
//!
//! Owns candidates under the limits of nodes. Each Egress has a place: its holder while that is eligible, else the
//! first node in its own order that has room; those with a holder come first, then the oldest. What counts for a
//! node's limit is the places on it. As long as no node is full, an Egress is ranked by itself; else all are placed
//! anew, in that order. Never depends on what was decided before.

use std::collections::BTreeMap;

use super::{Control, Entry, Grant, take};
use crate::groups::Groups;
use crate::name::{EgressName, NodeName};
use crate::placement::{self, CANDIDATES, Node, eligible};
use crate::selector::Selector;

/// Places taken and lists made.
#[derive(Debug, Default)]
pub(super) struct Places {
    load: Load,
    listed: Groups<NodeName>,
    was_full: bool,
}

/// How many Egresses have their place on each node.
#[derive(Debug, Default)]
struct Load(BTreeMap<NodeName, usize>);

impl Load {
    fn add(&mut self, node: Option<&NodeName>) {
        if let Some(node) = node {
            *self.0.entry(node.clone()).or_default() += 1;
        }
    }

    fn remove(&mut self, node: Option<&NodeName>) {
        if let Some(load) = node.and_then(|node| self.0.get_mut(node)) {
            *load = load.saturating_sub(1);
        }
    }

    fn has_room(&self, node: &Node) -> bool {
        self.0
            .get(&node.name)
            .is_none_or(|load| *load < node.max_egress_ips)
    }
}

impl Places {
    /// Forgets an Egress that is gone.
    pub(super) fn forget(&mut self, egress: &EgressName, candidates: &[NodeName]) {
        self.load.remove(candidates.first());
        for node in candidates {
            self.listed.remove(node, egress);
        }
    }

    fn note(&mut self, egress: &EgressName, candidates: &[NodeName]) {
        self.load.add(candidates.first());
        for node in candidates {
            self.listed.insert(node, egress);
        }
    }
}

impl Control {
    /// What a change of one node's eligibility or limit touches.
    pub(super) fn eligibility_changed(&mut self, name: &NodeName, before: Option<&Node>) {
        let now = self.nodes.get(name);
        let is_eligible =
            |node: Option<&Node>, selector| node.is_some_and(|node| eligible(selector, node));
        for (pool, selector) in self.pools.selectors() {
            let (was, is) = (is_eligible(before, selector), is_eligible(now, selector));
            if is && !was {
                self.dirty.places.extend(self.users.of(pool).cloned());
            }
            if was && !is {
                self.dirty
                    .places
                    .extend(self.places.listed.of(name).cloned());
            }
        }
        if now.is_none() {
            // Also where the pool is illegible.
            let listed = self.places.listed.of(name);
            self.dirty.places.extend(listed.cloned());
        }
        let limit = |node: Option<&Node>| node.map(|node| node.max_egress_ips);
        self.dirty.room |= limit(before) != limit(now);
    }

    pub(super) fn place(&mut self) {
        let (dirty, room) = (take(&mut self.dirty.places), take(&mut self.dirty.room));
        if dirty.is_empty() && !room {
            return;
        }
        for name in &dirty {
            let candidates = self.rank_alone(name);
            self.set_candidates(name, candidates);
        }
        if self.places.was_full || self.is_any_node_full() {
            self.place_all();
            self.places.was_full = self.is_any_node_full();
        }
    }

    fn is_any_node_full(&self) -> bool {
        self.nodes
            .values()
            .any(|node| node.max_egress_ips > 0 && !self.places.load.has_room(node))
    }

    /// The candidates of an Egress if every node has room.
    fn rank_alone(&self, name: &EgressName) -> Vec<NodeName> {
        match self.ranked(name) {
            Some(Ranked {
                entry,
                grant,
                selector,
            }) => self.rank(
                grant,
                selector,
                self.eligible_holder(entry, selector),
                |_| true,
            ),
            None => self.listed_before(name),
        }
    }

    /// The candidates of an Egress whose pool has been illegible since before the operator's start: those that its
    /// status lists, as far as they are there.
    fn listed_before(&self, name: &EgressName) -> Vec<NodeName> {
        let granted = self.egresses.get(name).filter(|entry| entry.is_placed());
        let listed = granted.map(|entry| entry.fact.status.candidates.iter());
        listed
            .into_iter()
            .flatten()
            .filter(|node| self.nodes.contains_key(*node))
            .cloned()
            .collect()
    }

    fn place_all(&mut self) {
        let ranked: Vec<_> = self
            .egresses
            .keys()
            .filter_map(|name| self.ranked(name))
            .collect();
        let (load, places) = self.take_places(&ranked);
        let lists: Vec<_> = ranked
            .iter()
            .zip(places)
            .map(
                |(
                    Ranked {
                        entry,
                        grant,
                        selector,
                    },
                    place,
                )| {
                    let has_room = |node: &Node| load.has_room(node);
                    (
                        entry.fact.name.clone(),
                        self.rank(grant, selector, place, has_room),
                    )
                },
            )
            .collect();
        for (name, candidates) in lists {
            self.set_candidates(&name, candidates);
        }
    }

    /// The place of each, and how many there are on each node: holders first, then the oldest.
    fn take_places<'a>(&'a self, ranked: &[Ranked<'a>]) -> (Load, Vec<Option<&'a NodeName>>) {
        let mut load = self.load_of_illegible_pools();
        let mut places: Vec<_> = ranked
            .iter()
            .map(
                |Ranked {
                     entry, selector, ..
                 }| self.eligible_holder(entry, selector),
            )
            .collect();
        for place in &places {
            load.add(*place);
        }
        let mut homeless: Vec<_> = ranked
            .iter()
            .zip(&mut places)
            .filter(|(_, place)| place.is_none())
            .collect();
        homeless.sort_by_key(|(Ranked { entry, .. }, _)| (entry.fact.created, &entry.fact.name));
        for (
            Ranked {
                grant, selector, ..
            },
            place,
        ) in homeless
        {
            let order = self.rank(grant, selector, None, |node| load.has_room(node));
            *place = order
                .first()
                .and_then(|first| Some(self.nodes.get_key_value(first)?.0));
            load.add(*place);
        }
        (load, places)
    }

    /// The places of Egresses that cannot be ranked: see [`Self::listed_before`].
    fn load_of_illegible_pools(&self) -> Load {
        let mut load = Load::default();
        let pools = self
            .users
            .keys()
            .filter(|pool| self.pools.selector(pool).is_none());
        let entries = pools
            .flat_map(|pool| self.users.of(pool))
            .filter_map(|name| self.egresses.get(name));
        for entry in entries {
            load.add(entry.candidates.first());
        }
        load
    }

    /// An Egress that may have candidates, with what they depend on.
    fn ranked(&self, name: &EgressName) -> Option<Ranked<'_>> {
        let entry = self.egresses.get(name)?;
        let grant = entry.grant.as_ref().filter(|_| entry.is_placed())?;
        Some(Ranked {
            entry,
            grant,
            selector: self.pools.selector(&grant.pool)?,
        })
    }

    fn eligible_holder<'a>(&self, entry: &'a Entry, selector: &Selector) -> Option<&'a NodeName> {
        let holder = entry.fact.status.node.as_ref()?;
        self.nodes
            .get(holder)
            .filter(|node| eligible(selector, node))?;
        Some(holder)
    }

    fn rank(
        &self,
        Grant { pool, ip }: &Grant,
        selector: &Selector,
        place: Option<&NodeName>,
        has_room: impl Fn(&Node) -> bool,
    ) -> Vec<NodeName> {
        let eligible = self.nodes.values().filter(|node| eligible(selector, node));
        let room = |name: &NodeName| self.nodes.get(name).is_some_and(&has_room);
        let mut order = placement::rank(pool, *ip, place, eligible, room);
        order.truncate(CANDIDATES);
        order
    }

    fn set_candidates(&mut self, name: &EgressName, candidates: Vec<NodeName>) {
        let Some(entry) = self.egresses.get_mut(name) else {
            return;
        };
        if entry.candidates == candidates {
            return;
        }
        self.places.forget(name, &entry.candidates);
        self.places.note(name, &candidates);
        entry.candidates = candidates;
        self.dirty.egresses.insert(name.clone());
    }
}

/// A granted Egress and the nodes that its pool selects.
struct Ranked<'a> {
    entry: &'a Entry,
    grant: &'a Grant,
    selector: &'a Selector,
}
