//! A queue of things to try again later.
//!
//! Owns when each is due: later and later for what fails again and again, without delaying the others. Never tries
//! anything itself.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::{Instant, sleep_until};

use crate::backoff::Limits;

/// Keys that failed, each with its failures in a row and, while it waits, when it is due.
#[derive(Debug)]
pub struct Retries<K> {
    limits: Limits,
    capacity: usize,
    failed: BTreeMap<K, Failed>,
    due: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    times: u32,
    due: Option<Instant>,
}

impl<K: Ord + Clone> Retries<K> {
    /// An empty queue for at most so many keys.
    pub fn new(limits: Limits, capacity: usize) -> Self {
        Self {
            limits,
            capacity,
            failed: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// The failures of a key in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.failed.get(key).map_or(0, |failed| failed.times)
    }

    /// Notes a failure: the key comes back after its delay. `false` if the queue is full and the key new to it.
    #[must_use = "a key that was not taken does not come back"]
    pub fn failed(&mut self, key: K) -> bool {
        let before = self.failed.get(&key).copied();
        if before.is_none() && self.failed.len() >= self.capacity {
            return false;
        }
        let times = before.map_or(1, |failed| failed.times.saturating_add(1));
        if let Some(due) = before.and_then(|failed| failed.due) {
            self.due.remove(&(due, key.clone()));
        }
        let due = Instant::now() + self.limits.delay(times);
        self.due.insert((due, key.clone()));
        self.failed.insert(
            key,
            Failed {
                times,
                due: Some(due),
            },
        );
        true
    }

    /// Notes a success, or that the key is of no more interest.
    pub fn forget(&mut self, key: &K) {
        if let Some(Failed { due: Some(due), .. }) = self.failed.remove(key) {
            self.due.remove(&(due, key.clone()));
        }
    }

    /// Whether a key has not come back yet since it failed.
    pub fn is_waiting(&self, key: &K) -> bool {
        self.failed
            .get(key)
            .is_some_and(|failed| failed.due.is_some())
    }

    /// How many wait to come back.
    pub fn waiting(&self) -> usize {
        self.due.len()
    }

    /// The next key, once it is due; waits for ever while there is none. May be dropped at any time.
    pub async fn next(&mut self) -> K {
        let Some((due, _)) = self.due.first() else {
            return std::future::pending().await;
        };
        sleep_until(*due).await;
        let Some((_, key)) = self.due.pop_first() else {
            return std::future::pending().await;
        };
        if let Some(failed) = self.failed.get_mut(&key) {
            failed.due = None;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LIMITS: Limits = Limits {
        first: Duration::from_secs(1),
        most: Duration::from_secs(64),
    };

    async fn waited(retries: &mut Retries<&'static str>) -> (&'static str, Duration) {
        let start = Instant::now();
        let key = retries.next().await;
        (key, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_fails_again_waits_longer_than_one_that_failed_once() {
        let mut retries = Retries::new(LIMITS, 10);
        for _ in 0..6 {
            assert!(retries.failed("often"));
            retries.next().await;
        }
        assert!(retries.failed("often") && retries.failed("once"));
        assert_eq!(waited(&mut retries).await.0, "once");
        let (key, delay) = waited(&mut retries).await;
        assert!(
            key == "often" && delay > LIMITS.first * 10,
            "{key} {delay:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn success_forgets_earlier_failures() {
        let mut retries = Retries::new(LIMITS, 10);
        for _ in 0..6 {
            assert!(retries.failed("a"));
        }
        retries.forget(&"a");
        assert!(timeout(LIMITS.most * 2, retries.next()).await.is_err());
        assert!(retries.failed("a"));
        assert!(waited(&mut retries).await.1 <= LIMITS.first);
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_brings_a_key_back_once() {
        let mut retries = Retries::new(LIMITS, 10);
        assert!(retries.failed("a") && retries.failed("a"));
        assert_eq!(retries.next().await, "a");
        assert!(timeout(LIMITS.most * 2, retries.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_takes_no_new_key_and_says_so() {
        let mut retries = Retries::new(LIMITS, 1);
        assert!(retries.failed("a"));
        assert!(!retries.failed("b"));
        assert!(retries.failed("a"));
    }
}
