//! Which Egresses do not get all the Pods that they select.
//!
//! Owns what nodes report of it. Never knows which Pods those are, nor which Egress they use.

use std::collections::{BTreeMap, BTreeSet};

use super::{Control, Dirty};
use crate::name::{EgressName, NodeName};

/// Egresses and the nodes that report them as overlapped.
#[derive(Debug, Default)]
pub(super) struct Overlapped {
    by_node: BTreeMap<NodeName, BTreeSet<EgressName>>,
    nodes: BTreeMap<EgressName, BTreeSet<NodeName>>,
}

impl Overlapped {
    fn set(&mut self, node: &NodeName, egresses: BTreeSet<EgressName>, dirty: &mut Dirty) {
        let before = self.by_node.remove(node).unwrap_or_default();
        for name in before.difference(&egresses) {
            if let Some(nodes) = self.nodes.get_mut(name) {
                nodes.remove(node);
                if nodes.is_empty() {
                    self.nodes.remove(name);
                }
            }
            dirty.egresses.insert(name.clone());
        }
        for name in egresses.difference(&before) {
            self.nodes
                .entry(name.clone())
                .or_default()
                .insert(node.clone());
            dirty.egresses.insert(name.clone());
        }
        if !egresses.is_empty() {
            self.by_node.insert(node.clone(), egresses);
        }
    }

    /// The nodes on which a Pod is selected by this Egress and uses another.
    pub(super) fn nodes_of(&self, egress: &EgressName) -> impl Iterator<Item = &NodeName> {
        self.nodes.get(egress).into_iter().flatten()
    }
}

impl Control {
    pub(super) fn set_overlapped(&mut self, node: &NodeName, egresses: BTreeSet<EgressName>) {
        self.overlapped.set(node, egresses, &mut self.dirty);
    }
}
