//! What a process has written to the API.
//!
//! Owns the labels; each process has its own name for the whole. Never has the name of an object in a label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::apply::Error;

/// The counters. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Writes(Family<Write, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    what: &'static str,
    outcome: &'static str,
}

impl Writes {
    /// Makes a registry show them as `writes`.
    pub fn register(&self, registry: &mut Registry, help: &str) {
        registry.register("writes", help, self.0.clone());
    }

    /// Counts a write of something.
    pub fn count(&self, what: &'static str, outcome: &'static str) {
        self.0.get_or_create(&Write { what, outcome }).inc();
    }
}

/// What became of a write, in one word.
pub fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "written",
        Err(failure) => failure.category().as_str(),
    }
}
