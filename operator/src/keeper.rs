//! The loop of whatever keeps some objects as they should be.
//!
//! Owns its rhythm: take one step, look again, until there is nothing to do; then rest until something changes or comes due.
//! Only while this replica leads. Never knows what is kept, nor decides what the next step is.

use std::error::Error;
use std::time::Duration;

use egret_runtime::apply::Category;
use egret_runtime::backoff::Limits;
use egret_runtime::describe;
use egret_runtime::live::Pulse;
use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use crate::lease::Lead;
use crate::metrics::Metrics;

/// What changes together is looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Looked at again after this time at the latest: a clock may be set, and rest is counted by another.
pub(crate) const LONGEST_REST: Duration = Duration::from_mins(10);
/// More steps without a rest mean that somebody undoes them.
const MOST_STEPS: usize = 16;
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(500),
    most: Duration::from_mins(1),
};

/// Objects that are kept. What is known beyond them may be lost at any moment.
pub trait Kept: Send {
    /// What is told when something has changed.
    type Change: Send;
    /// Why they are not as they should be.
    type Problem: Trouble;

    /// What they are, for the log.
    const WHAT: &'static str;

    /// The time by which things come due.
    fn now(&self) -> Timestamp;

    /// Another replica leads, or has led: what is known beyond the objects may be true no more.
    fn forget(&mut self);

    /// Something has changed.
    fn note(&mut self, change: Self::Change);

    /// Reads everything and takes one step, if there is one to take. An error: it is not known which.
    fn step(
        &mut self,
        now: Timestamp,
    ) -> impl Future<Output = Result<Turn<Self::Problem>, Self::Problem>> + Send;
}

/// Why something is not as it should be.
pub trait Trouble: Error + Send + 'static {
    /// What kind of trouble it is.
    fn kind(&self) -> Kind;

    /// Somebody else writes the same objects.
    fn restless() -> Self;
}

/// The kind of a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An object could not be read or written.
    Api(Category),
    /// Something else, in one word: it is only told.
    Other(&'static str),
}

impl Kind {
    /// One word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api(category) => category.as_str(),
            Self::Other(word) => word,
        }
    }
}

/// What came of a look.
#[derive(Debug)]
pub enum Turn<P> {
    /// A step was taken, or failed.
    Taken {
        /// Which.
        what: &'static str,
        /// How it went.
        result: Result<(), P>,
    },
    /// There is nothing to do.
    Rest {
        /// Before then, if there is such a time.
        until: Option<Timestamp>,
    },
}

/// How long nothing is done.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// So long, or until something changes.
    Idle(Duration),
    /// So long: trying at once would be no better.
    Delay(Duration),
}

/// Keeps them.
pub struct Keeper<K> {
    kept: K,
    lead: Lead,
    metrics: Metrics,
    pulse: Pulse,
    failures: u32,
}

impl<K: Kept> Keeper<K> {
    /// One that has done nothing yet.
    pub fn new(kept: K, lead: Lead, metrics: Metrics, pulse: Pulse) -> Self {
        Self {
            kept,
            lead,
            metrics,
            pulse,
            failures: 0,
        }
    }

    /// Keeps them while this replica leads, until `end` or until nobody tells of changes any more. A step that is under way
    /// at the end is finished.
    pub async fn run(
        mut self,
        mut changes: impl Stream<Item = K::Change> + Unpin,
        end: impl Future<Output = ()>,
    ) {
        tokio::pin!(end);
        loop {
            tokio::select! {
                goes_on = self.led(&mut changes) => if !goes_on { return },
                () = &mut end => return,
            }
            let settled = settle(&mut self.kept, &self.metrics, &self.pulse).await;
            let rest = self.rest_after(settled);
            tokio::select! {
                goes_on = self.rest(rest, &mut changes) => if !goes_on { return },
                () = &mut end => return,
            }
        }
    }

    /// Waits until this replica leads, and lets go by what it is told meanwhile; `false` when nobody tells any more.
    async fn led(&mut self, changes: &mut (impl Stream<Item = K::Change> + Unpin)) -> bool {
        let has_turned = self.lead.has_changed().unwrap_or_default();
        if !has_turned && *self.lead.borrow() {
            return true;
        }
        self.kept.forget();
        let lead = &mut self.lead;
        let wait = async {
            while !*lead.borrow_and_update() {
                tokio::select! {
                    turned = lead.changed() => if turned.is_err() { return false },
                    told = changes.next() => if told.is_none() { return false },
                }
            }
            true
        };
        self.pulse.through(wait).await
    }

    fn rest_after(&mut self, settled: Result<Option<Timestamp>, K::Problem>) -> Rest {
        match settled {
            Ok(due) => {
                self.failures = 0;
                let rest = due.map(|due| due.duration_since(self.kept.now()));
                let rest = rest.map_or(LONGEST_REST, |rest| {
                    Duration::try_from(rest).unwrap_or_default()
                });
                Rest::Idle(rest.min(LONGEST_REST))
            }
            Err(problem) if problem.kind() == Kind::Api(Category::NotLeading) => {
                Rest::Delay(GATHER)
            }
            Err(problem) => {
                self.failures = self.failures.saturating_add(1);
                let delay = BACKOFF.delay(self.failures);
                report(K::WHAT, &problem, delay);
                Rest::Delay(delay)
            }
        }
    }

    /// Rests; `false` when nobody tells of changes any more.
    async fn rest(
        &mut self,
        rest: Rest,
        changes: &mut (impl Stream<Item = K::Change> + Unpin),
    ) -> bool {
        let Self {
            kept, lead, pulse, ..
        } = self;
        let wait = async {
            let time = match rest {
                Rest::Delay(time) => {
                    sleep(time).await;
                    return true;
                }
                Rest::Idle(time) => time,
            };
            tokio::select! {
                change = timeout(time, changes.next()) => match change {
                    Ok(Some(change)) => kept.note(change),
                    Ok(None) => return false,
                    Err(_) => return true,
                },
                Ok(()) = lead.changed() => {
                    lead.mark_changed();
                    return true;
                }
            }
            sleep(GATHER).await;
            while let Some(Some(change)) = changes.next().now_or_never() {
                kept.note(change);
            }
            true
        };
        pulse.through(wait).await
    }
}

/// Takes steps until there is nothing to do before a time, which it gives.
pub(crate) async fn settle<K: Kept>(
    kept: &mut K,
    metrics: &Metrics,
    pulse: &Pulse,
) -> Result<Option<Timestamp>, K::Problem> {
    for _ in 0..MOST_STEPS {
        pulse.beat();
        let (what, result) = match kept.step(kept.now()).await? {
            Turn::Rest { until } => return Ok(until),
            Turn::Taken { what, result } => (what, result),
        };
        let outcome = result
            .as_ref()
            .map_or_else(|problem| problem.kind().as_str(), |()| "written");
        metrics.count(what, outcome);
        match result {
            Err(problem) if problem.kind() == Kind::Api(Category::Conflict) => {
                debug!(what, %problem, "somebody else was faster, will look again");
            }
            result => result?,
        }
    }
    Err(K::Problem::restless())
}

fn report(what: &str, problem: &impl Trouble, delay: Duration) {
    let (kind, error) = (problem.kind(), describe(problem));
    let category = kind.as_str();
    if kind == Kind::Api(Category::Forbidden) {
        error!(
            category,
            error,
            ?delay,
            "{what} not kept: check the operator's roles"
        );
    } else {
        warn!(category, error, ?delay, "{what} not kept, will retry");
    }
}

#[cfg(test)]
mod tests;
