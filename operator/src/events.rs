//! Events: what people hear of an object in `kubectl describe`.
//!
//! Owns their form and the rule that they delay nothing: they wait in a queue of their own, and those that find no place
//! there or cannot be written are counted and forgotten, for conditions and metrics say the same. Never decides what is
//! worth an Event.

use egret_runtime::apply::within_limit;
use egret_runtime::live::Pulse;
use egret_runtime::metrics::writes::outcome;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tracing::debug;

use crate::metrics::Metrics;
use crate::write::MANAGER;

/// Events that may wait: those of thousands of Egresses that are made at once.
const WAITING: usize = 16 * 1024;
/// Where the Events of objects without a namespace are.
const WITHOUT_NAMESPACE: &str = "default";
/// The most that the API server takes of a message, in bytes.
const NOTE: usize = 1024;
/// The most that it takes of a reporter's name, in bytes.
const INSTANCE: usize = 128;
/// At the end of one that was longer.
const CUT: &str = "…";

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// The object that it happened to.
    pub regarding: ObjectReference,
    /// Whether it is as it should be.
    pub is_good: bool,
    /// One word in `CamelCase`.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Where happenings go.
#[derive(Debug, Clone)]
pub struct Events {
    waiting: mpsc::Sender<Happening>,
    metrics: Metrics,
}

/// The queue's two ends.
pub fn queue(metrics: Metrics) -> (Events, mpsc::Receiver<Happening>) {
    let (waiting, happenings) = mpsc::channel(WAITING);
    (Events { waiting, metrics }, happenings)
}

impl Events {
    /// Lets people know, if the queue has a place.
    pub fn tell(&self, happening: Happening) {
        if self.waiting.try_send(happening).is_err() {
            self.metrics.count("event", "dropped");
        }
    }
}

/// Writes what is told, for ever, one after the other, as the replica of this name.
pub async fn publish(
    client: Client,
    replica: String,
    mut happenings: mpsc::Receiver<Happening>,
    metrics: Metrics,
    pulse: Pulse,
) {
    while let Some(happening) = pulse.through(happenings.recv()).await {
        let namespace = happening.regarding.namespace.as_deref();
        let namespace = namespace.unwrap_or(WITHOUT_NAMESPACE);
        let api = Api::<Event>::namespaced(client.clone(), namespace);
        let event = event(happening, &replica, Timestamp::now());
        let result = within_limit(api.create(&PostParams::default(), &event)).await;
        metrics.count("event", outcome(&result));
        if let Err(failure) = result {
            debug!(%failure, reason = event.reason, "an Event was not written");
        }
    }
}

fn event(happening: Happening, replica: &str, now: Timestamp) -> Event {
    let Happening {
        regarding,
        is_good,
        reason,
        message,
    } = happening;
    let name = regarding.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", short(name, 200), now.as_nanosecond())),
            ..ObjectMeta::default()
        },
        type_: Some(if is_good { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some("Reconcile".to_owned()),
        note: Some(note(message)),
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(MANAGER.to_owned()),
        reporting_instance: Some(short(replica, INSTANCE).to_owned()),
        regarding: Some(regarding),
        ..Event::default()
    }
}

/// As much of a message as an Event takes, and whether that is all.
fn note(message: String) -> String {
    if message.len() <= NOTE {
        return message;
    }
    format!("{}{CUT}", short(&message, NOTE - CUT.len()))
}

/// The beginning of a text, at most so many bytes.
fn short(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use egret_runtime::live::Liveness;
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    const REPLICA: &str = "egret-operator-7d4b9-x2x9c";

    fn happening(message: &str) -> Happening {
        Happening {
            regarding: ObjectReference {
                name: Some("a".to_owned()),
                ..ObjectReference::default()
            },
            is_good: false,
            reason: "PoolExhausted",
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_message_is_cut_where_the_api_server_would_refuse_it() {
        let long = "\u{e4}".repeat(1000);
        let event = event(happening(&long), REPLICA, Timestamp::UNIX_EPOCH);
        let note = event.note.unwrap();
        assert!(note.len() <= NOTE && note.ends_with(CUT), "{note}");
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.reason.as_deref(), Some("PoolExhausted"));
    }

    #[test]
    fn a_message_that_fits_is_told_as_it_is() {
        let event = event(happening("m"), REPLICA, Timestamp::UNIX_EPOCH);
        assert_eq!(event.note.as_deref(), Some("m"));
    }

    #[test]
    fn an_event_names_the_replica_that_tells_it() {
        let event = event(happening("m"), REPLICA, Timestamp::UNIX_EPOCH);
        assert_eq!(event.reporting_controller.as_deref(), Some(MANAGER));
        assert_eq!(event.reporting_instance.as_deref(), Some(REPLICA));
    }

    #[test]
    fn a_replica_with_a_long_name_is_told_by_its_beginning() {
        let long = "a".repeat(253);
        let event = event(happening("m"), &long, Timestamp::UNIX_EPOCH);
        assert_eq!(event.reporting_instance.as_deref(), Some(&long[..INSTANCE]));
    }

    /// The API server refuses an Event that is elsewhere.
    #[tokio::test]
    async fn an_event_is_where_its_object_is_and_in_default_where_that_has_no_namespace() {
        let (service, server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let (events, happenings) = queue(Metrics::default());
        let client = Client::new(service, "other");
        let pulse = Liveness::default().pulse("events");
        let replica = REPLICA.to_owned();
        tokio::spawn(publish(
            client,
            replica,
            happenings,
            Metrics::default(),
            pulse,
        ));
        let mut server = Box::pin(server);
        for (namespace, expected) in [(Some("egret-system"), "egret-system"), (None, "default")] {
            let mut happening = happening("m");
            happening.regarding.namespace = namespace.map(str::to_owned);
            events.tell(happening);
            let (request, send) = server.next_request().await.unwrap();
            let path = format!("/apis/events.k8s.io/v1/namespaces/{expected}/events");
            assert_eq!(request.uri().path(), path);
            send.send_response(Response::new(Body::from(b"{}".to_vec())));
        }
    }

    #[test]
    fn events_that_find_no_place_are_forgotten() {
        let (events, mut happenings) = queue(Metrics::default());
        for _ in 0..=WAITING {
            events.tell(happening("m"));
        }
        let waiting = std::iter::from_fn(|| happenings.try_recv().ok()).count();
        assert_eq!(waiting, WAITING);
    }
}
