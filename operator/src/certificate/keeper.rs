//! The loop that keeps the webhook's certificates.
//!
//! Owns its rhythm: read everything, take one step, read again, until there is nothing to do; then rest until something
//! changes or comes due. Only while this replica leads. What it knows beyond the objects may be lost at any moment. Never decides what the step is (see
//! [`super::plan`]).

use std::time::Duration;

use egret_runtime::apply::NOT_LEADING;
use egret_runtime::backoff::Limits;
use egret_runtime::describe;
use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::changes::Change;
use super::issue::{self, Pair};
use super::lag::{Lag, News};
use super::plan::{Authority, Der, Observed, Registration, Replicas, Root, Step, plan};
use super::probe::Answers;
use super::read::{self, Unusable};
use super::registration::server_names;
use super::store::{Store, Stored};
use super::{Outside, Problem, Settings};
use crate::lease::{Lead, leads};
use crate::metrics::Metrics;

/// What changes together is looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Looked at again after this time at the latest: a clock may be set, and rest is counted by another.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// More steps without a rest mean that somebody undoes them.
const MOST_STEPS: usize = 16;
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(500),
    most: Duration::from_mins(1),
};

/// Keeps the certificates.
#[derive(Debug)]
pub struct Keeper<O> {
    store: Store,
    settings: Settings,
    outside: O,
    metrics: Metrics,
    /// The authority that the API server trusts, and since when it was seen to.
    trusted: Option<(Der, Timestamp)>,
    replicas: Option<Replicas>,
    lag: Lag,
}

/// What was read, understood.
struct View {
    observed: Observed,
    /// The authority's certificate and key, or why there is none.
    authority: Result<Pair, Unusable>,
    /// Why there is no certificate of the webhook.
    no_leaf: Option<Unusable>,
}

impl<O: Outside> Keeper<O> {
    /// One that has seen nothing yet.
    pub fn new(store: Store, settings: Settings, outside: O, metrics: Metrics) -> Self {
        Self {
            store,
            settings,
            outside,
            metrics,
            trusted: None,
            replicas: None,
            lag: Lag::default(),
        }
    }

    /// Keeps them while this replica leads, until `end` or until nobody tells of changes any more. A step that is under way
    /// at the end is finished.
    pub async fn run(
        mut self,
        mut changes: impl Stream<Item = Change> + Unpin,
        mut lead: Lead,
        end: impl Future<Output = ()>,
    ) {
        let mut failures: u32 = 0;
        tokio::pin!(end);
        loop {
            tokio::select! {
                goes_on = self.led(&mut lead, &mut changes) => if !goes_on { return },
                () = &mut end => return,
            }
            let rest = match self.settle().await {
                Ok(until) => {
                    failures = 0;
                    let rest = until.duration_since(self.outside.now());
                    Duration::try_from(rest).unwrap_or_default()
                }
                Err(problem) => {
                    let delay = if problem.category() == NOT_LEADING {
                        GATHER
                    } else {
                        failures = failures.saturating_add(1);
                        let delay = BACKOFF.delay(failures);
                        report(&problem, delay);
                        delay
                    };
                    tokio::select! {
                        () = sleep(delay) => continue,
                        () = &mut end => return,
                    }
                }
            };
            tokio::select! {
                goes_on = self.rest(rest.min(LONGEST_REST), &mut changes) => if !goes_on { return },
                () = &mut end => return,
            }
        }
    }

    /// Waits until this replica leads; `false` when nobody tells any more. What was known beyond the objects may be true no
    /// more by then.
    async fn led(
        &mut self,
        lead: &mut Lead,
        changes: &mut (impl Stream<Item = Change> + Unpin),
    ) -> bool {
        if *lead.borrow_and_update() {
            return true;
        }
        (self.trusted, self.replicas, self.lag) = (None, None, Lag::default());
        // The leader tells what is so.
        self.metrics.show_registered(false);
        self.metrics.show_replicas(0, 0);
        leads(lead, changes).await
    }

