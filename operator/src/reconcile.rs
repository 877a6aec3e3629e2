//! Between facts and writes.
//!
//! Owns the order of work: what has arrived is noted first, then decided on at once, then written, one write at a time
//! per object and a few objects at once. A write that fails is decided on anew after a while, longer each time, and
//! hinders no other object. What is written is always decided on at that moment. Never decides by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use egret_crds::{Egress, ExternalIPPool};
use egret_domain::control::{Control, EgressWrite, Fact, Object, PoolWrite};
use egret_domain::name::{EgressName, PoolName};
use egret_runtime::apply::Error;
use egret_runtime::backoff::Limits;
use egret_runtime::describe;
use egret_runtime::ready::Awaited;
use egret_runtime::retry::Retries;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::feed::{Message, Source};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::write::Writer;

/// Objects that are written at once.
const AT_ONCE: usize = 16;
/// Messages that are noted before decisions are made: what arrives together is decided on together.
const BATCH: usize = 1024;
/// A pool is written at most this often.
const POOL_REST: Duration = Duration::from_millis(500);
/// Objects that may wait for another try. One that finds no place is tried again when it changes.
const MOST_RETRIES: usize = 100_000;
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(200),
    // Soon enough after an API server's absence.
    most: Duration::from_secs(5),
};

/// Failures in a row from which on one that may have an innocent cause is reported all the same.
const FAILURES_TO_REPORT: u32 = 3;

/// The operator's loop.
pub struct Reconciler {
    control: Control,
    egresses: BTreeMap<EgressName, Arc<Egress>>,
    pools: BTreeMap<PoolName, Arc<ExternalIPPool>>,
    awaited: BTreeSet<Source>,
    ready: Option<Awaited>,
    queue: Queue,
    busy: BTreeSet<Object>,
    retries: Retries<Object>,
    writer: Writer,
    metrics: Metrics,
}

/// All that is to be written to one object.
enum Job {
    Egress(Vec<EgressWrite>, Arc<Egress>),
    Pool(Vec<PoolWrite>, Arc<ExternalIPPool>),
}

type Done = (Object, Result<(), Error>);

impl Reconciler {
    /// A loop that has seen nothing yet; `ready` is done when everything that exists has been seen.
    pub fn new(writer: Writer, metrics: Metrics, ready: Awaited) -> Self {
        Self {
            control: Control::default(),
            egresses: BTreeMap::new(),
            pools: BTreeMap::new(),
            awaited: Source::all(),
            ready: Some(ready),
            queue: Queue::default(),
            busy: BTreeSet::new(),
            retries: Retries::new(BACKOFF, MOST_RETRIES),
            writer,
            metrics,
        }
    }

    /// Runs until nobody sends messages any more.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let (mut under_way, mut resting) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                received = messages.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|message| self.note(message));
                }
                object = self.retries.next() => self.control.apply(Fact::NotWritten(object)),
                Some((object, result)) = under_way.next(), if !under_way.is_empty() => {
                    self.finish(&object, result);
                    resting.push(rest(object));
                }
                Some(object) = resting.next(), if !resting.is_empty() => {
                    self.busy.remove(&object);
                }
            }
            self.decide();
            while under_way.len() < AT_ONCE
                && let Some(job) = self.next_job()
            {
                under_way.push(job);
            }
        }
    }

    fn note(&mut self, message: Message) {
        match message {
            Message::Fact(fact) => {
                self.forget_gone(&fact);
                self.control.apply(fact);
            }
            Message::Facts(facts) => facts.into_iter().for_each(|fact| self.control.apply(fact)),
            Message::Egress(fact, egress) => {
                let name = egress.metadata.name.as_deref().unwrap_or_default();
                self.egresses.insert(name.into(), egress);
                self.control.apply(fact);
            }
            Message::Pool(fact, pool) => {
                let name = pool.metadata.name.as_deref().unwrap_or_default();
                self.pools.insert(name.into(), pool);
                self.control.apply(fact);
            }
            Message::Synced(source) => self.synced(source),
        }
    }

    fn forget_gone(&mut self, fact: &Fact) {
        match fact {
            Fact::EgressGone(name) => {
                self.egresses.remove(name);
                self.retries.forget(&Object::Egress(name.clone()));
            }
            Fact::PoolGone(name) => {
                self.pools.remove(name);
                self.retries.forget(&Object::Pool(name.clone()));
            }
            _ => {}
        }
    }

    fn synced(&mut self, source: Source) {
        self.awaited.remove(&source);
        if self.awaited.is_empty()
            && let Some(ready) = self.ready.take()
        {
            info!(
                egresses = self.egresses.len(),
                pools = self.pools.len(),
                "everything seen"
            );
            self.control.apply(Fact::Synced);
            ready.done();
        }
    }

    fn decide(&mut self) {
        let decisions = self.control.decide();
        for decision in &decisions {
            self.queue.push(decision.object());
        }
        self.metrics.show_queued(self.queue.len());
    }

    /// The next object that nobody is writing to, and the writing of it.
    fn next_job(&mut self) -> Option<BoxFuture<'static, Done>> {
        let object = self.queue.take(|object| !self.busy.contains(object))?;
        let job = self.job(&object);
        self.busy.insert(object.clone());
        let (writer, metrics) = (self.writer.clone(), self.metrics.clone());
        Some(Box::pin(async move {
            let result = match job {
                Some(job) => job.carry_out(&writer, &metrics).await,
                None => Ok(()),
            };
            (object, result)
        }))
    }

    /// What is to be written to an object as things are now.
    fn job(&self, object: &Object) -> Option<Job> {
        match object {
            Object::Egress(name) => {
                let current = self.egresses.get(name)?.clone();
                Some(Job::Egress(self.control.writes_to_egress(name), current))
            }
            Object::Pool(name) => {
                let current = self.pools.get(name)?.clone();
                Some(Job::Pool(self.control.writes_to_pool(name), current))
            }
        }
    }

    fn finish(&mut self, object: &Object, result: Result<(), Error>) {
        let Err(failure) = result else {
            self.retries.forget(object);
            return;
        };
        if !self.retries.failed(object.clone()) {
            error!("too many objects wait for another try");
        }
        report(object, &failure, self.retries.failures(object));
    }
}

