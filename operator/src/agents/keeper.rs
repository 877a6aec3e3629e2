//! The agents' objects as they are kept (see [`crate::keeper`]).
//!
//! Owns what is known of them from one look to the next, and how a step is taken. Never decides what the step is (see
//! [`super::plan`]).

use egret_crds::keyring::Keyring;
use egret_crds::settings::Settings;
use futures::{Stream, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tracing::{info, warn};

use super::configure::Configuration;
use super::plan::{Agents, Observed, Step, plan};
use super::rotation::{self, Change};
use super::store::{Store, Stored, Wish};
use super::{Outside, Problem};
use crate::events::{Events, Happening};
use crate::keeper::{Kept, Turn};

/// What is told of a configuration that was wrong and is mended.
const IN_FORCE: &str = "the configuration is in force";

/// Keeps the agents' objects.
pub struct Keeper<O> {
    events: Events,
    store: Store,
    wish: Wish,
    key_lifetime: SignedDuration,
    outside: O,
    configuration: watch::Receiver<Configuration>,
    /// What an Event has told of the configuration.
    told: Option<Configuration>,
    agents: Option<Agents>,
    /// The keys that were seen last: a Secret that was deleted is made anew with them, and nobody falls silent.
    keys: Option<Keyring>,
    /// How many nodes were not clean yet, and since when it is not fewer.
    unclean: Option<(usize, Timestamp)>,
}

impl<O: Outside> Kept for Keeper<O> {
    type Change = ();
    type Problem = Problem;

    const WHAT: &'static str = "agents";

    fn now(&self) -> Timestamp {
        self.outside.now()
    }

    fn forget(&mut self) {
        (self.told, self.agents, self.keys, self.unclean) = (None, None, None, None);
    }

    fn note(&mut self, (): ()) {}

    async fn step(&mut self, now: Timestamp) -> Result<Turn<Problem>, Problem> {
        self.tell();
        let settings = self.configuration.borrow().in_force.clone();
        let Some(settings) = settings else {
            return Ok(Turn::Rest { until: None });
        };
        let found = self.store.read().await?;
        let observed = self.observe(now, &found, &settings)?;
        let step = plan(now, self.key_lifetime, &observed);
        if let Step::Rest { until } = step {
            return Ok(Turn::Rest { until });
        }
        let what = name(&step);
        let result = self.take(now, step, &found, &settings).await;
        Ok(Turn::Taken { what, result })
    }
}

impl<O: Outside> Keeper<O> {
    /// One that has seen nothing yet.
    pub fn new(
        events: Events,
        store: Store,
        wish: Wish,
        key_lifetime: SignedDuration,
        outside: O,
        configuration: watch::Receiver<Configuration>,
    ) -> Self {
        if wish.image.is_none() {
            warn!("no --agent-image: the agents are run by somebody else");
        }
        Self {
            events,
            store,
            wish,
            key_lifetime,
            outside,
            configuration,
            told: None,
            agents: None,
            keys: None,
            unclean: None,
        }
    }

    /// Tells of each change of the configuration, as others tell of those of objects.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + use<O> {
        told_of(self.configuration.clone())
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

    /// Tells in an Event what is wrong with the configuration, and that it is mended, if this replica has told that it was
    /// wrong.
    fn tell(&mut self) {
        let now = self.configuration.borrow().clone();
        let was_wrong = self.told.as_ref().is_some_and(|told| told.wrong.is_some());
        let is_told = self.told.as_ref() == Some(&now);
        let news = match &now.wrong {
            _ if is_told => None,
            Some(problems) => Some((false, "InvalidConfig", problems.to_string())),
            None if was_wrong => Some((true, "ValidConfig", IN_FORCE.to_owned())),
            None => None,
        };
        if let (Some((is_good, reason, message)), Some(source)) = (news, &now.source) {
            self.events.tell(Happening {
                regarding: source.clone(),
                is_good,
                reason,
                message,
            });
        }
        self.told = Some(now);
    }
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

/// Tells each time that what is configured changes.
fn told_of(configuration: watch::Receiver<Configuration>) -> impl Stream<Item = ()> + Send {
    stream::unfold(configuration, async |mut configuration| {
        configuration.changed().await.ok()?;
        Some(((), configuration))
    })
}

#[cfg(test)]
mod tests;
