//! Which nodes may hold each granted address.
//!
//! Owns candidates under the limits of nodes. Each Egress has a place: its holder while that is eligible, else the node
//! that it was placed on before, else the first in its own order that has room; the oldest choose first. What counts for
//! a node's limit is the places on it. The other candidates are nodes with room, so that no failover breaks a limit.
//! Where an address is to leave its holder, see `moving`. A change costs work for the Egresses whose place or list it
//! touches, not for all. Never takes an address from a holder that may keep it.

use std::collections::BTreeSet;

use super::moving::Moves;
use super::{Control, Entry, Grant, take};
use crate::groups::Groups;
use crate::name::{EgressName, NodeName};
use crate::placement::{self, CANDIDATES, Node, Score, eligible};
use crate::selector::Selector;

/// Places taken and lists made.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Egresses by the node of their place.
    pub(super) on: Groups<NodeName>,
    /// Egresses by the nodes that they list, their place among them.
    pub(super) listed: Groups<NodeName>,
    /// Egresses that no eligible node had room for.
    unplaced: BTreeSet<EgressName>,
    /// Nodes that were full when the lists were made.
    full: BTreeSet<NodeName>,
    /// Nodes that may be full since then, or no more.
    touched: BTreeSet<NodeName>,
    /// Nodes that have become eligible, or are heard of again, since then.
    pub(super) arrived: BTreeSet<NodeName>,
    pub(super) moves: Moves,
}

