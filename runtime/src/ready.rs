//! Readiness: a process is ready once everything it waits for has come.
//!
//! Owns the list of what is still awaited. Never takes readiness back: what fails later ends the process instead.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a process still waits for. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    awaited: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// One thing that is awaited, until [`Awaited::done`]. Dropping it changes nothing: who gives up is not ready.
#[derive(Debug)]
#[must_use = "the process is never ready unless this is done"]
pub struct Awaited {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Makes readiness wait for one more thing; the name says what in the answer of /ready.
    pub fn wait_for(&self, name: &'static str) -> Awaited {
        self.lock().insert(name);
        Awaited {
            name,
            readiness: self.clone(),
        }
    }

    /// What is still awaited; nothing once the process is ready.
    pub fn awaited(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Awaited {
    /// It has come.
    pub fn done(self) {
        self.readiness.lock().remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn ready_when_all_that_is_awaited_has_come() {
        let readiness = Readiness::default();
        let egresses = readiness.wait_for("egresses");
        let nodes = readiness.wait_for("nodes");
        egresses.done();
        assert_eq!(readiness.awaited(), ["nodes"]);
        nodes.done();
        assert!(readiness.awaited().is_empty());
    }

    #[test]
    fn giving_up_is_not_being_ready() {
        let readiness = Readiness::default();
        drop(readiness.wait_for("egresses"));
        assert_eq!(readiness.awaited(), ["egresses"]);
    }
}
