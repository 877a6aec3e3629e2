//! The webhook's certificates as they are kept (see [`crate::keeper`]).
//!
//! Owns what is known of them from one look to the next, and how a step is taken. Never decides what the step is (see
//! [`super::plan`]).

use egret_runtime::describe;
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::changes::Change;
use super::issue::{self, Pair};
use super::lag::{Lag, News};
use super::plan::{Authority, Der, Observed, Registration, Replicas, Root, Step, plan};
use super::probe::Answers;
use super::read::{self, Unusable};
use super::registration::server_names;
use super::store::{Store, Stored};
use super::{Outside, Problem, Settings};
use crate::keeper::{Kept, Turn};
use crate::metrics::Metrics;

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

impl<O: Outside> Kept for Keeper<O> {
    type Change = Change;
    type Problem = Problem;

    const WHAT: &'static str = "webhook certificates";

    fn now(&self) -> Timestamp {
        self.outside.now()
    }

    fn forget(&mut self) {
        (self.trusted, self.replicas, self.lag) = (None, None, Lag::default());
        // The leader tells what is so.
        self.metrics.show_registered(false);
        self.metrics.show_replicas(0, 0);
    }

    fn note(&mut self, change: Change) {
        if change == Change::Replicas {
            self.replicas = None;
        }
    }

    async fn step(&mut self, now: Timestamp) -> Result<Turn<Problem>, Problem> {
        let stored = self.store.read().await?;
        let view = self.view(now, &stored)?;
        let step = plan(now, &view.observed);
        if let Step::Rest { until } = step {
            self.show(now, &view.observed);
            return Ok(Turn::Rest { until: Some(until) });
        }
        let what = name(&step);
        let result = self.take(now, step, &stored, &view).await;
        Ok(Turn::Taken { what, result })
    }
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

#[cfg(test)]
mod tests;
