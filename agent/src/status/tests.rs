//! The patches of statuses.

use egret_runtime::live::Liveness;
use http::{Request, Response};
use kube::client::Body;
use serde_json::json;
use tower_test::mock::pair;

use super::*;

fn object(status: &Value) -> Egress {
    serde_json::from_value(json!({
        "apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress",
        "metadata": {"name": "web", "generation": 3},
        "spec": {"appliedTo": {}, "egressIP": "10.10.0.11"},
        "status": status,
    }))
    .unwrap()
}

fn packed(object: Egress) -> Arc<Packed<Egress>> {
    Arc::new(Packed::new(object, MANAGER))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 10, 0, 11));

#[test]
fn a_holder_writes_node_ip_and_condition() {
    assert_eq!(
        holds(&object(&json!({})), &"node-1".into(), IP, at(1_000_000_000)),
        json!({"status": {
            "egressNode": "node-1",
            "egressIP": "10.10.0.11",
            "conditions": [{
                "type": "IPAssigned", "status": "True", "reason": "Assigned",
                "message": "10.10.0.11 is on node-1", "observedGeneration": 3,
                "lastTransitionTime": "2001-09-09T01:46:40Z",
            }],
        }})
    );
}

#[test]
fn who_lets_go_clears_node_and_ip_whoever_has_written_them_and_leaves_other_conditions() {
    let ready = json!({"type": "Ready", "status": "True", "reason": "Assigned", "message": "",
        "observedGeneration": 2, "lastTransitionTime": "2001-09-09T01:46:40Z"});
    let assigned = json!({"type": "IPAssigned", "status": "True", "reason": "Assigned", "message": "",
        "lastTransitionTime": "2001-09-09T01:46:40Z"});
    let before = object(&json!({"egressNode": "node-1", "egressIP": "10.10.0.11",
        "conditions": [assigned, ready]}));
    let patch = let_go(&before, &"node-1".into(), at(0));
    let status = &patch["status"];
    assert!(status["egressNode"].is_null() && status["egressIP"].is_null());
    assert_eq!(status["conditions"][0], ready);
    assert_eq!(status["conditions"][1]["type"], "IPAssigned");
    assert_eq!(status["conditions"][1]["status"], "False");
    assert_eq!(status["conditions"].as_array().unwrap().len(), 2);
}

#[test]
fn the_time_of_the_condition_stays_while_it_is_true_on_one_node_after_another() {
    let before = object(&json!({"conditions": [{
        "type": "IPAssigned", "status": "True", "reason": "Assigned", "message": "on node-2",
        "observedGeneration": 2, "lastTransitionTime": "2001-09-09T01:46:40Z",
    }]}));
    let wanted = holds(&before, &"node-1".into(), IP, at(1_500_000_000));
    let condition = &wanted["status"]["conditions"][0];
    assert_eq!(condition["lastTransitionTime"], "2001-09-09T01:46:40Z");
    assert_eq!(condition["message"], "10.10.0.11 is on node-1");
}

#[test]
fn a_newer_wish_is_not_forgotten_when_an_older_one_is_fulfilled() {
    let statuses = Statuses::default();
    let (older, newer) = (packed(object(&json!({}))), packed(object(&json!({}))));
    statuses.set("web".into(), Some((older.clone(), Report::LetGo)));
    statuses.set("web".into(), Some((newer.clone(), Report::Holds(IP))));
    statuses.fulfilled(&"web".into(), &older);
    assert_eq!(statuses.get(&"web".into()).unwrap().1, Report::Holds(IP));
    statuses.fulfilled(&"web".into(), &newer);
    assert!(statuses.get(&"web".into()).is_none());
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_contradict_each_other_do_it_less_and_less_often() {
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let statuses = Statuses::default();
    let client = Client::new(service, "default");
    let metrics = Metrics::default();
    let pulse = Liveness::default().pulse("status writer");
    tokio::spawn(write(
        client,
        "node-1".into(),
        statuses.clone(),
        metrics,
        pulse,
    ));
    let mut server = Box::pin(server);
    let mut writes = 0;
    let contradicted = async {
        loop {
            let theirs = object(&json!({"egressNode": "node-2", "egressIP": "10.10.0.11"}));
            let answer = serde_json::to_vec(&theirs).unwrap();
            statuses.set("web".into(), Some((packed(theirs), Report::Holds(IP))));
            let (_, send) = server.next_request().await.expect("a write");
            send.send_response(Response::new(Body::from(answer)));
            writes += 1;
        }
    };
    let _ = tokio::time::timeout(Duration::from_mins(1), contradicted).await;
    assert!((3..12).contains(&writes), "{writes} writes in a minute");
}

#[test]
fn a_wish_that_does_not_hold_any_more_is_withdrawn() {
    let statuses = Statuses::default();
    statuses.set(
        "web".into(),
        Some((packed(object(&json!({}))), Report::Holds(IP))),
    );
    statuses.set("web".into(), None);
    assert!(statuses.names().is_empty());
}
