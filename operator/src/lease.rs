//! The Lease by which replicas agree on who writes.
//!
//! Owns how it is read, watched and written, and what the rest of the process is told: whether it leads, and until when its
//! client may send. Never decides (see [`egret_domain::leadership`]). A replica that does not lead any more goes on, and
//! may lead again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use egret_domain::leadership::{Answer, Election, Lease, OPERATOR, Record, Step};
use egret_runtime::apply::{Category, Error, within_limit};
use egret_runtime::describe;
use egret_runtime::fence::{Permit, since_boot};
use egret_runtime::home::NAMESPACE;
use egret_runtime::live::Pulse;
use egret_runtime::watch::{Event, Guarded, watch};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::metrics::Metrics;
use crate::write::MANAGER;

/// The Lease's name.
pub const NAME: &str = "egret-operator";

/// Whether this replica leads.
pub type Lead = watch::Receiver<bool>;

/// Whether another replica has led in the life of this one, or did when that began. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Others(Arc<AtomicBool>);

impl Others {
    /// One does, or has.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether one has.
    pub fn have_led(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

type Told = Pin<Box<dyn Stream<Item = Event<v1::Lease>> + Send>>;

/// Takes part in the election.
pub struct Elector {
    api: Api<v1::Lease>,
    told: Told,
    election: Election,
    permit: Permit,
    lead: watch::Sender<bool>,
    others: Others,
    me: String,
    /// The holder that was last spoken of.
    holder: Option<String>,
    able: Option<oneshot::Receiver<()>>,
    under_way: Option<BoxFuture<'static, Answer>>,
    metrics: Metrics,
    pulse: Pulse,
}

/// One who stands for the Lease.
#[derive(Debug)]
pub struct Standing {
    /// Another one in every life of every process.
    pub identity: String,
    /// Says when it can lead.
    pub able: oneshot::Receiver<()>,
    /// Is told of those who have led.
    pub others: Others,
}

impl Elector {
    /// Takes part as this one, once it is able to lead.
    pub fn new(
        client: &Client,
        Standing {
            identity,
            able,
            others,
        }: Standing,
        permit: Permit,
        metrics: Metrics,
        pulse: Pulse,
    ) -> (Self, Lead) {
        let (lead, told) = watch::channel(false);
        let api = Api::namespaced(client.clone(), NAMESPACE);
        let guarded = Api::<Guarded<v1::Lease>>::namespaced(client.clone(), NAMESPACE);
        let named = Config::default().fields(&format!("metadata.name={NAME}"));
        let elector = Self {
            api,
            told: self::watch(guarded, named).boxed(),
            election: Election::new(identity.clone(), OPERATOR),
            others,
            me: identity,
            permit,
            lead,
            holder: None,
            able: Some(able),
            under_way: None,
            metrics,
            pulse,
        };
        (elector, told)
    }

    /// Takes part until `end`; then gives back what it holds, so that another can lead at once.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = self.take_part() => return,
            () = end => {}
        }
        self.permit.set(None);
        self.tell(false);
        // What is on its way is let happen, or not: only then may another lead.
        let settled = timeout(OPERATOR.in_flight * 2, self.permit.settled());
        if settled.await.is_err() {
            warn!("not everything that was sent has been answered: the Lease is left to run out");
            return;
        }
        self.election.leave();
        if timeout(OPERATOR.in_flight, self.take_part()).await.is_err() {
            warn!("the Lease could not be given back: it will run out");
        }
    }

    /// Takes part; ends when this replica has left. May be dropped at any time and called again.
    async fn take_part(&mut self) {
        loop {
            self.pulse.beat();
            let now = since_boot();
            let step = self.election.step(now, Timestamp::now().as_microsecond());
            self.publish();
            let wait = match step {
                Step::Done => return,
                Step::Wait(until) => until.map(|until| until.saturating_sub(now)),
                Step::Read => {
                    self.under_way = Some(Box::pin(read(self.api.clone())));
                    None
                }
                Step::Write { version, record } => {
                    let write = write(self.api.clone(), version, record);
                    self.under_way = Some(Box::pin(write));
                    None
                }
            };
            tokio::select! {
                () = pause(wait) => {}
                () = self.pulse.due() => {}
                Some(event) = self.told.next() => self.observe(event),
                answer = pending(&mut self.under_way) => {
                    self.under_way = None;
                    self.election.answered(answer, since_boot());
                }
                () = pending_once(&mut self.able) => {
                    self.able = None;
                    self.election.stand();
                }
            }
        }
    }

