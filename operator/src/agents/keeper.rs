//! The loop that keeps the agents' objects.
//!
//! Owns its rhythm: read everything, take one step, read again, until there is nothing to do; then rest until something
//! changes or comes due. What it knows beyond the objects may be lost at any moment. Never decides what the step is (see
//! [`super::plan`]).

use std::time::Duration;

use egret_crds::keyring::Keyring;
use egret_crds::settings::Settings;
use egret_runtime::apply::NOT_LEADING;
use egret_runtime::backoff::Limits;
use egret_runtime::describe;
use futures::{FutureExt, Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::configure::Configuration;
use super::plan::{Agents, Observed, Step, plan};
use super::rotation::{self, Change};
use super::store::{Store, Stored, Wish};
use super::{Outside, Problem};
use crate::lease::{Lead, leads};
use crate::metrics::Metrics;

/// What changes together is looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Looked at again after this time at the latest: a clock may be set, and rest is counted by another.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// More steps without a rest mean that somebody undoes them.
const MOST_STEPS: usize = 16;
/// An Event takes no more text, in bytes.
const NOTE_BYTES: usize = 1000;
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(500),
    most: Duration::from_mins(1),
};

/// Keeps the agents' objects.
pub struct Keeper<O> {
    client: Client,
    store: Store,
    wish: Wish,
    key_lifetime: SignedDuration,
    outside: O,
    metrics: Metrics,
    configuration: watch::Receiver<Configuration>,
    /// What an Event has told of the configuration.
    told: Option<Configuration>,
    agents: Option<Agents>,
    /// The keys that were seen last: a Secret that was deleted is made anew with them, and nobody falls silent.
    keys: Option<Keyring>,
    /// How many nodes were not clean yet, and since when it is not fewer.
    unclean: Option<(usize, Timestamp)>,
}

impl<O: Outside> Keeper<O> {
    /// One that has seen nothing yet.
    pub fn new(
        client: &Client,
        store: Store,
        wish: Wish,
        key_lifetime: SignedDuration,
        outside: O,
        metrics: Metrics,
        configuration: watch::Receiver<Configuration>,
    ) -> Self {
        if wish.image.is_none() {
            warn!("no --agent-image: the agents are run by somebody else");
        }
        Self {
            client: client.clone(),
            store,
            wish,
            key_lifetime,
            outside,
            metrics,
            configuration,
            told: None,
            agents: None,
            keys: None,
            unclean: None,
        }
    }

    /// Keeps them while this replica leads, until `end` or until nobody tells of changes any more. A step that is under way
    /// at the end is finished.
    pub async fn run(
        mut self,
        mut changes: impl Stream<Item = ()> + Unpin,
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
            self.tell().await;
            let rest = match self.settle().await {
                Ok(until) => {
                    failures = 0;
                    self.rest_until(until)
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
                goes_on = self.rest(rest, &mut changes) => if !goes_on { return },
                () = &mut end => return,
            }
        }
    }

    /// Waits until this replica leads; `false` when nobody tells any more. What was known beyond the objects may be true no
    /// more by then.
    async fn led(
        &mut self,
        lead: &mut Lead,
        changes: &mut (impl Stream<Item = ()> + Unpin),
    ) -> bool {
        if *lead.borrow_and_update() {
            return true;
        }
        (self.told, self.agents, self.keys, self.unclean) = (None, None, None, None);
        leads(lead, changes).await
    }

    fn rest_until(&self, due: Option<Timestamp>) -> Duration {
        let rest = due.map(|due| due.duration_since(self.outside.now()));
        let rest = rest.map_or(LONGEST_REST, |rest| {
            Duration::try_from(rest).unwrap_or_default()
        });
        rest.min(LONGEST_REST)
    }

    /// Waits for so long or until something changes; `false` when nobody tells any more.
    async fn rest(
        &mut self,
        rest: Duration,
        changes: &mut (impl Stream<Item = ()> + Unpin),
    ) -> bool {
        tokio::select! {
            object = changes.next() => if object.is_none() { return false },
            setting = self.configuration.changed() => if setting.is_err() { return false },
            () = sleep(rest) => return true,
        }
        sleep(GATHER).await;
        while let Some(Some(())) = changes.next().now_or_never() {}
        true
    }