/// Lets a pool alone for a while: its usage changes with each of its Egresses, and every agent is told of each write.
async fn rest(object: Object) -> Object {
    if matches!(object, Object::Pool(_)) {
        sleep(POOL_REST).await;
    }
    object
}

fn report(object: &Object, failure: &Error, failures: u32) {
    let (category, error) = (failure.category(), describe(failure));
    match category {
        // Somebody else was faster: the object will be seen again.
        "conflict" | "not_found" if failures < FAILURES_TO_REPORT => {
            debug!(?object, category, error, "not written, will look again");
        }
        "forbidden" => {
            error!(
                ?object,
                category, error, "not written: check the operator's ClusterRole"
            );
        }
        _ => warn!(?object, category, error, "not written, will retry"),
    }
}

impl Job {
    /// Writes in order, up to the first failure: later writes count on earlier ones.
    async fn carry_out(self, to: &Writer, metrics: &Metrics) -> Result<(), Error> {
        match self {
            Self::Egress(writes, egress) => {
                for write in &writes {
                    let result = to.egress(write, &egress, Timestamp::now()).await;
                    metrics.count(egress_write(write), outcome(&result));
                    result?;
                    tell(&egress, write);
                }
            }
            Self::Pool(writes, pool) => {
                for write in &writes {
                    let result = to.pool(write, &pool, Timestamp::now()).await;
                    metrics.count(pool_write(write), outcome(&result));
                    result?;
                    debug!(pool = pool.metadata.name, ?write, "written");
                }
            }
        }
        Ok(())
    }
}

fn tell(egress: &Egress, write: &EgressWrite) {
    let egress = egress.metadata.name.as_deref();
    match write {
        EgressWrite::Own { ip: Some(ip), .. } => info!(egress, %ip, "egress IP given"),
        EgressWrite::Own { ip: None, .. } => info!(egress, "egress IP left to the user"),
        EgressWrite::Release => info!(egress, "no node answers for the egress IP: let go"),
        EgressWrite::ClearHolder { node, because } => {
            info!(egress, %node, reason = because.reason, "the holder is gone");
        }
        EgressWrite::Status { .. } => debug!(egress, ?write, "status written"),
    }
}

fn outcome(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "written",
        Err(failure) => failure.category(),
    }
}

fn egress_write(write: &EgressWrite) -> &'static str {
    match write {
        EgressWrite::Own { .. } => "egress_own",
        EgressWrite::Release => "egress_release",
        EgressWrite::Status { .. } => "egress_status",
        EgressWrite::ClearHolder { .. } => "egress_clear_holder",
    }
}

fn pool_write(write: &PoolWrite) -> &'static str {
    match write {
        PoolWrite::Guard => "pool_guard",
        PoolWrite::Release => "pool_release",
        PoolWrite::Status { .. } => "pool_status",
    }
}

#[cfg(test)]
mod tests;
