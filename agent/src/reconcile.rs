//! The one loop: facts in, changes to the kernel out, reports out.
//!
//! Owns when the kernel is changed: after each batch of facts, and by a full comparison at the start, after any error
//! and now and then. And when the node joins the gossip, which follows from what stands in the kernel. Never decides
//! what should stand ([`Index`]) nor how it is made to ([`Kernel`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use egret_crds::Egress;
use egret_domain::datapath::{Commit, diff};
use egret_domain::name::EgressName;
use egret_domain::node::{Fact, Index};
use egret_runtime::backoff::Limits;
use egret_runtime::live::Pulse;
use egret_runtime::packed::Packed;
use egret_runtime::ready::Awaited;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::feed::{Message, Source};
use crate::kernel::{Error, Kernel};
use crate::membership::{Alive, Peers};
use crate::metrics::Metrics;
use crate::report::{Missed, NodeReport};
use crate::status::Statuses;

/// Without any error the kernel is compared this often: somebody may have changed it.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// After an error it is compared soon, then less and less soon.
const RETRY: Limits = Limits {
    first: Duration::from_millis(200),
    most: Duration::from_secs(10),
};
/// Failures in a row after which a node that was ready reports it: it then loses its egress IPs to others.
const FAILURES_TO_REPORT: u32 = 3;
/// Facts taken in before the kernel is changed: many make one transaction.
const BATCH: usize = 4096;

/// Where the loop's results go, apart from the kernel.
pub struct Outlets {
    /// The other nodes' addresses, to the gossip: it begins with them.
    pub peers: watch::Sender<Option<Peers>>,
    /// This node's part in Egresses' statuses.
    pub statuses: Statuses,
    /// This node's report on itself.
    pub report: watch::Sender<NodeReport>,
    /// What is counted.
    pub metrics: Metrics,
}

/// One node's reconciler.
pub struct Reconciler<K> {
    index: Index,
    kernel: K,
    outlets: Outlets,
    objects: BTreeMap<EgressName, Arc<Packed<Egress>>>,
    awaited: BTreeSet<Source>,
    ready: Option<Awaited>,
    compare_at: Instant,
    missed: Missed,
    /// Whether what stands in the kernel is what was planned last, and the neighbours were told of it. Not so at the
    /// start, nor from a failure to the next full comparison.
    is_known: bool,
    failures: u32,
    pulse: Pulse,
}

impl<K: Kernel> Reconciler<K> {
    /// A reconciler that has seen nothing. `ready` is done once the kernel is as it should be.
    pub fn new(index: Index, kernel: K, outlets: Outlets, ready: Awaited, pulse: Pulse) -> Self {
        Self {
            index,
            kernel,
            outlets,
            objects: BTreeMap::new(),
            awaited: Source::all(),
            ready: Some(ready),
            compare_at: Instant::now(),
            missed: Missed::default(),
            is_known: false,
            failures: 0,
            pulse,
        }
    }

