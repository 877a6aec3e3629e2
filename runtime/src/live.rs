//! Liveness: a process is alive while its loops go round.
//!
//! Owns when a loop counts as stuck. A loop beats each time it goes round, and goes round at least now and then though
//! there is nothing to do; so one that waits for what never comes is found as one that computes for ever. Never ends
//! anything: the kubelet does, on the answer of /live.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A loop without work goes round this often.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Whoever has not beaten for so long is stuck: the longest that a loop may take, with every limit on its way used up, is
/// shorter.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// The loops of a process and when each has beaten last. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    beats: Arc<Mutex<BTreeMap<&'static str, Instant>>>,
}

/// One loop's part. It counts from its first beat until it is dropped.
#[derive(Debug)]
pub struct Pulse {
    name: &'static str,
    liveness: Liveness,
}

impl Liveness {
    /// The pulse of a loop; the name says which in the answer of /live.
    pub fn pulse(&self, name: &'static str) -> Pulse {
        Pulse {
            name,
            liveness: self.clone(),
        }
    }

    /// The loops that do not go round, and for how long; none while all is well.
    pub fn stuck(&self) -> Vec<(&'static str, Duration)> {
        let beats = self.lock();
        let since = beats.iter().map(|(name, last)| (*name, last.elapsed()));
        since.filter(|(_, time)| *time > STUCK_AFTER).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Instant>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// The loop goes round.
    pub fn beat(&self) {
        self.liveness.lock().insert(self.name, Instant::now());
    }

    /// Waits for what may rightly take long, and beats meanwhile. May be dropped at any time.
    pub async fn through<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        loop {
            self.beat();
            tokio::select! {
                came = &mut wait => return came,
                () = self.due() => {}
            }
        }
    }

    /// Waits until it is time to go round, work or not. May be dropped at any time.
    pub async fn due(&self) {
        let last = self.liveness.lock().get(self.name).copied();
        sleep_until(last.unwrap_or_else(Instant::now) + BEAT_EVERY).await;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.liveness.lock().remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_for_what_never_comes_is_named() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("reconciler");
        let _stuck = tokio::spawn(async move {
            pulse.beat();
            pending::<()>().await;
        });
        sleep(STUCK_AFTER).await;
        assert_eq!(liveness.stuck(), []);
        sleep(Duration::from_secs(1)).await;
        let (name, time) = liveness.stuck()[0];
        assert!(
            name == "reconciler" && time > STUCK_AFTER,
            "{name} {time:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_without_work_is_alive() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("reconciler");
        let _idle = tokio::spawn(async move {
            loop {
                pulse.beat();
                pulse.due().await;
            }
        });
        for _ in 0..100 {
            sleep(BEAT_EVERY / 2).await;
            assert_eq!(liveness.stuck(), []);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_for_what_may_take_long_is_alive_while_it_does() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("writer");
        let waiting = tokio::spawn(async move {
            pulse.through(sleep(STUCK_AFTER * 2)).await;
            pending::<()>().await;
        });
        sleep(STUCK_AFTER * 2).await;
        assert_eq!(liveness.stuck(), []);
        sleep(STUCK_AFTER + BEAT_EVERY).await;
        assert_eq!(liveness.stuck().len(), 1);
        waiting.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_has_not_begun_or_has_ended_is_not_stuck() {
        let liveness = Liveness::default();
        let (not_begun, ended) = (liveness.pulse("a"), liveness.pulse("b"));
        ended.beat();
        drop(ended);
        advance(STUCK_AFTER * 2).await;
        assert_eq!(liveness.stuck(), []);
        drop(not_begun);
    }
}
