//! Objects of a mock API server become facts.

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::pair;

use egret_crds::settings::Settings;

use super::*;

/// What the feed tells of an object of the API.
pub(crate) fn told(path: &str, object: &Value) -> Message {
    if path.starts_with("egresses/") {
        egress(serde_json::from_value(object.clone()).unwrap())
    } else {
        pool(serde_json::from_value(object.clone()).unwrap())
    }
}

/// What is told of a list of objects.
async fn told_of(
    items: &Value,
    follow: impl FnOnce(Client, Sink) -> tokio::task::JoinHandle<()>,
) -> Vec<String> {
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let (sink, mut messages) = mpsc::channel(16);
    let task = follow(Client::new(service, "default"), sink);
    let mut server = Box::pin(server);
    let (_, send) = server.next_request().await.expect("a list");
    let list = json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string();
    send.send_response(Response::new(Body::from(list.into_bytes())));
    let mut lines = Vec::new();
    loop {
        match messages.recv().await.expect("the feed does not end") {
            Message::Synced(_) => break,
            Message::Fact(fact) => lines.push(format!("{fact:?}")),
            Message::Facts(facts) => lines.extend(facts.iter().map(|fact| format!("{fact:?}"))),
            Message::Egress(fact, _) => lines.push(fact.name.to_string()),
            Message::Pool(fact, _) => lines.push(fact.name.to_string()),
            Message::Configured => {}
        }
    }
    task.abort();
    lines
}

#[tokio::test]
async fn an_egress_that_does_not_decode_hides_no_other() {
    let items = json!([
        {"metadata": {"name": "bad", "resourceVersion": "1"}, "spec": 7},
        {"metadata": {"name": "good", "resourceVersion": "1"}, "spec": {"appliedTo": {}}},
    ]);
    let lines = told_of(&items, |client, sink| tokio::spawn(egresses(client, sink))).await;
    assert_eq!(lines, ["bad", "good"]);
}

#[test]
fn of_an_egress_that_does_not_decode_its_address_and_its_holder_are_known_and_what_is_wrong() {
    let object = json!({"metadata": {"name": "web", "finalizers": ["egret.dev/egress-ip"]},
        "spec": {"appliedTo": {}, "egressIP": "10.0.0.1", "externalIPPool": "prod", "priority": "high"},
        "status": {"egressIP": "10.0.0.1", "egressNode": "node-1"}});
    let Message::Egress(fact, _) = malformed_egress(&object, "no") else {
        panic!("nothing is told")
    };
    assert_eq!(fact.problems.as_deref(), Some("no"));
    assert_eq!(fact.ip, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(fact.pool, Some("prod".into()));
    assert_eq!(fact.status.node, Some("node-1".into()));
    assert!(fact.has_finalizer);
}

#[tokio::test]
async fn a_pool_that_does_not_decode_is_known_to_exist() {
    let items = json!([{"metadata": {"name": "bad", "resourceVersion": "1"}, "spec": 7}]);
    let lines = told_of(&items, |client, sink| tokio::spawn(pools(client, sink))).await;
    assert_eq!(lines, [r#"PoolUnreadable("bad")"#]);
}

#[tokio::test]
async fn a_nodes_report_tells_whether_it_is_fit_and_what_is_overlapped_there() {
    let report = |status: &str| {
        json!({"type": "Ready", "status": status, "reason": "r", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let items = json!([
        {"metadata": {"name": "n1"}, "status": {"conditions": [report("True")], "overlapped": ["a"]}},
        {"metadata": {"name": "n2"}, "status": {"conditions": [report("False")]}},
    ]);
    let lines = told_of(&items, |client, sink| {
        tokio::spawn(egress_nodes(client, Reported::default(), sink))
    })
    .await;
    let facts = |node: &str, is_fit: bool, egresses: &[&str]| {
        let egresses = egresses.iter().map(|name| (*name).into()).collect();
        let node = || node.into();
        let (fitness, overlapped) = (
            Fact::NodeFitness {
                node: node(),
                is_fit,
            },
            Fact::Overlapped {
                node: node(),
                egresses,
            },
        );
        [format!("{fitness:?}"), format!("{overlapped:?}")]
    };
    assert_eq!(
        lines,
        [facts("n1", true, &["a"]), facts("n2", false, &[])].concat()
    );
}

#[tokio::test]
async fn nodes_are_told_with_the_limit_that_is_in_force_and_again_when_that_changes() {
    let configured = |enabled, max_egress_ips_per_node| Configuration {
        in_force: Some(Settings {
            enabled,
            max_egress_ips_per_node,
            ..Settings::default()
        }),
        ..Configuration::default()
    };
    let node = |name: &str, annotations: Value| {
        let node = json!({"metadata": {"name": name, "annotations": annotations}});
        Event::Applied(serde_json::from_value::<Node>(node).unwrap())
    };
    let told = |messages: Vec<Message>| -> Vec<String> {
        let told = messages.into_iter().map(|message| match message {
            Message::Fact(Fact::Node(node)) => format!("{} {}", node.name, node.max_egress_ips),
            Message::Fact(fact) => format!("{fact:?}"),
            Message::Configured => "configured".to_owned(),
            other => panic!("{other:?}"),
        });
        told.collect()
    };
    let mut nodes = Nodes::default();
    assert_eq!(told(nodes.configured(&Configuration::default())), [""; 0]);
    let first = told(nodes.configured(&configured(true, 7)));
    assert_eq!(first, ["Off(false)", "configured"]);
    assert_eq!(told(nodes.take(node("n1", json!({})))), ["n1 7"]);
    let own = json!({"node.antrea.io/max-egress-ips": "3"});
    assert_eq!(told(nodes.take(node("n2", own))), ["n2 3"]);
    let off = told(nodes.configured(&configured(false, 7)));
    assert_eq!(off, ["Off(true)", "configured"]);
    let now = told(nodes.configured(&configured(true, 9)));
    assert_eq!(now, ["Off(false)", "n1 9", "configured"]);
    nodes.take(Event::Deleted(Key {
        namespace: None,
        name: "n1".to_owned(),
    }));
    let now = told(nodes.configured(&configured(true, 8)));
    assert_eq!(now, ["Off(false)", "configured"]);
}

#[tokio::test]
async fn nodes_are_seen_while_no_settings_are_in_force_and_told_again_with_the_limit_when_some_are()
{
    let (told, configuration) = tokio::sync::watch::channel(Configuration::default());
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let (sink, mut messages) = mpsc::channel(16);
    let client = Client::new(service, "default");
    let task = tokio::spawn(nodes(client, configuration, sink));
    let mut server = Box::pin(server);
    let (_, send) = server.next_request().await.expect("a list");
    let list =
        json!({"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "n1"}}]});
    send.send_response(Response::new(Body::from(list.to_string().into_bytes())));
    let mut next = async || messages.recv().await.expect("the feed does not end");
    let seen = next().await;
    assert!(matches!(seen, Message::Fact(Fact::Node(_))), "{seen:?}");
    let seen = next().await;
    assert!(matches!(seen, Message::Synced(Source::Nodes)), "{seen:?}");
    told.send_replace(Configuration {
        in_force: Some(Settings::default()),
        ..Configuration::default()
    });
    assert!(matches!(next().await, Message::Fact(Fact::Off(false))));
    let seen = next().await;
    let Message::Fact(Fact::Node(node)) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(node.max_egress_ips, 255);
    assert!(matches!(next().await, Message::Configured));
    task.abort();
}
