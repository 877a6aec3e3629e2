//! Which addresses leave a holder that could keep them.
//!
//! Owns moves: away from a node that holds more than its limit, the newest first; and to a node that has come (back) and
//! was stable for a while, where that makes the fuller of two nodes less full. A move is a list of candidates that begins
//! with another node and leaves the holder out: whoever is no candidate lets go. It is over when the status names another
//! node; who has let go is a candidate again before that. At most so many are under way at once. Each move to a node that
//! has come goes to one that is nearer to the address than its holder, so they end. Never moves an address that no other
//! node has room for, and nothing because the operator was restarted.

use std::collections::{BTreeMap, BTreeSet};

use super::placing::Ranked;
use super::{Control, take};
use crate::name::{EgressName, NodeName};
use crate::placement::Node;

/// Moves that are under way at once: each interrupts connections.
pub(super) const MOVES: usize = 10;
/// How long a node must have been eligible before addresses come to it from others that hold them.
pub(super) const STABLE_S: u64 = 5;

/// The moves under way, and the nodes to which more may go.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Who leaves which node.
    under_way: BTreeMap<EgressName, NodeName>,
    /// Nodes that have become eligible, and when (in seconds of [`super::Fact::Time`]).
    come: BTreeMap<NodeName, u64>,
    /// Nodes whose agents have reported: a node without an agent takes nothing.
    reported: BTreeSet<NodeName>,
    now_s: u64,
}

impl Moves {
    /// No move any more; what agents have told, and the time, stay.
    pub(super) fn forgotten(&mut self) -> Self {
        Self {
            reported: take(&mut self.reported),
            now_s: self.now_s,
            ..Self::default()
        }
    }

    /// The node that an Egress's address is to leave.
    pub(super) fn left_by(&self, egress: &EgressName) -> Option<&NodeName> {
        self.under_way.get(egress)
    }

    pub(super) fn end(&mut self, egress: &EgressName) {
        self.under_way.remove(egress);
    }

    pub(super) fn set_time(&mut self, now_s: u64) {
        self.now_s = now_s;
    }

    /// A node has become eligible, or is heard of again.
    pub(super) fn note_arrival(&mut self, node: &NodeName) {
        self.come.insert(node.clone(), self.now_s);
    }

    /// A node is taken to be gone: nothing moves there before it has come back.
    pub(super) fn note_gone(&mut self, node: &NodeName) {
        self.come.remove(node);
    }

    pub(super) fn forget_node(&mut self, node: &NodeName) {
        self.come.remove(node);
        self.reported.remove(node);
    }

    /// A node's agent has reported: its time begins with the first report.
    pub(super) fn note_report(&mut self, node: &NodeName) {
        if self.reported.insert(node.clone()) && self.come.contains_key(node) {
            self.note_arrival(node);
        }
    }

    /// A node's agent has not reported, as far as is known.
    pub(super) fn forget_report(&mut self, node: &NodeName) {
        self.reported.remove(node);
    }

    /// Nodes that have been stable for long enough.
    fn due(&self) -> impl Iterator<Item = &NodeName> {
        let is_due = |since: u64| self.now_s.saturating_sub(since) >= STABLE_S;
        let come = self.come.iter().filter(move |(_, since)| is_due(**since));
        come.map(|(node, _)| node)
            .filter(|node| self.reported.contains(*node))
    }

    pub(super) fn are_due(&self) -> bool {
        !self.is_full() && self.due().next().is_some()
    }

    fn is_full(&self) -> bool {
        self.under_way.len() >= MOVES
    }
}

impl Control {
    /// Whether an Egress's move goes on: its place may still take the address, and its holder has not been followed by
    /// another. One that does not is over.
    pub(super) fn move_goes_on(&mut self, name: &EgressName) -> bool {
        let Some(from) = self.places.moves.left_by(name) else {
            return false;
        };
        let goes_on = self.ranked(name).is_some_and(|ranked| {
            let holder = ranked.entry.fact.status.node.as_ref();
            let to = ranked.entry.place.as_ref();
            let to = to.and_then(|to| self.nodes.get(to));
            holder.is_none_or(|holder| holder == from) && to.is_some_and(|to| ranked.may_be_on(to))
        });
        if !goes_on {
            self.end_move(name);
        }
        goes_on
    }

    /// A node that has not taken an address which was to come to it gets no more.
    fn end_move(&mut self, name: &EgressName) {
        let from = self.places.moves.under_way.remove(name);
        let Some(entry) = self.egresses.get(name) else {
            return;
        };
        let holder = entry.fact.status.node.as_ref();
        let is_elsewhere = holder.is_some_and(|holder| Some(holder) != from.as_ref());
        if is_elsewhere
            && holder != entry.place.as_ref()
            && let Some(to) = &entry.place
        {
            self.places.moves.come.remove(to);
        }
    }

