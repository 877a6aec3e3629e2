//! A watch against a mock API server that fails, forgets and sends what does not decode.

use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::{Handle, pair};

use super::*;

type Server = Handle<Request<Body>, Response<Body>>;

/// A watch of `ConfigMaps`, and the API server's side of it.
fn watched() -> (
    impl Stream<Item = Event<ConfigMap>> + Unpin,
    Pin<Box<Server>>,
) {
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    (watch(Api::all(client), Config::default()), Box::pin(server))
}

fn object(name: &str, uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": "1"}})
}

fn malformed(name: &str, uid: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": "1"}, "data": 7})
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"},
        "items": objects})
    .to_string()
}

fn changes(changes: &[(&str, Value)]) -> String {
    let lines = changes
        .iter()
        .map(|(kind, object)| json!({"type": kind, "object": object}).to_string());
    lines.collect::<Vec<_>>().join(
        "
",
    ) + "
"
}

async fn answer(server: &mut Pin<Box<Server>>, status: u16, body: String) -> String {
    let (request, send) = server.next_request().await.expect("the watch asks");
    send.send_response(
        Response::builder()
            .status(status)
            .body(Body::from(body.into_bytes()))
            .unwrap(),
    );
    request.uri().to_string()
}

fn key(name: &str) -> Key {
    Key {
        namespace: Some("ns".to_owned()),
        name: name.to_owned(),
    }
}

/// What an event says, in one word.
fn say(event: &Event<ConfigMap>) -> String {
    match event {
        Event::Applied(object) => format!("applied {}", Key::of(&object.metadata)),
        Event::Deleted(key) => format!("deleted {key}"),
        Event::Undecodable { key, .. } => format!("undecodable {key}"),
        Event::Synced => "synced".to_owned(),
    }
}

async fn told(
    watch: &mut (impl Stream<Item = Event<ConfigMap>> + Unpin),
    events: usize,
) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..events {
        told.push(say(&watch.next().await.expect("a watch does not end")));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn what_exists_is_reported_then_what_changes() {
    let (mut watch, mut server) = watched();
    let serve = async {
        answer(&mut server, 200, list(&[object("a", "1")])).await;
        let body = changes(&[("ADDED", object("b", "2")), ("DELETED", object("a", "1"))]);
        answer(&mut server, 200, body).await;
    };
    let (told, ()) = tokio::join!(told(&mut watch, 4), serve);
    assert_eq!(
        told,
        ["applied ns/a", "synced", "applied ns/b", "deleted ns/a"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_decode_is_reported_and_the_others_are_served() {
    let (mut watch, mut server) = watched();
    let serve = async {
        answer(
            &mut server,
            200,
            list(&[malformed("a", "1"), object("b", "2")]),
        )
        .await;
        let body = changes(&[
            ("MODIFIED", malformed("b", "2")),
            ("DELETED", malformed("b", "2")),
        ]);
        answer(&mut server, 200, body).await;
    };
    let (told, ()) = tokio::join!(told(&mut watch, 5), serve);
    assert_eq!(
        told,
        [
            "undecodable ns/a",
            "applied ns/b",
            "synced",
            "undecodable ns/b",
            "deleted ns/b"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_api_server_is_asked_again_until_it_answers() {
    let (mut watch, mut server) = watched();
    let serve = async {
        for _ in 0..20 {
            answer(&mut server, 500, String::new()).await;
        }
        answer(&mut server, 200, list(&[object("a", "1")])).await;
    };
    let (told, ()) = tokio::join!(told(&mut watch, 2), serve);
    assert_eq!(told, ["applied ns/a", "synced"]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_missed_while_disconnected_is_reported_after_the_new_list() {
    let (mut watch, mut server) = watched();
    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
        "status": "Failure", "reason": "Expired", "message": "too old", "code": 410}});
    let serve = async {
        answer(
            &mut server,
            200,
            list(&[object("a", "1"), object("b", "2"), object("c", "3")]),
        )
        .await;
        answer(&mut server, 200, format!("{expired}\n")).await;
        answer(
            &mut server,
            200,
            list(&[object("b", "2"), object("c", "33")]),
        )
        .await;
    };
    let (told, ()) = tokio::join!(told(&mut watch, 9), serve);
    assert_eq!(
        told[4..],
        [
            "applied ns/b",
            "deleted ns/c",
            "applied ns/c",
            "deleted ns/a",
            "synced"
        ]
    );
}

#[test]
fn a_list_that_breaks_off_deletes_nothing() {
    let mut seen = Seen::default();
    let object = |name: &str| {
        let meta = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("ns".to_owned()),
            ..ObjectMeta::default()
        };
        Guarded(Ok(ConfigMap {
            metadata: meta,
            ..ConfigMap::default()
        }))
    };
    seen.take::<ConfigMap>(watcher::Event::Apply(object("a")));
    seen.take::<ConfigMap>(watcher::Event::Init);
    seen.take(watcher::Event::InitApply(object("b")));
    seen.take::<ConfigMap>(watcher::Event::Init);
    seen.take(watcher::Event::InitApply(object("a")));
    let events = seen.take::<ConfigMap>(watcher::Event::InitDone);
    assert_eq!(events, [Event::Deleted(key("b")), Event::Synced]);
}

/// Where a message can come from.
#[derive(Debug, Clone, Copy)]
struct Maps;

impl From<Maps> for String {
    fn from(_: Maps) -> Self {
        "all told".to_owned()
    }
}

#[tokio::test]
async fn a_consumer_is_told_what_its_reading_makes_of_each_event() {
    let applied = |name: &str| Event::Applied(serde_json::from_value(object(name, "1")).unwrap());
    let key = Key {
        namespace: None,
        name: "b".to_owned(),
    };
    let undecodable = Event::Undecodable {
        key: key.clone(),
        error: "no map".to_owned(),
        object: json!(7),
    };
    let events = [
        applied("a"),
        applied("hidden"),
        Event::Deleted(key),
        undecodable,
        Event::Synced,
    ];
    let reading = Reading {
        source: Maps,
        told: |map: ConfigMap| map.metadata.name.filter(|name| name != "hidden"),
        gone: |key: &Key| format!("{key} gone"),
        malformed: |key: &Key, object: &Value, error: &str| Some(format!("{key} {object} {error}")),
    };
    let (sink, mut messages) = mpsc::channel(8);
    let endless = futures::stream::iter(events).chain(futures::stream::pending());
    let following = tokio::spawn(follow(endless.boxed(), reading, sink));
    for expected in ["a", "b gone", "b 7 no map", "all told"] {
        assert_eq!(messages.recv().await.as_deref(), Some(expected));
    }
    following.abort();
}
