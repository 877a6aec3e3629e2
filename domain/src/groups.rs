//! Egresses grouped by something.
//!
//! Owns an index without empty groups. Never knows what the groups mean.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::name::EgressName;

/// The Egresses that belong to each key.
#[derive(Debug)]
pub(crate) struct Groups<K>(BTreeMap<K, BTreeSet<EgressName>>);

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Groups<K> {
    pub(crate) fn insert(&mut self, key: &K, egress: &EgressName) {
        self.0
            .entry(key.clone())
            .or_default()
            .insert(egress.clone());
    }

    pub(crate) fn remove(&mut self, key: &K, egress: &EgressName) {
        if let Some(group) = self.0.get_mut(key) {
            group.remove(egress);
            if group.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// Moves an Egress from one key to another.
    pub(crate) fn exchange(&mut self, old: Option<&K>, new: Option<&K>, egress: &EgressName) {
        if let Some(old) = old {
            self.remove(old, egress);
        }
        if let Some(new) = new {
            self.insert(new, egress);
        }
    }

    /// The Egresses of a key, by name.
    pub(crate) fn of<'a>(&'a self, key: &K) -> impl Iterator<Item = &'a EgressName> + use<'a, K> {
        self.0.get(key).into_iter().flatten()
    }

    /// Whether an Egress belongs to a key.
    pub(crate) fn has(&self, key: &K, egress: &EgressName) -> bool {
        self.0.get(key).is_some_and(|group| group.contains(egress))
    }

    /// How many a key has.
    pub(crate) fn count(&self, key: &K) -> usize {
        self.0.get(key).map_or(0, BTreeSet::len)
    }

    /// The keys between two, both included, each with its Egresses.
    pub(crate) fn range(
        &self,
        keys: RangeInclusive<K>,
    ) -> impl Iterator<Item = (&K, &BTreeSet<EgressName>)> {
        self.0.range(keys)
    }

    /// The keys that have any.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}
