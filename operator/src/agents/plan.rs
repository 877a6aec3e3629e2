//! What to do next for the agents.
//!
//! Owns the order: settings and keys are there before an agent that reads them, and when Egress is off the agents stay
//! until their nodes are clean. A function of what was read and of the time: never reads a clock or an object.

use jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;

use super::rotation::{self, Change, Kept, Turn, later};

/// What agents report is asked for this often, while something waits for it.
pub const ASK_EVERY: SignedDuration = SignedDuration::from_secs(3);
/// Where Egress is off, agents that are not clean are given up if for so long no further one has become so.
pub const LONGEST_STALL: SignedDuration = SignedDuration::from_mins(10);

/// An object at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    pub version: Option<String>,
}

impl Version {
    /// That in an object's metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.clone(),
            version: meta.resource_version.clone(),
        }
    }
}

/// What an agent reports, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its node.
    pub node: String,
    /// The digests of the keys that it accepts, that of the one it seals with first.
    pub keys: Vec<String>,
    /// Whether it has left nothing of Egret on its node.
    pub is_clean: bool,
    /// Whether there still is such a node.
    pub has_node: bool,
    /// The report that says so.
    pub report: Version,
}

/// What all agents report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agents {
    /// When they were read.
    pub asked_at: Timestamp,
    /// They.
    pub all: Vec<Agent>,
}

impl Agents {
    /// When this is too old to go by.
    pub(super) fn stale_at(&self) -> Timestamp {
        later(self.asked_at, ASK_EVERY)
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.asked_at <= now && now < self.stale_at()
    }

    /// The nodes whose agents are not so yet.
    pub(super) fn awaited(&self, is_so: impl Fn(&Agent) -> bool) -> Vec<String> {
        let behind = self
            .all
            .iter()
            .filter(|agent| agent.has_node && !is_so(agent));
        behind.map(|agent| agent.node.clone()).collect()
    }

    /// The nodes that are not clean yet.
    pub fn unclean(&self) -> Vec<String> {
        self.awaited(|agent| agent.is_clean)
    }
}

/// The `DaemonSet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonSet {
    /// The operator was not told which image to run: somebody else runs the agents.
    Foreign,
    /// There is none.
    Absent,
    /// It is being deleted.
    Going,
    /// There is one.
    Present {
        /// Whether it is as it should be.
        is_right: bool,
    },
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Whether Egress is on; `None` while no settings are known.
    pub enabled: Option<bool>,
    /// Whether the agents' `ConfigMap` says so.
    pub is_configuration_right: bool,
    /// The keys, if there are any that can be read.
    pub keys: Option<Kept>,
    /// The `DaemonSet`.
    pub daemon_set: DaemonSet,
    /// What the agents report, if they were asked.
    pub agents: Option<Agents>,
    /// Where Egress is off: since when no further node has become clean.
    pub stalled_since: Option<Timestamp>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write the settings for the agents.
    WriteConfiguration,
    /// Change the keys; these nodes were waited for in vain.
    ChangeKeys(Change, Vec<String>),
    /// Write the `DaemonSet`.
    WriteDaemonSet,
    /// Read what the agents report.
    AskAgents,
    /// Delete the `DaemonSet`; these nodes were waited for in vain.
    DeleteDaemonSet(Vec<String>),
    /// Delete what these agents have reported.
    DeleteReports(Vec<Agent>),
    /// Nothing before then, or before something changes.
    Rest {
        /// If there is such a time.
        until: Option<Timestamp>,
    },
}

const REST: Step = Step::Rest { until: None };

/// The next step; each key of the gossip is to be the primary one for about that long.
pub fn plan(now: Timestamp, key_lifetime: SignedDuration, observed: &Observed) -> Step {
    let Some(enabled) = observed.enabled else {
        return REST;
    };
    if !observed.is_configuration_right {
        return Step::WriteConfiguration;
    }
    let Some(keys) = &observed.keys else {
        return Step::ChangeKeys(Change::Make, Vec::new());
    };
    match observed.daemon_set {
        DaemonSet::Present { is_right: false } => return Step::WriteDaemonSet,
        DaemonSet::Absent if enabled => return Step::WriteDaemonSet,
        _ => {}
    }
    if enabled {
        return match rotation::turn(now, key_lifetime, keys, observed.agents.as_ref()) {
            Turn::Change(change, behind) => Step::ChangeKeys(change, behind),
            Turn::Ask => Step::AskAgents,
            Turn::Rest(until) => Step::Rest { until: Some(until) },
        };
    }
    off(now, observed)
}

fn off(now: Timestamp, observed: &Observed) -> Step {
    if matches!(observed.daemon_set, DaemonSet::Foreign | DaemonSet::Going) {
        return REST;
    }
    let Some(agents) = observed
        .agents
        .as_ref()
        .filter(|agents| agents.is_fresh(now))
    else {
        return Step::AskAgents;
    };
    if observed.daemon_set == DaemonSet::Absent {
        return if agents.all.is_empty() {
            REST
        } else {
            Step::DeleteReports(agents.all.clone())
        };
    }
    let unclean = agents.unclean();
    let given_up_at = observed
        .stalled_since
        .map_or(Timestamp::MAX, |since| later(since, LONGEST_STALL));
    if unclean.is_empty() || given_up_at <= now {
        Step::DeleteDaemonSet(unclean)
    } else {
        let until = given_up_at.min(agents.stale_at());
        Step::Rest { until: Some(until) }
    }
}
