//! Where a Pod goes: a pure function of what it wants, what nodes there are and where others are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt;

use crate::node::Powered;
use crate::topology::NodeId;

#[cfg(test)]
mod tests;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Of two Pods that differ only in these, one is the other's successor or peer.
const OF_ONE_REVISION: [&str; 3] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
];

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub node: NodeId,
    /// Its labels.
    pub labels: Labels,
    /// Whether it has power and takes Pods.
    pub is_open: bool,
}

/// A Pod that has a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its node.
    pub node: NodeId,
    /// Its labels.
    pub labels: Labels,
}

/// What a Pod wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Its labels.
    pub labels: Labels,
    /// Labels that its node has.
    pub selector: Labels,
    /// Terms one of which its node meets, if there are any.
    pub terms: Vec<NodeSelectorTerm>,
    /// Pods that are not on its node.
    pub apart_from: Vec<LabelSelector>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// None that it wants.
    #[error("no node is what its nodeSelector and affinity want")]
    Unwanted,
    /// All of them are off, cordoned or taken.
    #[error("every node that it wants is off, cordoned or has a Pod that it keeps apart from")]
    Closed,
}

impl Place {
    /// A node of the API, unless it is not one of a lab.
    pub fn of(node: &Node, powered: &Powered) -> Option<Self> {
        let id = node.name_any().parse().ok()?;
        let spec = node.spec.as_ref();
        let is_cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or_default();
        Some(Self {
            node: id,
            labels: node.labels().clone(),
            is_open: powered.contains(&id) && !is_cordoned,
        })
    }

    fn meets(&self, wanted: &Wanted) -> bool {
        let mut selector = wanted.selector.iter();
        let terms = &wanted.terms;
        selector.all(|(name, value)| self.labels.get(name) == Some(value))
            && (terms.is_empty() || terms.iter().any(|term| self.meets_term(term)))
    }

    fn meets_term(&self, term: &NodeSelectorTerm) -> bool {
        let name = self.node.to_string();
        let by_field = |field: &NodeSelectorRequirement| {
            let found = (field.key == "metadata.name").then_some(name.as_str());
            is_met(found, &field.operator, field.values.as_deref())
        };
        let by_label = |label: &NodeSelectorRequirement| {
            let found = self.labels.get(&label.key).map(String::as_str);
            is_met(found, &label.operator, label.values.as_deref())
        };
        let mut fields = term.match_fields.iter().flatten();
        let mut labels = term.match_expressions.iter().flatten();
        fields.all(by_field) && labels.all(by_label)
    }
}

impl Placed {
    /// A Pod that has a node of a lab.
    pub fn of(pod: &Pod) -> Option<Self> {
        let node = pod.spec.as_ref()?.node_name.as_ref()?.parse().ok()?;
        Some(Self {
            node,
            labels: pod.labels().clone(),
        })
    }
}

impl Wanted {
    /// What a Pod says.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let affinity = spec.and_then(|spec| spec.affinity.as_ref());
        let selector = spec.and_then(|spec| spec.node_selector.clone());
        Self {
            labels: pod.labels().clone(),
            selector: selector.unwrap_or_default(),
            terms: affinity.and_then(node_terms).unwrap_or_default(),
            apart_from: affinity.and_then(apart_from).unwrap_or_default(),
        }
    }

    /// A Pod of a `DaemonSet` belongs to one node, whatever that is like just now.
    fn is_pinned(&self) -> bool {
        let by_name = |term: &NodeSelectorTerm| {
            let mut fields = term.match_fields.iter().flatten();
            fields.any(|field| field.key == "metadata.name")
        };
        !self.terms.is_empty() && self.terms.iter().all(by_name)
    }
}

fn node_terms(affinity: &Affinity) -> Option<Vec<NodeSelectorTerm>> {
    let node = affinity.node_affinity.as_ref()?;
    let required = node
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    Some(required.node_selector_terms.clone())
}

fn apart_from(affinity: &Affinity) -> Option<Vec<LabelSelector>> {
    let others = affinity.pod_anti_affinity.as_ref()?;
    let required = others
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let on_a_node = |term: &&PodAffinityTerm| term.topology_key == "kubernetes.io/hostname";
    let selectors = required.iter().filter(on_a_node);
    Some(
        selectors
            .filter_map(|term| term.label_selector.clone())
            .collect(),
    )
}

/// The node with the fewest Pods of the same kind, the first of those.
pub fn place(wanted: &Wanted, places: &[Place], others: &[Placed]) -> Result<NodeId, NoPlace> {
    let suitable: Vec<&Place> = places.iter().filter(|place| place.meets(wanted)).collect();
    if suitable.is_empty() {
        return Err(NoPlace::Unwanted);
    }
    let is_free = |place: &&&Place| {
        let mut there = others.iter().filter(|one| one.node == place.node);
        let keeps_apart = |one: &Placed| {
            let mut selectors = wanted.apart_from.iter();
            selectors.any(|selector| selects(selector, &one.labels))
        };
        wanted.is_pinned() || (place.is_open && !there.any(keeps_apart))
    };
    let peers = |place: &&&Place| {
        let there = others.iter().filter(|one| one.node == place.node);
        let peers = there.filter(|one| kind(&one.labels) == kind(&wanted.labels));
        (peers.count(), place.node)
    };
    let chosen = suitable.iter().filter(is_free).min_by_key(peers);
    chosen.map(|place| place.node).ok_or(NoPlace::Closed)
}

fn kind(labels: &Labels) -> Labels {
    let lasting = labels
        .iter()
        .filter(|(name, _)| !OF_ONE_REVISION.contains(&name.as_str()));
    lasting
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut exact = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    let by_expression = |expression: &LabelSelectorRequirement| {
        let found = labels.get(&expression.key).map(String::as_str);
        is_met(found, &expression.operator, expression.values.as_deref())
    };
    exact.all(|(name, value)| labels.get(name) == Some(value)) && expressions.all(by_expression)
}

/// The comparisons by size of node labels are nobody's wish here.
fn is_met(found: Option<&str>, operator: &str, values: Option<&[String]>) -> bool {
    let is_listed = || {
        let values = values.unwrap_or_default();
        found.is_some_and(|found| values.iter().any(|value| value == found))
    };
    match operator {
        "In" => is_listed(),
        "NotIn" => !is_listed(),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        _ => false,
    }
}