    /// Works until nobody sends messages any more.
    pub async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut alive: watch::Receiver<Alive>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.pulse.beat();
            let compare_at = self.compare_at;
            tokio::select! {
                count = messages.recv_many(&mut batch, BATCH) => if count == 0 { return },
                Ok(()) = alive.changed() => {
                    let Alive { nodes, settled } = alive.borrow_and_update().clone();
                    self.outlets.metrics.show_alive(nodes.len());
                    self.index.apply(Fact::Alive { nodes, settled });
                }
                () = sleep_until(compare_at) => {}
                () = self.pulse.due() => continue,
            }
            batch.drain(..).for_each(|message| self.take(message));
            self.reconcile().await;
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Fact(fact) => {
                if let Fact::EgressGone(name) = &fact {
                    self.objects.remove(name);
                }
                self.index.apply(fact);
            }
            Message::Egress(fact, name, object) => {
                self.objects.insert(name, object);
                self.index.apply(fact);
            }
            Message::Synced(source) => {
                if self.awaited.remove(&source) && self.awaited.is_empty() {
                    info!("all objects read");
                    self.index.complete();
                    self.compare_at = Instant::now();
                }
            }
        }
    }

    async fn reconcile(&mut self) {
        let is_due = self.compare_at <= Instant::now();
        // After a failure it is not known what stands in the kernel; before everything is read, not what should.
        if !is_due && !self.is_known {
            return;
        }
        let done = if is_due {
            self.compare().await
        } else {
            self.change().await
        };
        let result = match done {
            Ok(()) if self.is_known => self.kernel.verify(&self.index.expected_families()).await,
            done => done,
        };
        match result {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error),
        }
    }

    /// Changes what the last facts touched.
    async fn change(&mut self) -> Result<(), Error> {
        let changes = self.index.take_changes();
        self.commit(&Commit::of(&changes)).await
    }

    /// Makes the frame stand and, once everything is known, what is in it as it should be.
    async fn compare(&mut self) -> Result<(), Error> {
        let was_known = std::mem::take(&mut self.is_known);
        let is = self.kernel.repair().await?;
        if !self.awaited.is_empty() {
            // What stands is better than what could be planned now.
            return Ok(());
        }
        self.index.take_changes();
        let should = self.index.planned();
        let changes = diff(&is, &should);
        self.outlets
            .metrics
            .count_comparison(was_known, changes.len());
        let commit = Commit::of(&changes);
        let commit = if was_known {
            commit
        } else {
            commit.announcing(&should)
        };
        self.commit(&commit).await
    }

    async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        self.is_known = false;
        if !commit.is_empty() {
            debug!(?commit, "changing the kernel");
            let begin = Instant::now();
            let done = self.kernel.commit(commit).await;
            let metrics = &self.outlets.metrics;
            metrics.count_commit(done.is_ok(), begin.elapsed());
            done?;
        }
        self.is_known = true;
        for ip in commit.let_go() {
            info!(%ip, "egress IP let go");
        }
        for ip in commit.taken() {
            info!(%ip, "egress IP held");
        }
        Ok(())
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        if self.compare_at <= Instant::now() {
            self.compare_at = Instant::now() + COMPARE_EVERY;
        }
        if !self.awaited.is_empty() {
            return;
        }
        self.meet_peers();
        // What is reported is so: the kernel has been changed before.
        for (name, report) in self.index.take_reports() {
            let object = self.objects.get(&name).cloned();
            self.outlets.statuses.set(name, object.zip(report));
        }
        self.tell(None);
        if let Some(ready) = self.ready.take() {
            ready.done();
            info!("ready");
        }
    }

    /// Not before everything is read and stands, or nothing does: who gossips is taken to know what it holds.
    fn meet_peers(&self) {
        let now = self.index.peers();
        self.outlets.metrics.show_known(now.len() + 1);
        self.outlets.peers.send_if_modified(|peers| {
            let now = Some(now);
            let is_news = *peers != now;
            *peers = now;
            is_news
        });
    }

    fn failed(&mut self, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        let delay = RETRY.delay(self.failures);
        self.outlets.metrics.count_failure(error.check());
        let holds_nothing = self.awaited.is_empty() && error.is_nothing_installed();
        if self.is_known || holds_nothing {
            // Else this node would count among those there are, and never among those in sight.
            self.meet_peers();
        }
        self.compare_at = Instant::now() + delay;
        warn!(
            error = egret_runtime::describe(error),
            ?delay,
            "the kernel refused, will compare"
        );
        if self.ready.is_some() || self.failures >= FAILURES_TO_REPORT {
            self.tell(Some(error));
        }
    }

    fn tell(&mut self, error: Option<&Error>) {
        self.missed.set(self.index.missed(), Timestamp::now());
        let failed = error.map(|error| (error.check(), egret_runtime::describe(error)));
        let now = NodeReport::of(&self.index, &self.missed, failed);
        now.show(&self.outlets.metrics);
        self.outlets.report.send_if_modified(|report| {
            let is_news = *report != now;
            *report = now;
            is_news
        });
    }
}

#[cfg(test)]
mod tests;
