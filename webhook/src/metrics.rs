//! The webhook's metrics.
//!
//! Owns their names and labels. Never has the name of an object or user, an address or a message in a label.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds; the goal is 5 ms for 99 in 100 answers.
const BUCKETS: [f64; 12] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
];

/// What is counted. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    answers: Family<Answered, Counter>,
    seconds: Family<Asked, Histogram, fn() -> Histogram>,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// `mutate` or `validate`.
    pub stage: &'static str,
    /// The kind of the object, `other` for one that nothing is known of.
    pub kind: &'static str,
    /// What happens to it: `create`, `update`, `delete` or `other`.
    pub operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    stage: &'static str,
    kind: &'static str,
    operation: &'static str,
    result: &'static str,
}

impl Metrics {
    /// Metrics at zero that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            answers: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        let registry = registry.sub_registry_with_prefix("egret_webhook");
        let answers = metrics.answers.clone();
        registry.register("answers", "Answers to questions, by result", answers);
        registry.register_with_unit(
            "answer",
            "Time from a question to its answer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        metrics
    }

    /// Counts an answer.
    pub fn count(&self, asked: Asked, result: &'static str, took: Duration) {
        let Asked {
            stage,
            kind,
            operation,
        } = asked;
        let answered = Answered {
            stage,
            kind,
            operation,
            result,
        };
        self.answers.get_or_create(&answered).inc();
        self.seconds
            .get_or_create(&asked)
            .observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use egret_runtime::metrics::page;

    use super::*;

    #[test]
    fn the_page_has_the_webhooks_metrics() {
        let mut registry = Registry::default();
        let asked = Asked {
            stage: "validate",
            kind: "Egress",
            operation: "create",
        };
        Metrics::registered(&mut registry).count(asked, "allowed", Duration::ZERO);
        assert_eq!(
            page::documented("Webhook").unwrap(),
            page::registered(&registry).unwrap()
        );
    }

    #[test]
    fn answers_are_counted_and_timed() {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let asked = Asked {
            stage: "validate",
            kind: "Egress",
            operation: "create",
        };
        metrics.count(asked, "invalid", Duration::from_millis(3));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let labels = r#"stage="validate",kind="Egress",operation="create""#;
        for line in [
            format!("egret_webhook_answers_total{{{labels},result=\"invalid\"}} 1"),
            format!("egret_webhook_answer_seconds_bucket{{le=\"0.005\",{labels}}} 1"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
    }
}
