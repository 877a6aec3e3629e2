//! Label selectors as data.
//!
//! Owns what "selects" means. Never parses YAML; a selector that the API server would refuse cannot reach it.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A label selector: every requirement must hold; without any, it selects everything.
///
/// Two that say the same in another order are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Selector {
    /// In order, each once. No set: there are thousands of selectors, most of one requirement, and a set has room for
    /// eleven.
    requirements: Box<[Requirement]>,
}

/// One requirement of a selector on one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The label is there and has one of these values.
    In(String, BTreeSet<String>),
    /// The label is missing or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is missing.
    DoesNotExist(String),
}

impl Requirement {
    /// Whether the labels meet it.
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => {
                !labels.get(key).is_some_and(|value| values.contains(value))
            }
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

impl Selector {
    /// A selector of these requirements.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let requirements: BTreeSet<_> = requirements.into_iter().collect();
        Self {
            requirements: requirements.into_iter().collect(),
        }
    }

    /// Whether the labels meet every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }
}

/// Which Pods an Egress selects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AppliedTo {
    /// Pods with these labels.
    pub pods: Option<Selector>,
    /// Pods of namespaces with these labels.
    pub namespaces: Option<Selector>,
}

impl AppliedTo {
    /// Whether it selects no Pod whatever there is.
    pub(crate) fn is_nothing(&self) -> bool {
        self.pods.is_none() && self.namespaces.is_none()
    }

    /// Whether a Pod is selected: by both selectors where both are given, by none where none is. No selector selects a
    /// namespace that is not known (yet).
    pub fn selects(&self, pod: &Labels, namespace: Option<&Labels>) -> bool {
        let meets = |selector: &Option<Selector>, labels: Option<&Labels>| {
            selector
                .as_ref()
                .is_none_or(|selector| labels.is_some_and(|labels| selector.matches(labels)))
        };
        !self.is_nothing() && meets(&self.pods, Some(pod)) && meets(&self.namespaces, namespace)
    }
}

#[cfg(test)]
mod tests;
