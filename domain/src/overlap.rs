//! Which Egress a Pod uses when several select it.
//!
//! Owns the order of precedence, the same on every node. Never decides whether an Egress selects a Pod.

use std::cmp::Reverse;

use crate::egress::Egress;
use crate::name::EgressName;

/// What decides between the Egresses that select the same Pod: the smallest wins.
///
/// Highest priority first, then the oldest, then the first by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    priority: Reverse<i32>,
    created: i64,
    name: EgressName,
}

impl Precedence {
    /// That of this Egress.
    pub fn of(egress: &Egress) -> Self {
        Self::new(egress.priority, egress.created, egress.name.clone())
    }

    /// That of an Egress of which no more is known than this; `created` in Unix seconds.
    pub fn new(priority: i32, created: i64, name: EgressName) -> Self {
        Self {
            priority: Reverse(priority),
            created,
            name,
        }
    }

    /// The Egress whose it is.
    pub fn egress(&self) -> &EgressName {
        &self.name
    }
}

#[cfg(test)]
mod tests;
