//! The operator's metrics.
//!
//! Owns their names and labels. Never has the name of an object, an address or a message in a label.

mod states;

use std::time::Duration;

use egret_domain::control::Census;
use egret_runtime::metrics::writes::Writes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::states::States;

/// Seconds of one round of the loop.
const ROUND_BUCKETS: [f64; 9] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0];
/// Messages of one round; up to 1024 are taken at once.
const BATCH_BUCKETS: [f64; 6] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0];

/// What is counted. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    states: States,
    allocations: Family<Allocation, Counter>,
    holder_changes: Family<HolderChange, Counter>,
    rounds: Histogram,
    batches: Histogram,
    retrying: Gauge,
    writes: Writes,
    queued: Gauge,
    certificates: Family<Certificate, Gauge>,
    registered: Gauge,
    listed: Gauge,
    serving: Gauge,
    leader: Gauge,
    configured: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Allocation {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HolderChange {
    change: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            states: States::default(),
            allocations: Family::default(),
            holder_changes: Family::default(),
            rounds: Histogram::new(ROUND_BUCKETS),
            batches: Histogram::new(BATCH_BUCKETS),
            retrying: Gauge::default(),
            writes: Writes::default(),
            queued: Gauge::default(),
            certificates: Family::default(),
            leader: Gauge::default(),
            configured: Gauge::default(),
            registered: Gauge::default(),
            listed: Gauge::default(),
            serving: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Metrics at zero that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("egret_operator");
        metrics.states.register(registry);
        metrics.register_work(registry);
        let certificates = metrics.certificates.clone();
        registry.register(
            "certificate_end_timestamp_seconds",
            "When a certificate ends, as Unix time",
            certificates,
        );
        registry.register(
            "leader",
            "Whether this replica leads: 1, or 0 where it only follows; the sum over all replicas is 1",
            metrics.leader.clone(),
        );
        metrics.register_webhook(registry);
        registry.register(
            "configuration_valid",
            "Whether the configuration is understood: 1, or 0 where what was in force before it, if anything, stays so",
            metrics.configured.clone(),
        );
        metrics
    }

    fn register_work(&self, registry: &mut Registry) {
        registry.register(
            "allocations",
            "What Egresses were told about the address that they want from a pool, by reason",
            self.allocations.clone(),
        );
        registry.register(
            "holder_changes",
            "Changes of the node that holds an egress IP, as agents have written them",
            self.holder_changes.clone(),
        );
        registry.register_with_unit(
            "round",
            "Time of one round of the loop: facts noted and decided on",
            Unit::Seconds,
            self.rounds.clone(),
        );
        let batches = self.batches.clone();
        registry.register("round_messages", "Messages noted in one round", batches);
        self.writes
            .register(registry, "Decisions carried out, by outcome");
        registry.register(
            "queued_objects",
            "Objects that wait for being written",
            self.queued.clone(),
        );
        registry.register(
            "retrying_objects",
            "Objects whose writing failed and that wait for another try",
            self.retrying.clone(),
        );
    }

    fn register_webhook(&self, registry: &mut Registry) {
        registry.register(
            "webhook_registered",
            "Whether the API server asks the webhook: 1, or 0 where nothing is checked at admission",
            self.registered.clone(),
        );
        registry.register(
            "webhook_replicas_listed",
            "Replicas of the webhook whose certificate is waited for; 0 when none is",
            self.listed.clone(),
        );
        registry.register(
            "webhook_replicas_serving",
            "Those of them that serve it, as far as the operator can reach them",
            self.serving.clone(),
        );
    }

    /// Counts a decision that was carried out, or was not.
    pub fn count(&self, what: &'static str, outcome: &'static str) {
        self.writes.count(what, outcome);
    }

    /// Shows how many objects are in which state.
    pub fn show_census(&self, census: &Census) {
        self.states.show(census);
    }

    /// Counts what an Egress was told about its address, where that is news.
    pub fn count_allocation(&self, result: &'static str) {
        self.allocations.get_or_create(&Allocation { result }).inc();
    }

    /// Counts that an egress IP is held by another node than before, by none any more, or by one at last.
    pub fn count_holder_change(&self, change: &'static str) {
        let change = HolderChange { change };
        self.holder_changes.get_or_create(&change).inc();
    }

    /// Notes a round of the loop: how many messages came in, and how long it took to note them and decide.
    pub fn count_round(&self, messages: usize, took: Duration) {
        self.rounds.observe(took.as_secs_f64());
        if let Ok(messages) = u32::try_from(messages) {
            self.batches.observe(messages.into());
        }
    }

    /// Shows when a certificate ends.
    pub fn show_certificate(&self, certificate: &'static str, end_s: i64) {
        let certificate = Certificate { certificate };
        self.certificates.get_or_create(&certificate).set(end_s);
    }

    /// Shows whether the API server asks the webhook.
    pub fn show_registered(&self, is_registered: bool) {
        self.registered.set(i64::from(is_registered));
    }

    /// Shows how many replicas there are to be waited for, and how many of them need not be any more.
    pub fn show_replicas(&self, listed: usize, serving: usize) {
        self.listed.set(i64::try_from(listed).unwrap_or(i64::MAX));
        self.serving.set(i64::try_from(serving).unwrap_or(i64::MAX));
    }

    /// Shows how many objects wait for being written, and how many for another try.
    pub fn show_waiting(&self, queued: usize, retrying: usize) {
        self.queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
        self.retrying
            .set(i64::try_from(retrying).unwrap_or(i64::MAX));
    }

    /// Shows whether this replica leads.
    pub fn show_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Shows whether the configuration is understood.
    pub fn show_configuration(&self, is_valid: bool) {
        self.configured.set(i64::from(is_valid));
    }
}

#[cfg(test)]
mod tests {
    use egret_domain::control::{Counts, State};
    use egret_runtime::metrics::page;

    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn the_page_has_the_operators_metrics() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let state = State {
            is_ready: true,
            reason: "Assigned",
        };
        let counts = Counts::from([(state, 1)]);
        metrics.show_census(&Census {
            egresses: counts.clone(),
            pools: counts,
            ..Census::default()
        });
        metrics.count_allocation("Allocated");
        metrics.count_holder_change("taken");
        metrics.count("pool_status", "written");
        metrics.show_certificate("ca", 0);
        assert_eq!(
            page::documented("Operator").unwrap(),
            page::registered(&registry).unwrap()
        );
    }

    #[test]
    fn writes_are_counted_by_kind_and_outcome() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        metrics.count("pool_status", "conflict");
        metrics.count("pool_status", "conflict");
        let text = text(&registry);
        let line = r#"egret_operator_writes_total{what="pool_status",outcome="conflict"} 2"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_state_that_nobody_is_in_any_more_shows_zero() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let state = State {
            is_ready: false,
            reason: "PoolExhausted",
        };
        let waiting = r#"egret_operator_egresses{ready="false",reason="PoolExhausted"}"#;
        for (egresses, shown) in [
            (Counts::from([(state, 2)]), format!("{waiting} 2")),
            (Counts::new(), format!("{waiting} 0")),
        ] {
            metrics.show_census(&Census {
                egresses,
                ..Census::default()
            });
            let text = text(&registry);
            assert!(text.contains(&shown), "{shown}\n{text}");
        }
    }
}