    /// Waits for so long or until something changes; `false` when nobody tells any more.
    async fn rest(
        &mut self,
        rest: Duration,
        changes: &mut (impl Stream<Item = Change> + Unpin),
    ) -> bool {
        let first = match timeout(rest, changes.next()).await {
            Ok(None) => return false,
            Ok(Some(change)) => change,
            Err(_) => return true,
        };
        self.note(first);
        sleep(GATHER).await;
        while let Some(Some(change)) = changes.next().now_or_never() {
            self.note(change);
        }
        true
    }

    fn note(&mut self, change: Change) {
        if change == Change::Replicas {
            self.replicas = None;
        }
    }

    /// Takes steps until there is nothing to do before a time, which it gives.
    async fn settle(&mut self) -> Result<Timestamp, Problem> {
        for _ in 0..MOST_STEPS {
            let now = self.outside.now();
            let stored = self.store.read().await?;
            let view = self.view(now, &stored)?;
            let step = plan(now, &view.observed);
            if let Step::Rest { until } = step {
                self.show(now, &view.observed);
                return Ok(until);
            }
            let what = name(&step);
            match self.take(now, step, &stored, &view).await {
                Err(Problem::Api(error)) if error.category() == "conflict" => {
                    self.metrics.count(what, "conflict");
                    debug!(what, "somebody else was faster, will look again");
                }
                Err(problem) => {
                    self.metrics.count(what, problem.category());
                    return Err(problem);
                }
                Ok(()) => self.metrics.count(what, "written"),
            }
        }
        Err(Problem::Restless)
    }