    /// Begins to move addresses away from nodes with more than they may hold. Gives those that are moved.
    pub(super) fn relieve(&mut self) -> Vec<EgressName> {
        let mut moved = Vec::new();
        for node in self.overfull() {
            moved.extend(self.give_up(&node));
            for name in self.newest_on(&node) {
                if self.places.moves.is_full() {
                    return moved;
                }
                if !self.is_overfull(&node) {
                    break;
                }
                let to = self.ranked(&name).and_then(|ranked| self.nearest(&ranked));
                if let Some(to) = to {
                    self.begin_move(&name, node.clone(), to);
                    moved.push(name);
                }
            }
        }
        moved
    }

    /// Takes places on a node with more than it may hold away from those that it does not hold yet, which interrupts
    /// nobody, and finds others for them. Gives those.
    fn give_up(&mut self, node: &NodeName) -> Vec<EgressName> {
        let mut given_up = Vec::new();
        for name in self.newest_on(node) {
            if !self.is_overfull(node) {
                break;
            }
            let entry = self.egresses.get(&name);
            let is_held = entry.is_some_and(|entry| entry.fact.status.node.as_ref() == Some(node));
            if !is_held && self.places.moves.left_by(&name).is_none() {
                self.find_place(&name);
                given_up.push(name);
            }
        }
        given_up
    }

    /// The nodes on which there are more places than they may hold.
    fn overfull(&self) -> BTreeSet<NodeName> {
        let nodes = self.nodes.keys();
        nodes
            .filter(|node| self.is_overfull(node))
            .cloned()
            .collect()
    }

    fn is_overfull(&self, node: &NodeName) -> bool {
        let limit = self.nodes.get(node).map_or(0, |node| node.max_egress_ips);
        self.places.on.count(node) > limit
    }

    fn newest_on(&self, node: &NodeName) -> Vec<EgressName> {
        let on = self.places.on.of(node);
        let mut on: Vec<_> = on
            .filter_map(|name| Some((self.egresses.get(name)?.fact.created, name.clone())))
            .collect();
        on.sort();
        on.into_iter().rev().map(|(_, name)| name).collect()
    }

    /// Begins to move addresses to nodes that have come. Gives those that are moved.
    pub(super) fn restore(&mut self) -> Vec<EgressName> {
        let mut moved = Vec::new();
        let due: Vec<_> = self.places.moves.due().cloned().collect();
        for node in due {
            let listed: Vec<_> = self.places.listed.of(&node).cloned().collect();
            for name in listed {
                if self.places.moves.is_full() {
                    return moved;
                }
                if let Some(from) = self.gives_to(&name, &node) {
                    self.begin_move(&name, from, node.clone());
                    moved.push(name);
                }
            }
            let under_way = self.places.moves.under_way.keys();
            let is_awaited = under_way
                .filter_map(|name| self.egresses.get(name))
                .any(|entry| entry.place.as_ref() == Some(&node));
            if !is_awaited {
                self.places.moves.come.remove(&node);
            }
        }
        moved
    }

    /// The holder that should leave an Egress's address to this node, if it should.
    fn gives_to(&self, name: &EgressName, to: &NodeName) -> Option<NodeName> {
        let ranked = self.ranked(name)?;
        let place = ranked.entry.place.as_ref()?;
        let is_held = ranked.entry.fact.status.node.as_ref() == Some(place);
        let (from, to) = (self.nodes.get(place)?, self.nodes.get(to)?);
        let is_there = self.gone(&to.name).is_none();
        let may_take = is_there && self.has_room(to) && ranked.may_be_on(to);
        let is_wanted = is_held
            && may_take
            && self.places.moves.left_by(name).is_none()
            && self.is_nearest(&ranked, to)
            && self.evens_out(from, to);
        is_wanted.then(|| place.clone())
    }

    /// Whether a node is nearer to an Egress's address than all others in its list, the holder included. The nearest of
    /// all is always in the list.
    fn is_nearest(&self, ranked: &Ranked<'_>, node: &Node) -> bool {
        let listed = ranked.entry.candidates.iter();
        let others = listed.filter(|listed| **listed != node.name);
        let mut others = others.filter_map(|name| self.nodes.get(name));
        let score = ranked.score(node);
        others.all(|other| score < ranked.score(other))
    }

    /// Whether the node that takes is less full with the address than the one that gives is with it now.
    fn evens_out(&self, from: &Node, to: &Node) -> bool {
        let load = |node: &Node| self.places.on.count(&node.name);
        (load(to) + 1) * from.max_egress_ips < load(from) * to.max_egress_ips
    }

    fn begin_move(&mut self, name: &EgressName, from: NodeName, to: NodeName) {
        self.settle_on(name, Some(to));
        self.places.moves.under_way.insert(name.clone(), from);
    }
}
