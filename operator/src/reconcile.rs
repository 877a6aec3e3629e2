//! Between facts and writes.
//!
//! Owns the order of work: what has arrived is noted first, then decided on at once, then written, one write at a time
//! per object and a few objects at once. A write that fails is decided on anew after a while, longer each time, and
//! hinders no other object. What is written is always decided on at that moment. A replica that does not lead only notes
//! what arrives; when its turn comes it sees first what the former leader has written, and that settings are in force. Never
//! decides by itself.

mod job;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use egret_crds::{Egress, ExternalIPPool};
use egret_domain::condition::Type;
use egret_domain::control::{Control, EgressFact, Fact, Object, is_lost};
use egret_domain::name::{EgressName, NodeName, PoolName};
use egret_runtime::apply::{Category, Error};
use egret_runtime::backoff::Limits;
use egret_runtime::describe;
use egret_runtime::live::Pulse;
use egret_runtime::packed::Packed;
use egret_runtime::ready::Awaited;
use egret_runtime::retry::Retries;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, error, info, warn};

use self::job::Job;
use crate::catching_up::{CatchingUp, Versions, existing};
use crate::feed::{Message, Source};
use crate::lease::{Lead, Others};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::write::Writer;

/// Objects that are written at once.
const AT_ONCE: usize = 16;
/// Messages that are noted before decisions are made: what arrives together is decided on together.
const BATCH: usize = 1024;
/// A pool is written at most this often.
const POOL_REST: Duration = Duration::from_millis(500);
/// How often the decisions are told the time.
const TICK: Duration = Duration::from_secs(1);
/// Objects that may wait for another try. One that finds no place is tried again when it changes.
const MOST_RETRIES: usize = 100_000;
/// All objects are counted this often.
const COUNT_EVERY: Duration = Duration::from_secs(10);
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(200),
    // Soon enough after an API server's absence.
    most: Duration::from_secs(5),
};

/// Time between two attempts to find out what there is to be seen.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Failures in a row from which on one that may have an innocent cause is reported all the same.
const FAILURES_TO_REPORT: u32 = 3;

/// The operator's loop.
pub struct Reconciler {
    control: Control,
    egresses: BTreeMap<EgressName, Known>,
    pools: BTreeMap<PoolName, Arc<Packed<ExternalIPPool>>>,
    awaited: BTreeSet<Source>,
    /// Whether settings are in force: without them nothing is decided.
    is_configured: bool,
    seen: Option<Seen>,
    lead: Lead,
    others: Others,
    duty: Duty,
    queue: Queue,
    busy: BTreeSet<Object>,
    retries: Retries<Object>,
    writer: Writer,
    metrics: Metrics,
    pulse: Pulse,
}

/// An Egress as it was seen last, between its events.
struct Known {
    holder: Option<NodeName>,
    /// For writing it.
    object: Arc<Packed<Egress>>,
}

/// Who is told when everything that exists has been seen.
#[derive(Debug)]
pub struct Seen {
    /// Whoever asks whether this replica is ready.
    pub ready: Awaited,
    /// The election: this replica could lead.
    pub able: oneshot::Sender<()>,
}

/// What this replica does beside noting what arrives.
enum Duty {
    /// Nothing: another leads.
    Follow,
    /// It asks what there is to be seen before it decides.
    Ask(BoxFuture<'static, Result<Versions, Error>>),
    /// It waits until it has seen that.
    CatchUp(CatchingUp),
    /// It decides.
    Lead,
}

type Done = (Object, Result<(), Error>);

impl Reconciler {
    /// A loop that has seen nothing yet.
    pub fn new(
        writer: Writer,
        metrics: Metrics,
        (lead, others): (Lead, Others),
        seen: Seen,
        pulse: Pulse,
    ) -> Self {
        Self {
            control: Control::default(),
            egresses: BTreeMap::new(),
            pools: BTreeMap::new(),
            awaited: Source::all(),
            is_configured: false,
            seen: Some(seen),
            lead,
            others,
            duty: Duty::Follow,
            queue: Queue::default(),
            busy: BTreeSet::new(),
            retries: Retries::new(BACKOFF, MOST_RETRIES),
            writer,
            metrics,
            pulse,
        }
    }