    fn view(&mut self, now: Timestamp, stored: &Stored) -> Result<View, Problem> {
        if !stored.has_home() {
            return Err(Problem::NoNamespace(self.settings.namespace.clone()));
        }
        let (authority, pair) = split(read::authority(stored.authority.as_ref()));
        let names = server_names(&self.settings.namespace);
        let leaf = authority
            .as_ref()
            .map(|authority| read::leaf(stored.leaf.as_ref(), authority, &names));
        let (leaf, no_leaf) = match leaf {
            Some(Ok(leaf)) => (Some(leaf), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let bundle = authority
            .as_ref()
            .map(|authority| read::pem_of(authority.bundle()));
        let registration = stored.registration(bundle.as_deref())?;
        self.trusted = since(now, authority.as_ref(), &registration, self.trusted.take());
        Ok(View {
            observed: Observed {
                authority,
                leaf,
                registration,
                trusted_since: self.trusted.as_ref().map(|(_, since)| *since),
                replicas: self.replicas.clone(),
            },
            authority: pair,
            no_leaf,
        })
    }

    async fn take(
        &mut self,
        now: Timestamp,
        step: Step,
        stored: &Stored,
        view: &View,
    ) -> Result<(), Problem> {
        let (store, lifetime) = (&self.store, self.settings.lifetime);
        if let Step::IssueAuthority { previous } = &step {
            let pair = issue::authority(now, lifetime)?;
            store
                .write_authority(stored.authority.as_ref(), &pair, previous)
                .await?;
            info!(
                reason = reason(view.authority.as_ref().err()),
                kept = previous.len(),
                "new authority for the webhook's certificate"
            );
            return Ok(());
        }
        // No step but the one above is planned without an authority.
        let (Some(authority), Ok(pair)) = (&view.observed.authority, &view.authority) else {
            return Ok(());
        };
        let bundle = read::pem_of(authority.bundle());
        match step {
            Step::IssueLeaf => {
                let names = server_names(&self.settings.namespace);
                let leaf = issue::leaf(now, lifetime, &names, pair)?;
                store
                    .write_leaf(stored.leaf.as_ref(), &leaf, &bundle)
                    .await?;
                info!(
                    reason = reason(view.no_leaf.as_ref()),
                    "new certificate for the webhook"
                );
            }
            Step::ShareBundle => store.write_bundle(stored.leaf.as_ref(), &bundle).await?,
            Step::Register => {
                store.register(stored, &bundle).await?;
                info!(
                    authorities = authority.bundle().count(),
                    "webhook registered at the API server"
                );
            }
            Step::ForgetPrevious => {
                store
                    .write_authority(stored.authority.as_ref(), pair, &[])
                    .await?;
                info!("former authority no longer trusted");
            }
            Step::AskReplicas => self.ask(now, &authority.root, &view.observed).await?,
            Step::IssueAuthority { .. } | Step::Rest { .. } => {}
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        now: Timestamp,
        root: &Root,
        observed: &Observed,
    ) -> Result<(), Problem> {
        let replicas = self.store.replicas().await?;
        let names = server_names(&self.settings.namespace);
        let name = names.into_iter().next().unwrap_or_default();
        let listed = replicas.len();
        let root = root.der.clone();
        let answers = self.outside.serving(replicas, name, root.clone()).await?;
        let serving = answers.serving;
        debug!(listed, serving, "replicas asked for their certificate");
        self.metrics.show_replicas(listed, serving);
        match self.lag.note(now, serving < listed) {
            Some(News::Lasting) => warn_of(listed, &answers, &observed.registration),
            Some(News::Over) => info!(listed, serving, "replicas serve what they should"),
            None => {}
        }
        self.replicas = Some(Replicas {
            root,
            asked_at: now,
            behind_since: self.lag.since(),
            listed,
            serving,
        });
        Ok(())
    }

    fn show(&mut self, now: Timestamp, observed: &Observed) {
        self.metrics
            .show_registered(observed.registration != Registration::Absent);
        if !observed.waits_for_replicas() {
            self.metrics.show_replicas(0, 0);
            if self.lag.note(now, false) == Some(News::Over) {
                info!("nothing waits for the webhook's replicas any more");
            }
        }
        let authority = observed
            .authority
            .as_ref()
            .map(|authority| authority.root.validity);
        let leaf = observed.leaf.as_ref().map(|leaf| leaf.validity);
        for (certificate, validity) in [("authority", authority), ("webhook", leaf)] {
            if let Some(validity) = validity {
                self.metrics
                    .show_certificate(certificate, validity.until.as_second());
            }
        }
    }
}

fn split(read: Result<(Authority, Pair), Unusable>) -> (Option<Authority>, Result<Pair, Unusable>) {
    match read {
        Ok((authority, pair)) => (Some(authority), Ok(pair)),
        Err(why) => (None, Err(why)),
    }
}

/// Since when the API server has been seen to trust the authority that signs.
fn since(
    now: Timestamp,
    authority: Option<&Authority>,
    registration: &Registration,
    before: Option<(Der, Timestamp)>,
) -> Option<(Der, Timestamp)> {
    let root = &authority?.root;
    let is_trusted = match registration {
        Registration::Absent => false,
        Registration::Present { trusted, .. } => trusted.contains(root),
    };
    let before = before.filter(|(der, _)| *der == root.der);
    is_trusted.then(|| before.unwrap_or_else(|| (root.der.clone(), now)))
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::IssueAuthority { .. } => "certificate_authority",
        Step::IssueLeaf => "certificate",
        Step::ShareBundle => "certificate_bundle",
        Step::Register => "webhook_registration",
        Step::AskReplicas => "certificate_question",
        Step::ForgetPrevious => "certificate_forgotten",
        Step::Rest { .. } => "certificate_rest",
    }
}

/// Why something was made anew.
fn reason(unusable: Option<&Unusable>) -> String {
    unusable.map_or_else(|| "due".to_owned(), |why| describe(why))
}

/// What no condition of an object says: without the registration all is admitted, and without this warning all seems well.
fn warn_of(listed: usize, answers: &Answers, registration: &Registration) {
    let Answers { serving, failure } = answers;
    let (replica, error) = failure.as_ref().map(|(at, why)| (at, why.as_str())).unzip();
    let what = match registration {
        Registration::Absent if *serving == 0 => {
            "webhook not registered, so nothing is checked at admission"
        }
        Registration::Absent | Registration::Present { .. } => "former authority still trusted",
    };
    warn!(
        listed,
        serving,
        replica = replica.map(tracing::field::display),
        error,
        "{what}: replicas do not serve the operator its certificate, see their logs, and NetworkPolicies between both"
    );
}

fn report(problem: &Problem, delay: Duration) {
    let (category, error) = (problem.category(), describe(problem));
    let what = "webhook certificates not kept";
    if category == "forbidden" {
        error!(
            category,
            error,
            ?delay,
            "{what}: check the operator's roles"
        );
    } else {
        warn!(category, error, ?delay, "{what}, will retry");
    }
}

#[cfg(test)]
mod tests;
