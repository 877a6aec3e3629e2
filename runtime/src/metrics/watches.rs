//! How watches fare.
//!
//! Owns the counts of what they tell and of how they end. Never watches anything.

use kube::runtime::watcher::Error;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What is counted. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watches {
    events: Family<Watch, Counter>,
    last_event: Family<Watch, Gauge>,
    failures: Family<Failed, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watch {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    kind: String,
    reason: &'static str,
}

impl Watches {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "watch_events",
            "Events that the watches of a kind have told, lists included",
            self.events.clone(),
        );
        registry.register_with_unit(
            "watch_last_event_timestamp",
            "When the watches of a kind have told something last, as Unix time",
            Unit::Seconds,
            self.last_event.clone(),
        );
        registry.register(
            "watch_restarts",
            "Watches that failed and were begun anew, by reason",
            self.failures.clone(),
        );
    }

    /// Counts an event of a kind.
    pub(crate) fn told(&self, kind: &str, now_s: i64) {
        let watch = Watch {
            kind: kind.to_owned(),
        };
        self.events.get_or_create(&watch).inc();
        self.last_event.get_or_create(&watch).set(now_s);
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, kind: &str, error: &Error) {
        let failed = Failed {
            kind: kind.to_owned(),
            reason: reason(error),
        };
        self.failures.get_or_create(&failed).inc();
    }
}

fn reason(error: &Error) -> &'static str {
    let code = match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => status.code,
            _ => return "connection",
        },
        Error::WatchError(status) => status.code,
        Error::NoResourceVersion => return "server",
    };
    match code {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        410 => "expired",
        429 => "throttled",
        400..=499 => "refused",
        _ => "server",
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn failures_are_counted_by_kind_and_reason() {
        let mut registry = Registry::default();
        let watches = Watches::default();
        watches.register(&mut registry);
        watches.told("Egress", 1_800_000_000);
        let status = |code| Status::failure("no", "No").with_code(code).boxed();
        watches.failed("Egress", &Error::WatchError(status(410)));
        let forbidden = kube::Error::Api(status(403));
        watches.failed("Egress", &Error::InitialListFailed(forbidden));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"watch_events_total{kind="Egress"} 1"#,
            r#"watch_last_event_timestamp_seconds{kind="Egress"} 1800000000"#,
            r#"watch_restarts_total{kind="Egress",reason="expired"} 1"#,
            r#"watch_restarts_total{kind="Egress",reason="forbidden"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
