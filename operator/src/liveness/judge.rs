//! What was seen of agents, look by look.
//!
//! Owns how long something must be seen to be told: a report for eight seconds, a Lease that is not renewed for as
//! many looks as renewals were due. Both are counted in looks that were answered, so neither a paused operator nor an
//! absent API server lets time pass. Other clocks are compared with themselves only. Never looks by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use egret_domain::control::{Fact, Sign};
use egret_domain::name::NodeName;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Since;

/// By then another node has taken over and said so, where one can, and the report of a return has come, though late.
pub(super) const LONG: Duration = Duration::from_secs(8);
/// A Lease that is the same in as many looks after one has run out. They are as far apart as its renewals.
pub(super) const LOOKS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Judge {
    /// By who reports it and who is missed.
    missed: BTreeMap<NodeName, BTreeMap<NodeName, Missed>>,
    leases: BTreeMap<NodeName, Seen>,
    told_missed: BTreeMap<NodeName, BTreeSet<NodeName>>,
    told_signs: BTreeMap<NodeName, Sign>,
}

/// A report.
#[derive(Debug, Clone, Copy)]
struct Missed {
    /// Since when, by the clock of who reports it. Another time is another silence.
    since: Timestamp,
    first_seen: Instant,
    is_long: bool,
}

/// A Lease.
#[derive(Debug, Clone, Copy)]
struct Seen {
    renewed: Option<Timestamp>,
    /// How many looks have found it unchanged.
    looks: u32,
}

impl Judge {
    /// What follows from all reports as they are now.
    pub(super) fn look_at_reports(
        &mut self,
        reports: BTreeMap<NodeName, Since>,
        now: Instant,
    ) -> Vec<Fact> {
        let before = std::mem::take(&mut self.missed);
        for (by, missed) in reports {
            let before = before.get(&by);
            let missed = missed.into_iter().map(|(node, since)| {
                let same = before.and_then(|before| before.get(&node));
                let same = same.filter(|same| same.since == since);
                let first_seen = same.map_or(now, |same| same.first_seen);
                let is_long = now.duration_since(first_seen) >= LONG;
                let missed = Missed {
                    since,
                    first_seen,
                    is_long,
                };
                (node, missed)
            });
            self.missed.insert(by, missed.collect());
        }
        self.tell_missed()
    }

    /// Whether some report has not lasted long enough yet.
    pub(super) fn is_waiting(&self) -> bool {
        let mut missed = self.missed.values().flat_map(BTreeMap::values);
        missed.any(|missed| !missed.is_long)
    }

    /// What follows from all Leases as they are now.
    pub(super) fn look_at_leases(
        &mut self,
        leases: BTreeMap<NodeName, Option<Timestamp>>,
    ) -> Vec<Fact> {
        let before = std::mem::take(&mut self.leases);
        let seen = leases.into_iter().map(|(node, renewed)| {
            let same = before.get(&node).filter(|same| same.renewed == renewed);
            let looks = same.map_or(0, |same| same.looks.saturating_add(1));
            (node, Seen { renewed, looks })
        });
        self.leases = seen.collect();
        let signs = self.leases.iter().map(|(node, seen)| {
            let is_silent = seen.looks >= LOOKS;
            let sign = if is_silent { Sign::Ceased } else { Sign::Given };
            (node.clone(), sign)
        });
        let signs: BTreeMap<_, _> = signs.collect();
        let told = std::mem::replace(&mut self.told_signs, signs);
        let now = &self.told_signs;
        let nodes: BTreeSet<_> = told.keys().chain(now.keys()).collect();
        nodes
            .into_iter()
            .filter(|node| told.get(*node) != now.get(*node))
            .map(|node| Fact::Sign {
                node: node.clone(),
                sign: now.get(node).copied(),
            })
            .collect()
    }

    /// A look was not answered: nothing has lasted, as far as can be told. What has run out before stays so.
    pub(super) fn could_not_look(&mut self) -> Vec<Fact> {
        self.missed.clear();
        for seen in self.leases.values_mut().filter(|seen| seen.looks < LOOKS) {
            seen.looks = 0;
        }
        self.tell_missed()
    }

    fn tell_missed(&mut self) -> Vec<Fact> {
        let long = self.missed.iter().map(|(by, missed)| {
            let long = missed.iter().filter(|(_, missed)| missed.is_long);
            (by.clone(), long.map(|(node, _)| node.clone()).collect())
        });
        let long = long.filter(|(_, nodes): &(_, BTreeSet<_>)| !nodes.is_empty());
        let long: BTreeMap<_, _> = long.collect();
        let told = std::mem::replace(&mut self.told_missed, long);
        let now = &self.told_missed;
        let reporters: BTreeSet<_> = told.keys().chain(now.keys()).collect();
        reporters
            .into_iter()
            .filter(|by| told.get(*by) != now.get(*by))
            .map(|by| Fact::Missed {
                by: by.clone(),
                nodes: now.get(by).cloned().unwrap_or_default(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