    /// Takes steps until there is nothing to do before a time, which it gives.
    async fn settle(&mut self) -> Result<Option<Timestamp>, Problem> {
        let settings = self.configuration.borrow_and_update().in_force.clone();
        let Some(settings) = settings else {
            return Ok(None);
        };
        for _ in 0..MOST_STEPS {
            let now = self.outside.now();
            let found = self.store.read().await?;
            let observed = self.observe(now, &found, &settings)?;
            let step = plan(now, self.key_lifetime, &observed);
            if let Step::Rest { until } = step {
                return Ok(until);
            }
            let what = name(&step);
            match self.take(now, step, &found, &settings).await {
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

    fn observe(
        &mut self,
        now: Timestamp,
        stored: &Stored,
        settings: &Settings,
    ) -> Result<Observed, Problem> {
        let keys = stored.keys();
        if let Some(kept) = &keys {
            self.keys = Some(kept.ring.clone());
        }
        Ok(Observed {
            enabled: Some(settings.enabled),
            is_configuration_right: stored.is_configuration_right(settings)?,
            keys,
            daemon_set: stored.daemon_set(&self.wish, settings)?,
            stalled_since: self.stalled_since(now, settings),
            agents: self.agents.clone(),
        })
    }

    /// Where Egress is off: since when no further node has become clean.
    fn stalled_since(&mut self, now: Timestamp, settings: &Settings) -> Option<Timestamp> {
        if settings.enabled {
            self.unclean = None;
            return None;
        }
        let count = self.agents.as_ref()?.unclean().len();
        let before = self.unclean.filter(|(before, _)| *before <= count);
        let (_, since) = *self
            .unclean
            .insert((count, before.map_or(now, |(_, since)| since)));
        Some(since)
    }

    async fn take(
        &mut self,
        now: Timestamp,
        step: Step,
        stored: &Stored,
        settings: &Settings,
    ) -> Result<(), Problem> {
        let store = &self.store;
        match step {
            Step::WriteConfiguration => {
                store.write_configuration(stored, settings).await?;
                info!(?settings, "settings written for the agents");
            }
            Step::ChangeKeys(change, behind) => {
                return self.change_keys(now, change, &behind, stored).await;
            }
            Step::WriteDaemonSet => {
                store.write_daemon_set(stored, &self.wish, settings).await?;
                info!(image = self.wish.image, "agents' DaemonSet written");
            }
            Step::AskAgents => self.agents = Some(store.agents(now).await?),
            Step::DeleteDaemonSet(behind) => {
                store.delete_daemon_set(stored).await?;
                info!("Egress is off: agents' DaemonSet deleted");
                if !behind.is_empty() {
                    warn!(
                        nodes = behind.join(", "),
                        "these nodes did not say that they are clean: look at them when they are back"
                    );
                }
            }
            Step::DeleteReports(agents) => {
                // Whatever comes of it, they have to be read anew.
                self.agents = None;
                store.delete_reports(agents).await?;
            }
            Step::Rest { .. } => {}
        }
        Ok(())
    }

    async fn change_keys(
        &mut self,
        now: Timestamp,
        change: Change,
        behind: &[String],
        stored: &Stored,
    ) -> Result<(), Problem> {
        let ring = match (change, self.keys.clone()) {
            (Change::Make, Some(known)) => known,
            (change, known) => rotation::changed(known, change, || self.outside.key())?,
        };
        self.store.write_keys(stored, &ring, now).await?;
        info!(?change, keys = ?ring.digests(), "gossip keys written");
        if !behind.is_empty() {
            warn!(
                nodes = behind.join(", "),
                ?change,
                "the agents of these nodes did not say that they have the gossip's keys, and were not waited for any longer"
            );
        }
        // They have to be asked anew about these keys.
        self.agents = None;
        Ok(())
    }

    /// Tells in an Event what is wrong with the configuration, and that it is mended.
    async fn tell(&mut self) {
        let now = self.configuration.borrow().clone();
        let was_wrong = self.told.as_ref().is_some_and(|told| told.wrong.is_some());
        let is_told = self.told.as_ref() == Some(&now);
        let event = match &now.wrong {
            _ if is_told => None,
            Some(problems) => Some((EventType::Warning, "InvalidConfig", problems.to_string())),
            None if was_wrong => Some((
                EventType::Normal,
                "ValidConfig",
                "the configuration is in force".to_owned(),
            )),
            None => None,
        };
        if let (Some((kind, reason, note)), Some(source)) = (event, &now.source) {
            // A new one for each: a recorder would count other problems as the same Event once more.
            let recorder = Recorder::new(self.client.clone(), Reporter::from("egret-operator"));
            let event = Event {
                type_: kind,
                reason: reason.to_owned(),
                note: Some(shortened(note)),
                action: "Configure".to_owned(),
                secondary: None,
            };
            if let Err(error) = recorder.publish(&event, source).await {
                warn!(error = describe(&error), reason, "Event not written");
            }
        }
        self.told = Some(now);
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > NOTE_BYTES {
        let end = text.floor_char_boundary(NOTE_BYTES);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::WriteConfiguration => "agent_configuration",
        Step::ChangeKeys(..) => "gossip_keys",
        Step::WriteDaemonSet => "agent_daemon_set",
        Step::AskAgents => "agent_question",
        Step::DeleteDaemonSet(_) => "agent_daemon_set_deleted",
        Step::DeleteReports(_) => "agent_reports_deleted",
        Step::Rest { .. } => "agent_rest",
    }
}

fn report(problem: &Problem, delay: Duration) {
    let (category, error) = (problem.category(), describe(problem));
    let what = "agents not kept";
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
