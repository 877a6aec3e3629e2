//! What a review finds.
//!
//! Owns the difference between what refuses a change and what only deserves a warning. Never finds anything itself.

use std::collections::BTreeSet;

use crate::control::Object;
use crate::problem::{Problem, Problems};

/// The result of looking at an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// Everything for which it is refused.
    pub refusal: Option<Problems>,
    /// What to tell although it may be stored.
    pub warnings: Vec<Problem>,
    /// On what of others the refusal rests. Where what is known of that may be outdated, it is worth another look before
    /// it is told.
    pub doubts: BTreeSet<Doubt>,
}

/// What may be otherwise than it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// One object.
    Of(Object),
    /// Which pools there are.
    Pools,
}

/// What is found at one object as it is.
#[derive(Debug, Default)]
pub(super) struct Findings {
    wrong: Vec<Finding>,
    odd: Vec<Problem>,
    doubts: BTreeSet<Doubt>,
}

#[derive(Debug)]
struct Finding {
    problem: Problem,
    rests_on: Vec<Object>,
}

impl Findings {
    /// What an object shows by itself.
    pub(super) fn of(problems: &[Problem], remarks: &[Problem]) -> Self {
        let alone = |problem: &Problem| Finding {
            problem: problem.clone(),
            rests_on: Vec::new(),
        };
        Self {
            wrong: problems.iter().map(alone).collect(),
            odd: remarks.to_vec(),
            doubts: BTreeSet::new(),
        }
    }

    /// Adds what must not be, and the other objects that make it wrong.
    pub(super) fn wrong(&mut self, problem: Problem, rests_on: impl IntoIterator<Item = Object>) {
        self.wrong.push(Finding {
            problem,
            rests_on: rests_on.into_iter().collect(),
        });
    }

    /// Adds on what a problem rests that the object shows by itself.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        self.doubts.insert(doubt);
    }

    /// Adds what may be.
    pub(super) fn odd(&mut self, remark: Problem) {
        self.odd.push(remark);
    }

    /// The review of a change: what has been wrong `before` in the same way is tolerated.
    pub(super) fn since(self, before: Option<&Self>) -> Review {
        let was_so = |finding: &Finding| {
            let mut before = before.into_iter().flat_map(|before| &before.wrong);
            before.any(|before| is_same(&before.problem, &finding.problem))
        };
        let (tolerated, wrong): (Vec<_>, Vec<_>) = self.wrong.into_iter().partition(was_so);
        let tolerated = tolerated.into_iter().map(|finding| finding.problem);
        let rests_on = wrong.iter().flat_map(|finding| &finding.rests_on);
        let doubts = rests_on.cloned().map(Doubt::Of);
        let others = self.doubts.into_iter().filter(|_| !wrong.is_empty());
        Review {
            warnings: tolerated.chain(self.odd).collect(),
            doubts: doubts.chain(others).collect(),
            refusal: Problems::new(wrong.into_iter().map(|finding| finding.problem).collect()),
        }
    }
}

/// Whether it is the same problem, though its place in a list may be another.
fn is_same(one: &Problem, other: &Problem) -> bool {
    one.value == other.value
        && one.reason == other.reason
        && without_places(&one.path) == without_places(&other.path)
}

fn without_places(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}