impl Places {
    /// Nothing is placed yet on any of these nodes.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = &'a NodeName>, moves: Moves) -> Self {
        Self {
            touched: nodes.cloned().collect(),
            moves,
            ..Self::default()
        }
    }

    /// Forgets an Egress that is gone.
    pub(super) fn forget(
        &mut self,
        egress: &EgressName,
        place: Option<&NodeName>,
        listed: &[NodeName],
    ) {
        self.settle(egress, place, None);
        self.relist(egress, listed, &[]);
        self.moves.end(egress);
    }

    fn settle(&mut self, egress: &EgressName, before: Option<&NodeName>, now: Option<&NodeName>) {
        if before != now {
            self.on.exchange(before, now, egress);
            self.touched.extend(before.into_iter().chain(now).cloned());
        }
        self.unplaced.remove(egress);
    }

    fn relist(&mut self, egress: &EgressName, before: &[NodeName], now: &[NodeName]) {
        for node in before {
            self.listed.remove(node, egress);
        }
        for node in now {
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
        let mut has_come = false;
        for (_, selector) in self.pools.selectors() {
            let (was, is) = (is_eligible(before, selector), is_eligible(now, selector));
            has_come |= is && !was;
            if was && !is {
                let listed = self.places.listed.of(name);
                self.dirty.places.extend(listed.cloned());
            }
        }
        if before.map(Node::standing) != now.map(Node::standing) {
            // Also where the pool is illegible.
            let listed = self.places.listed.of(name);
            self.dirty.places.extend(listed.cloned());
            self.places.touched.insert(name.clone());
            self.places.arrived.insert(name.clone());
        }
        if has_come {
            self.dirty.places.extend(self.held.of(name).cloned());
            self.places.arrived.insert(name.clone());
        }
        if has_come && self.is_synced {
            self.places.moves.note_arrival(name);
        }
    }

    pub(super) fn place(&mut self) {
        let mut lists = take(&mut self.dirty.places);
        let Places {
            touched, arrived, ..
        } = &self.places;
        let is_quiet = lists.is_empty() && touched.is_empty() && arrived.is_empty();
        if is_quiet && !self.places.moves.are_due() {
            return;
        }
        self.give_places(&lists);
        loop {
            let turned = self.turned();
            if turned.is_empty() {
                // Who has no place at all goes first.
                let mut moved = self.relieve();
                moved.extend(self.restore());
                if moved.is_empty() {
                    break;
                }
                lists.extend(moved);
            }
            for (node, is_full) in turned {
                if is_full {
                    lists.extend(self.places.listed.of(&node).cloned());
                } else {
                    lists.extend(self.serve_unplaced(&node));
                    lists.extend(self.who_may_list(&node));
                }
            }
        }
        for name in &lists {
            self.list(name);
        }
    }

    /// Gives each of these its place: first those that have a holder, then those that had a place before, then the rest.
    fn give_places(&mut self, names: &BTreeSet<EgressName>) {
        let mut homeless = Vec::new();
        for name in names {
            let is_moving = self.move_goes_on(name);
            let Some(entry) = self.egresses.get(name) else {
                continue;
            };
            let Entry { fact, place, .. } = entry;
            let listed = || fact.status.candidates.first();
            let before = place.as_ref().or_else(listed).cloned();
            let fixed = match self.ranked(name) {
                Some(_) if is_moving => before.clone(),
                Some(ranked) => self.eligible_holder(&ranked).cloned(),
                // The pool has been illegible since before the operator's start.
                None => before.clone().filter(|_| entry.is_placed()),
            };
            if fixed.is_none() && self.ranked(name).is_some() {
                homeless.push((fact.created, name, before));
            }
            self.settle_on(name, fixed);
        }
        homeless.sort();
        for (_, name, before) in &homeless {
            let stands = before.clone().filter(|before| self.may_take(name, before));
            self.settle_on(name, stands);
        }
        for (_, name, _) in homeless {
            if self
                .egresses
                .get(name)
                .is_some_and(|entry| entry.place.is_none())
            {
                self.find_place(name);
            }
        }
    }

    /// The first node in the Egress's own order that has room, or none.
    pub(super) fn find_place(&mut self, name: &EgressName) {
        let place = self.ranked(name).and_then(|ranked| self.nearest(&ranked));
        let is_unplaced = place.is_none();
        self.settle_on(name, place);
        if is_unplaced {
            self.places.unplaced.insert(name.clone());
        }
    }

    /// The first node in an Egress's own order that has room and is there, but for its place.
    pub(super) fn nearest(&self, ranked: &Ranked<'_>) -> Option<NodeName> {
        let others = self.with_room(ranked).filter(|node| {
            ranked.entry.place.as_ref() != Some(&node.name) && self.gone(&node.name).is_none()
        });
        let scores = others.map(|node| (ranked.score(node), node));
        Some(scores.min_by_key(|(score, _)| *score)?.1.name.clone())
    }

    pub(super) fn settle_on(&mut self, name: &EgressName, place: Option<NodeName>) {
        if let Some(entry) = self.egresses.get_mut(name) {
            self.places
                .settle(name, entry.place.as_ref(), place.as_ref());
            entry.place = place;
        }
    }

    fn may_take(&self, name: &EgressName, node: &NodeName) -> bool {
        let ranked = self.ranked(name);
        ranked.is_some_and(|ranked| {
            let node = self.nodes.get(node);
            node.is_some_and(|node| self.has_room(node) && ranked.may_be_on(node))
        })
    }

    pub(super) fn has_room(&self, node: &Node) -> bool {
        self.places.on.count(&node.name) < node.max_egress_ips
    }

    fn with_room(&self, ranked: &Ranked<'_>) -> impl Iterator<Item = &Node> {
        let nodes = self.nodes.values();
        nodes.filter(move |node| self.has_room(node) && ranked.may_be_on(node))
    }

    /// The nodes that have become full since this was asked last, and those that have room now and could not be listed.
    fn turned(&mut self) -> Vec<(NodeName, bool)> {
        let arrived = take(&mut self.places.arrived);
        let mut touched = take(&mut self.places.touched);
        touched.extend(arrived.iter().cloned());
        let mut turned = Vec::new();
        for name in touched {
            let node = self.nodes.get(&name);
            let is_full = node.is_some_and(|node| !self.has_room(node));
            let has_turned = if is_full {
                self.places.full.insert(name.clone())
            } else {
                self.places.full.remove(&name)
            };
            if has_turned || !is_full && arrived.contains(&name) {
                turned.push((name, is_full));
            }
        }
        turned
    }

    /// Gives those without a place the room that a node has by now, the oldest first. All other nodes were full for them.
    fn serve_unplaced(&mut self, node: &NodeName) -> Vec<EgressName> {
        let waiting = self.places.unplaced.iter();
        let mut waiting: Vec<_> = waiting
            .filter_map(|name| Some((self.egresses.get(name)?.fact.created, name.clone())))
            .collect();
        waiting.sort();
        let mut served = Vec::new();
        for (_, name) in waiting {
            if !self.nodes.get(node).is_some_and(|node| self.has_room(node)) {
                break;
            }
            if self.may_take(&name, node) {
                self.find_place(&name);
                served.push(name);
            }
        }
        served
    }

    /// Those that may list this node, which has room now: it is nearer than one that they list, or is in another zone
    /// than two of them in a row, or they list too few.
    fn who_may_list(&self, name: &NodeName) -> Vec<EgressName> {
        let Some(node) = self.nodes.get(name) else {
            return Vec::new();
        };
        let pools = self.pools.selectors();
        let pools = pools.filter(|(_, selector)| eligible(selector, node));
        let users = pools.flat_map(|(pool, _)| self.users.of(pool));
        let may_list = |egress: &&EgressName| {
            self.ranked(egress)
                .is_some_and(|ranked| self.may_enter(&ranked, node))
        };
        users.filter(may_list).cloned().collect()
    }

    fn may_enter(&self, ranked: &Ranked<'_>, node: &Node) -> bool {
        if !ranked.may_be_on(node) {
            return false;
        }
        let listed = &ranked.entry.candidates;
        let nodes: Vec<_> = listed
            .iter()
            .filter_map(|name| self.nodes.get(name))
            .collect();
        let is_short = nodes.len() < CANDIDATES;
        let is_in_one_zone = || {
            let pairs = nodes.iter().zip(nodes.iter().skip(1));
            pairs
                .into_iter()
                .any(|(one, next)| one.zone() == next.zone())
                && nodes.iter().any(|listed| listed.zone() != node.zone())
        };
        let is_nearer = || {
            let score = ranked.score(node);
            nodes
                .iter()
                .skip(1)
                .any(|listed| score < ranked.score(listed))
        };
        is_short || is_in_one_zone() || is_nearer()
    }

    /// Makes the list of an Egress anew.
    fn list(&mut self, name: &EgressName) {
        let candidates = match self.ranked(name) {
            Some(ranked) => self.candidates_of(&ranked),
            None => self.listed_before(name),
        };
        let Some(entry) = self.egresses.get_mut(name) else {
            return;
        };
        if entry.candidates != candidates {
            self.places.relist(name, &entry.candidates, &candidates);
            entry.candidates = candidates;
            self.dirty.egresses.insert(name.clone());
        }
    }

    fn candidates_of(&self, ranked: &Ranked<'_>) -> Vec<NodeName> {
        let Ranked { entry, grant, .. } = ranked;
        let Some(place) = entry.place.as_ref().and_then(|place| self.nodes.get(place)) else {
            return Vec::new();
        };
        // Who has let go may take it back, should the others be away.
        let holder = entry.fact.status.node.as_ref();
        let left = self.places.moves.left_by(&entry.fact.name);
        let left = left.filter(|left| holder == Some(*left));
        let others = self.with_room(ranked);
        let others = others.filter(|node| left != Some(&node.name));
        let nodes = placement::candidates(&grant.pool, grant.ip, Some(place), others);
        nodes.iter().map(|node| node.name.clone()).collect()
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

    /// An Egress that may have candidates, with what they depend on.
    pub(super) fn ranked(&self, name: &EgressName) -> Option<Ranked<'_>> {
        let entry = self.egresses.get(name)?;
        let grant = entry.grant.as_ref().filter(|_| entry.is_placed())?;
        Some(Ranked {
            entry,
            grant,
            selector: self.pools.selector(&grant.pool)?,
        })
    }

    fn eligible_holder<'a>(&self, ranked: &Ranked<'a>) -> Option<&'a NodeName> {
        let holder = ranked.entry.fact.status.node.as_ref()?;
        self.nodes
            .get(holder)
            .filter(|node| ranked.may_be_on(node))?;
        Some(holder)
    }
}

/// A granted Egress and the nodes that its pool selects.
pub(super) struct Ranked<'a> {
    pub(super) entry: &'a Entry,
    grant: &'a Grant,
    selector: &'a Selector,
}

impl Ranked<'_> {
    /// Whether the node may hold the address, has it room or not.
    pub(super) fn may_be_on(&self, node: &Node) -> bool {
        eligible(self.selector, node) && node.can_hold(self.grant.ip)
    }

    pub(super) fn score<'n>(&self, node: &'n Node) -> Score<'n> {
        Score::of(&self.grant.pool, self.grant.ip, node)
    }
}
