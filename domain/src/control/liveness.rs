//! Which nodes are gone.
//!
//! Owns the verdict over a node: most agents have not heard of it for eight seconds, or, where no other agent can
//! tell, its own sign of life has stopped. Agents without a sign of life have no say; a node that still gives one counts
//! as one that hears itself. So a node that is only cut off from one side stays. Who writes its name into a status is
//! alive, whatever was heard of it before. The words in which an Egress tells of the verdict are here too. Never knows
//! the time: what lasts too long is told as a fact.

use std::collections::{BTreeMap, BTreeSet};

use super::{Control, EgressFact, take};
use crate::condition::{Condition, Type};
use crate::name::NodeName;

/// Whether an agent gives signs of life to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Its Lease is renewed.
    Given,
    /// Its Lease has run out.
    Ceased,
}

/// Why a node is taken to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// There is no such node any more.
    Deleted,
    /// Most agents have not heard of it for eight seconds.
    Unreachable,
    /// Its Lease has run out, and there is no other agent that could tell.
    Silent,
}

impl Gone {
    fn reasons() -> impl Iterator<Item = &'static str> {
        let all = [Self::Deleted, Self::Unreachable, Self::Silent];
        all.into_iter().map(Self::reason)
    }

    /// One word for the condition's reason.
    fn reason(self) -> &'static str {
        match self {
            Self::Deleted => "NodeDeleted",
            Self::Unreachable => "NodeUnreachable",
            Self::Silent => "AgentSilent",
        }
    }

    fn message(self, node: &NodeName) -> String {
        match self {
            Self::Deleted => format!(
                "node {node}, which held the egress IP, has left the cluster and no other node has taken it"
            ),
            Self::Unreachable => format!(
                "node {node}, which held the egress IP, is out of reach of most other nodes and none of them has taken \
                 it: see `kubectl get egressnodes` and the Node"
            ),
            Self::Silent => format!(
                "node {node}, which held the egress IP, gives no sign of life and there is no other node to take it: \
                 see its agent's Pod and the Node"
            ),
        }
    }
}

/// What is known of the agents.
#[derive(Debug, Default)]
pub(super) struct Agents {
    signs: BTreeMap<NodeName, Sign>,
    /// By node, the nodes whose agents have not heard of it for eight seconds.
    missed_by: BTreeMap<NodeName, BTreeSet<NodeName>>,
    /// Nodes that have written to a status although they were taken to be gone, as long as others believe so.
    returned: BTreeSet<NodeName>,
    gone: BTreeMap<NodeName, Gone>,
}

impl Agents {
    /// No verdict any more: whoever has come back meanwhile has not come just now. What agents have told stays.
    pub(super) fn reopen(&mut self) {
        self.gone.clear();
        self.returned.clear();
    }

    fn set_missed(&mut self, by: &NodeName, nodes: &BTreeSet<NodeName>) {
        self.missed_by.retain(|node, missed_by| {
            if !nodes.contains(node) {
                missed_by.remove(by);
            }
            !missed_by.is_empty()
        });
        for node in nodes {
            let missed_by = self.missed_by.entry(node.clone()).or_default();
            missed_by.insert(by.clone());
        }
    }

    /// The nodes that are gone by what is known, of those that are in the cluster.
    fn judge(&self, is_in_cluster: impl Fn(&NodeName) -> bool) -> BTreeMap<NodeName, Gone> {
        let is_alive = |node: &NodeName| self.signs.get(node) == Some(&Sign::Given);
        let has_say = |node: &&NodeName| is_alive(node) && is_in_cluster(node);
        let agents = self.signs.keys().filter(has_say).count();
        let suspects = self.signs.keys().chain(self.missed_by.keys());
        suspects
            .filter_map(|node| {
                let others = agents - usize::from(has_say(&node));
                if others == 0 {
                    let is_silent = self.signs.get(node) == Some(&Sign::Ceased);
                    return is_silent.then(|| (node.clone(), Gone::Silent));
                }
                let missed_by = self.missed_by.get(node).into_iter().flatten();
                let votes = missed_by.filter(|by| *by != node).filter(has_say).count();
                (votes * 2 > agents).then(|| (node.clone(), Gone::Unreachable))
            })
            .collect()
    }
}

impl Control {
    pub(super) fn set_sign(&mut self, node: NodeName, sign: Option<Sign>) {
        match sign {
            Some(sign) => self.agents.signs.insert(node, sign),
            None => self.agents.signs.remove(&node),
        };
        self.dirty.agents = true;
    }

    pub(super) fn set_missed(&mut self, by: &NodeName, nodes: &BTreeSet<NodeName>) {
        self.agents.set_missed(by, nodes);
        self.dirty.agents = true;
    }

    /// A status names a node that it did not name before. Nobody but that node writes its name.
    pub(super) fn note_named(&mut self, before: Option<&NodeName>, now: Option<&NodeName>) {
        let anew = now.filter(|now| before != Some(*now));
        if let Some(node) = anew.filter(|node| self.agents.gone.contains_key(*node)) {
            self.agents.returned.insert(node.clone());
            self.dirty.agents = true;
        }
    }

    /// Draws the conclusions of what was told of agents.
    pub(super) fn judge_agents(&mut self) {
        if !take(&mut self.dirty.agents) {
            return;
        }
        let mut gone = self.agents.judge(|node| self.nodes.contains_key(node));
        let returned = &mut self.agents.returned;
        returned.retain(|node| gone.contains_key(node));
        gone.retain(|node, _| !returned.contains(node));
        let before = std::mem::replace(&mut self.agents.gone, gone);
        let now = &self.agents.gone;
        for node in now.keys() {
            self.places.moves.note_gone(node);
        }
        for node in before.keys().filter(|node| !now.contains_key(*node)) {
            self.places.moves.note_arrival(node);
            self.places.arrived.insert(node.clone());
        }
        let nodes = before.keys().chain(now.keys());
        let changed = nodes.filter(|node| before.get(*node) != now.get(*node));
        for egress in changed.flat_map(|node| self.held.of(node)) {
            self.dirty.everything_of(egress);
        }
    }

    /// Why the node that a status names does not hold anything any more, if that is so.
    pub(super) fn gone(&self, node: &NodeName) -> Option<Gone> {
        if self.nodes.contains_key(node) {
            self.agents.gone.get(node).copied()
        } else {
            Some(Gone::Deleted)
        }
    }
}

/// What is said of an Egress whose holder is gone: see [`lost`].
pub(super) fn lose(fact: &EgressFact, node: &NodeName, gone: Gone) -> Condition {
    Condition {
        kind: Type::IpAssigned,
        is_true: false,
        reason: gone.reason(),
        message: gone.message(node),
        observed_generation: fact.generation,
    }
}

/// That the holder was lost, as long as that is the last that was said of the Egress as it is.
pub(super) fn lost(fact: &EgressFact) -> Option<(&'static str, String)> {
    let said = fact.status.condition(Type::IpAssigned)?;
    let is_current = !said.is_true && said.observed_generation == fact.generation;
    Gone::reasons()
        .find(|reason| is_current && *reason == said.reason)
        .map(|reason| (reason, said.message.clone()))
}

/// Whether this reason of `IPAssigned` is the operator's word for a holder that is gone.
pub fn is_lost(reason: &str) -> bool {
    Gone::reasons().any(|known| known == reason)
}