    fn observe(&mut self, event: Event<v1::Lease>) {
        let now = since_boot();
        match event {
            Event::Applied(lease) => self.election.observe(Some(told(&lease)), now),
            Event::Deleted(_) => self.election.observe(None, now),
            Event::Undecodable { error, .. } => warn!(error, "the Lease cannot be read"),
            Event::Synced => {}
        }
    }

    /// Tells the rest of the process how things are.
    fn publish(&mut self) {
        let until = self.election.leads_until();
        self.permit.set(until);
        self.tell(until.is_some());
        let holder = self.election.holder();
        if holder.is_some() && holder != self.holder.as_deref() {
            self.holder = holder.map(str::to_owned);
            if holder != Some(&self.me) {
                self.others.note();
            }
            info!(leader = self.holder, "the Lease has another holder");
        }
    }

    fn tell(&self, leads: bool) {
        let is_news = self.lead.send_if_modified(|led| {
            let is_news = *led != leads;
            *led = leads;
            is_news
        });
        if is_news {
            self.metrics.show_leader(leads);
            let what = if leads {
                "this replica leads"
            } else {
                "this replica does not lead any more: it writes nothing"
            };
            info!("{what}");
        }
    }
}

async fn pause(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn pending(under_way: &mut Option<BoxFuture<'static, Answer>>) -> Answer {
    match under_way {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}

/// Waits for the word; one that never comes is waited for for ever.
async fn pending_once(able: &mut Option<oneshot::Receiver<()>>) {
    if let Some(able) = able
        && able.await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn read(api: Api<v1::Lease>) -> Answer {
    let found = bounded(api.get_opt(NAME)).await;
    found.map_or_else(
        |error| failed("read", &error),
        |lease| Answer::Read(lease.as_ref().map(told)),
    )
}

async fn write(api: Api<v1::Lease>, version: Option<String>, record: Record) -> Answer {
    let written = match version {
        Some(version) => {
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": spec(&record)});
            let params = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            bounded(api.patch(NAME, &params, &Patch::Merge(patch))).await
        }
        None => {
            match serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": spec(&record)}))
            {
                Ok(lease) => bounded(api.create(&PostParams::default(), &lease)).await,
                Err(error) => Err(Error::Encode(error)),
            }
        }
    };
    match written {
        Ok(lease) => Answer::Written(told(&lease)),
        Err(error) if error.is_conflict() => Answer::Conflict,
        Err(error) if error.is_not_found() => Answer::Read(None),
        Err(error) => failed("written", &error),
    }
}

/// A request that takes longer would leave no time for another before the lead ends.
async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    timeout(OPERATOR.in_flight, within_limit(request))
        .await
        .unwrap_or(Err(Error::TimedOut))
}

fn failed(what: &str, failure: &Error) -> Answer {
    let (category, error) = (failure.category().as_str(), describe(failure));
    if failure.category() == Category::Forbidden {
        error!(
            category,
            error, "the Lease was not {what}: check the operator's Role"
        );
    } else {
        warn!(category, error, "the Lease was not {what}, will retry");
    }
    Answer::Failed
}

fn told(lease: &v1::Lease) -> Lease {
    let spec = lease.spec.clone().unwrap_or_default();
    let us = |time: Option<MicroTime>| time.map(|time| time.0.as_microsecond());
    Lease {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        record: Record {
            holder: spec.holder_identity,
            lease_s: spec.lease_duration_seconds.and_then(|s| s.try_into().ok()),
            acquired_us: us(spec.acquire_time),
            renewed_us: us(spec.renew_time),
            transitions: spec.lease_transitions.and_then(|many| many.try_into().ok()),
        },
    }
}

/// All that Egret has to say in a Lease; what is null is taken out.
fn spec(record: &Record) -> BTreeMap<&'static str, Value> {
    let time = |us: Option<i64>| {
        let time = us.and_then(|us| Timestamp::from_microsecond(us).ok());
        json!(time.map(MicroTime))
    };
    BTreeMap::from([
        ("holderIdentity", json!(record.holder)),
        ("leaseDurationSeconds", json!(record.lease_s)),
        ("acquireTime", time(record.acquired_us)),
        ("renewTime", time(record.renewed_us)),
        ("leaseTransitions", json!(record.transitions)),
    ])
}

#[cfg(test)]
mod tests;
