//! The operator's metrics.
//!
//! Owns their names and labels. Never has the name of an object, an address or a message in a label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    writes: Family<Write, Counter>,
    queued: Gauge,
    certificates: Family<Certificate, Gauge>,
    registered: Gauge,
    listed: Gauge,
    serving: Gauge,
    configured: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    what: &'static str,
    outcome: &'static str,
}

impl Metrics {
    /// Metrics at zero that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("egret_operator");
        let writes = metrics.writes.clone();
        registry.register("writes", "Decisions carried out, by outcome", writes);
        let queued = metrics.queued.clone();
        registry.register(
            "queued_objects",
            "Objects that wait for being written",
            queued,
        );
        let certificates = metrics.certificates.clone();
        registry.register(
            "certificate_end_timestamp_seconds",
            "When a certificate ends, as Unix time",
            certificates,
        );
        metrics.register_webhook(registry);
        registry.register(
            "configuration_valid",
            "Whether the configuration is understood: 1, or 0 where what was in force before it stays so",
            metrics.configured.clone(),
        );
        metrics
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
        self.writes.get_or_create(&Write { what, outcome }).inc();
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

    /// Shows whether the configuration is understood.
    pub fn show_configuration(&self, is_valid: bool) {
        self.configured.set(i64::from(is_valid));
    }

    /// Shows how many objects wait for being written.
    pub fn show_queued(&self, objects: usize) {
        self.queued.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_counted_by_kind_and_outcome() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        metrics.count("pool_status", "conflict");
        metrics.count("pool_status", "conflict");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = r#"egret_operator_writes_total{what="pool_status",outcome="conflict"} 2"#;
        assert!(text.contains(line), "{text}");
    }
}
