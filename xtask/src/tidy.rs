//! Rules about the code that neither compiler nor clippy checks.
//!
//! Owns the rules of [`source`], [`size`], [`layers`], [`unused`] and [`words`]. Each is a function over values, so
//! that a test can show it a breach. Never mends anything.

pub mod graph;
pub mod layers;
pub mod size;
pub mod source;
pub mod unused;
pub mod words;

use std::fmt;
use std::path::Path;

use thiserror::Error;

use crate::{measure, tree};

/// Why the check failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The files cannot be read.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The code cannot be read.
    #[error(transparent)]
    Measure(#[from] measure::Error),
    /// The dependencies cannot be read.
    #[error(transparent)]
    Graph(#[from] graph::Error),
    /// Rules are broken.
    #[error("{} of the project's rules (CONTRIBUTING.md) broken:\n{}", .0.len(), lines(.0))]
    Broken(Vec<Offence>),
}

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The file or crate.
    pub place: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Offence {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Fails unless every rule is kept.
pub fn check(root: &Path) -> Result<(), Error> {
    let (files, graph) = (tree::read(root)?, graph::read(root)?);
    let mut offences = source::offences(&files);
    offences.extend(size::offences(&measure::modules(&files)?));
    offences.extend(layers::offences(&graph));
    offences.extend(unused::offences(&graph, &files));
    offences.extend(words::offences(&files));
    if offences.is_empty() {
        Ok(())
    } else {
        Err(Error::Broken(offences))
    }
}

fn lines(offences: &[Offence]) -> String {
    offences
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
