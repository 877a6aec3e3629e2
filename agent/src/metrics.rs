//! The agent's metrics.
//!
//! Owns their names and labels. Never has the name of an object or node, an address or a message in a label.

use std::time::Duration;

use egret_runtime::metrics::writes::{Writes, outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds; the goal is to be done within 100 ms.
const COMMIT_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

/// What is counted. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    ready: Gauge,
    pods: Gauge,
    held: Gauge,
    members_alive: Gauge,
    members_known: Gauge,
    commits: Family<Outcome, Counter>,
    commit_seconds: Histogram,
    comparisons: Family<Comparison, Counter>,
    drift: Counter,
    failures: Family<Failure, Counter>,
    writes: Writes,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Comparison {
    found: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    check: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            ready: Gauge::default(),
            pods: Gauge::default(),
            held: Gauge::default(),
            members_alive: Gauge::default(),
            members_known: Gauge::default(),
            commits: Family::default(),
            commit_seconds: Histogram::new(COMMIT_BUCKETS),
            comparisons: Family::default(),
            drift: Counter::default(),
            failures: Family::default(),
            writes: Writes::default(),
        }
    }
}

impl Metrics {
    /// Metrics at zero that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("egret_agent");
        metrics.register_node(registry);
        metrics.register_kernel(registry);
        metrics
            .writes
            .register(registry, "Reports written to the API, by outcome");
        metrics
    }

    fn register_node(&self, registry: &mut Registry) {
        registry.register(
            "ready",
            "Whether all is well on the node: 1, or 0 when a check has failed",
            self.ready.clone(),
        );
        registry.register(
            "pods_served",
            "Addresses of this node's Pods that an Egress selects, also those that wait for their egress IP",
            self.pods.clone(),
        );
        registry.register(
            "egress_ips_held",
            "Egress IPs that this node is the gateway of",
            self.held.clone(),
        );
        registry.register(
            "gossip_members_alive",
            "Agents that answer, this one among them",
            self.members_alive.clone(),
        );
        registry.register(
            "gossip_members_known",
            "Nodes that agents are expected on, this one among them",
            self.members_known.clone(),
        );
    }

    fn register_kernel(&self, registry: &mut Registry) {
        registry.register(
            "kernel_commits",
            "Changes to the kernel, by outcome",
            self.commits.clone(),
        );
        registry.register_with_unit(
            "kernel_commit",
            "Time of one change to the kernel",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register(
            "kernel_comparisons",
            "Comparisons of the kernel with the plan, by what was found",
            self.comparisons.clone(),
        );
        registry.register(
            "kernel_drift_elements",
            "Elements that somebody else had changed, and that were put right",
            self.drift.clone(),
        );
        registry.register(
            "kernel_failures",
            "Rounds in which the kernel refused or a check failed, by check",
            self.failures.clone(),
        );
    }

    /// Shows what this node does, and whether all is well.
    pub(crate) fn show_node(&self, pods: usize, held: usize, is_well: bool) {
        self.pods.set(number(pods));
        self.held.set(number(held));
        self.ready.set(i64::from(is_well));
    }

    /// Shows how many agents answer.
    pub(crate) fn show_alive(&self, members: usize) {
        self.members_alive.set(number(members));
    }

    /// Shows how many agents should.
    pub(crate) fn show_known(&self, members: usize) {
        self.members_known.set(number(members));
    }

    /// Counts a change to the kernel.
    pub(crate) fn count_commit(&self, is_done: bool, took: Duration) {
        let outcome = if is_done { "done" } else { "failed" };
        self.commits.get_or_create(&Outcome { outcome }).inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Counts a comparison. Where it was known what stands in the kernel, `changes` are what somebody else has done.
    pub(crate) fn count_comparison(&self, was_known: bool, changes: usize) {
        let found = match (was_known, changes) {
            (false, _) => "unknown",
            (true, 0) => "as_planned",
            (true, _) => "drift",
        };
        self.comparisons.get_or_create(&Comparison { found }).inc();
        if was_known {
            self.drift
                .inc_by(u64::try_from(changes).unwrap_or(u64::MAX));
        }
    }

    /// Counts a round that failed.
    pub(crate) fn count_failure(&self, check: &'static str) {
        self.failures.get_or_create(&Failure { check }).inc();
    }

    /// Counts a write to the API.
    pub(crate) fn count_write(
        &self,
        what: &'static str,
        result: &Result<(), egret_runtime::apply::Error>,
    ) {
        self.writes.count(what, outcome(result));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use egret_runtime::metrics::page;

    use super::*;

    #[test]
    fn the_page_has_the_agents_metrics() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        metrics.count_commit(true, Duration::ZERO);
        metrics.count_comparison(true, 0);
        metrics.count_failure("nft");
        metrics.count_write("node_report", &Ok(()));
        assert_eq!(
            page::documented("Agent").unwrap(),
            page::registered(&registry).unwrap()
        );
    }
}