    /// Runs until `end`, or until nobody sends messages any more; then waits for the writes that are under way.
    pub async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        end: impl Future<Output = ()>,
    ) {
        let (mut under_way, mut resting) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut batch = Vec::with_capacity(BATCH);
        let begun = Instant::now();
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counting = interval(COUNT_EVERY);
        counting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(end);
        loop {
            self.pulse.beat();
            tokio::select! {
                () = &mut end => break,
                received = messages.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        break;
                    }
                }
                _ = counting.tick() => self.metrics.show_census(&self.control.census()),
                Ok(()) = self.lead.changed() => self.turn(),
                asked = asked(&mut self.duty) => self.asked(asked),
                now = clock.tick() => {
                    let passed = now.saturating_duration_since(begun);
                    self.control.apply(Fact::Time(passed.as_secs()));
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
            self.decide(&mut batch);
            while under_way.len() < AT_ONCE
                && let Some(job) = self.next_job()
            {
                under_way.push(job);
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// This replica leads from now on, or does not any more.
    fn turn(&mut self) {
        self.queue = Queue::default();
        self.retries = Retries::new(BACKOFF, MOST_RETRIES);
        if self.others.have_led() || !matches!(self.duty, Duty::Follow) {
            self.control.apply(Fact::Superseded);
        }
        self.duty = if *self.lead.borrow_and_update() {
            Duty::Ask(Box::pin(existing(self.writer.egresses())))
        } else {
            Duty::Follow
        };
    }

    fn asked(&mut self, asked: Result<Versions, Error>) {
        self.duty = match asked {
            Ok(existing) => {
                let seen = |name: &_| self.egresses.get(name).map(|seen| seen.object.version());
                let catching_up = CatchingUp::to(existing, seen);
                info!(behind = catching_up.len(), "catching up");
                Duty::CatchUp(catching_up)
            }
            Err(failure) => {
                let (category, error) = (failure.category().as_str(), describe(&failure));
                warn!(
                    category,
                    error, "what there is could not be read, will retry"
                );
                let egresses = self.writer.egresses();
                Duty::Ask(Box::pin(async {
                    sleep(ASK_AGAIN).await;
                    existing(egresses).await
                }))
            }
        };
    }

    fn note(&mut self, message: Message) {
        match message {
            Message::Fact(fact) => {
                self.forget_gone(&fact);
                self.control.apply(fact);
            }
            Message::Facts(facts) => facts.into_iter().for_each(|fact| self.control.apply(fact)),
            Message::Egress(fact, object) => {
                self.note_egress(&fact, object);
                self.control.apply(Fact::Egress(fact));
            }
            Message::Pool(fact, object) => {
                self.pools.insert(fact.name.clone(), Arc::new(object));
                self.control.apply(Fact::Pool(fact));
            }
            Message::Synced(source) => self.synced(source),
            Message::Configured => self.is_configured = true,
        }
    }

    fn note_egress(&mut self, fact: &EgressFact, object: Packed<Egress>) {
        if let Duty::CatchUp(catching_up) = &mut self.duty {
            catching_up.see(&fact.name, object.version());
        }
        let now = Known {
            holder: fact.status.node.clone(),
            object: Arc::new(object),
        };
        let before = self.egresses.insert(fact.name.clone(), now);
        if matches!(self.duty, Duty::Lead)
            && let Some(change) =
                before.and_then(|before| holder_change(before.holder.as_ref(), fact))
        {
            self.metrics.count_holder_change(change);
        }
    }

    fn forget_gone(&mut self, fact: &Fact) {
        match fact {
            Fact::EgressGone(name) => {
                self.egresses.remove(name);
                if let Duty::CatchUp(catching_up) = &mut self.duty {
                    catching_up.forget(name);
                }
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
            && let Some(Seen { ready, able }) = self.seen.take()
        {
            info!(
                egresses = self.egresses.len(),
                pools = self.pools.len(),
                "everything seen"
            );
            ready.done();
            // Nobody waits for it in a process that ends.
            let _ = able.send(());
        }
    }

    /// Begins to decide once it has seen all that there was when it began to lead, and what the settings are.
    fn caught_up(&mut self) {
        if let Duty::CatchUp(catching_up) = &self.duty
            && catching_up.is_done()
            && self.is_configured
        {
            info!("everything that was written has been seen: deciding");
            self.control.apply(Fact::Synced);
            self.duty = Duty::Lead;
        }
    }

    fn decide(&mut self, batch: &mut Vec<Message>) {
        let (begin, messages) = (Instant::now(), batch.len());
        batch.drain(..).for_each(|message| self.note(message));
        self.caught_up();
        for object in self.control.decide() {
            self.queue.push(object);
        }
        if messages > 0 {
            self.metrics.count_round(messages, begin.elapsed());
        }
        self.metrics
            .show_waiting(self.queue.len(), self.retries.waiting());
        if matches!(self.duty, Duty::Lead) {
            self.warn();
        }
    }

    /// Tells people of what is wrong with nodes.
    fn warn(&mut self) {
        for warning in self.control.take_warnings() {
            warn!(node = %warning.node, reason = warning.reason, "{}", warning.message);
            self.writer.warn(warning);
        }
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
                let current = self.egresses.get(name)?.object.clone();
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
        if !matches!(self.duty, Duty::Lead) {
            debug!(?object, "not written: it is for the leader to decide on");
            return;
        }
        if !self.retries.failed(object.clone()) {
            error!("too many objects wait for another try");
        }
        report(object, &failure, self.retries.failures(object));
    }
}

/// What has come of asking; waits for ever if nothing is asked.
async fn asked(duty: &mut Duty) -> Result<Versions, Error> {
    match duty {
        Duty::Ask(asking) => asking.await,
        Duty::Follow | Duty::CatchUp(_) | Duty::Lead => std::future::pending().await,
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
    let (category, error) = (failure.category().as_str(), describe(failure));
    match failure.category() {
        // Somebody else was faster: the object will be seen again.
        Category::Conflict | Category::NotFound | Category::NotLeading
            if failures < FAILURES_TO_REPORT =>
        {
            debug!(?object, category, error, "not written, will look again");
        }
        Category::Forbidden => {
            error!(
                ?object,
                category, error, "not written: check the operator's ClusterRole"
            );
        }
        _ => warn!(?object, category, error, "not written, will retry"),
    }
}

/// What happened to the node that holds the Egress's IP, where an agent has written that something did.
fn holder_change(before: Option<&NodeName>, now: &EgressFact) -> Option<&'static str> {
    match (before, &now.status.node) {
        (None, Some(_)) => Some("taken"),
        (Some(_), None) if !is_cleared(now) => Some("left"),
        (Some(before), Some(now)) if before != now => Some("moved"),
        _ => None,
    }
}

/// Whether the operator itself has said that nobody holds the IP.
fn is_cleared(egress: &EgressFact) -> bool {
    let mut conditions = egress.status.conditions.iter();
    let assigned = conditions.find(|said| said.kind == Type::IpAssigned);
    assigned.is_some_and(|said| is_lost(&said.reason))
}

#[cfg(test)]
mod tests;
