//! What is sent, against a mock API server, for each state of the owned fields.

use http::{Request, Response};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use kube::Client;
use kube::client::Body;
use tower_test::mock::pair;

use super::*;

const STATUS: How = How {
    manager: "egret",
    part: Part::Status,
    force: true,
    if_unchanged: false,
};

/// An object in which the manager owns these fields of the status, in `FieldsV1`.
fn owning(fields: Value) -> ObjectMeta {
    let entry = ManagedFieldsEntry {
        manager: Some("egret".to_owned()),
        operation: Some("Apply".to_owned()),
        subresource: Some("status".to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..ManagedFieldsEntry::default()
    };
    ObjectMeta {
        managed_fields: Some(vec![entry]),
        ..ObjectMeta::default()
    }
}

/// Owns `status.candidates` as a whole and one condition.
fn owner() -> ObjectMeta {
    owning(json!({"f:status": {"f:candidates": {}, "f:conditions":
        {"k:{\"type\":\"Ready\"}": {".": {}, "f:type": {}, "f:status": {}}}}}))
}

fn current() -> Value {
    json!({"status": {"egressNode": "of another manager", "candidates": ["a", "b"], "conditions": [
        {"type": "IPAssigned", "status": "False"}, {"type": "Ready", "status": "True"}]}})
}

fn wanted(candidates: &[&str], conditions: &Value) -> Value {
    json!({"status": {"candidates": candidates, "conditions": conditions}})
}

fn ready(status: &str) -> Value {
    json!([{"type": "Ready", "status": status}])
}

#[test]
fn nothing_to_apply_when_the_owned_fields_have_the_wanted_values() {
    assert!(is_applied(
        &owner(),
        &current(),
        &wanted(&["a", "b"], &ready("True")),
        STATUS
    ));
}

#[test]
fn apply_when_a_value_differs() {
    assert!(!is_applied(
        &owner(),
        &current(),
        &wanted(&["a", "b"], &ready("False")),
        STATUS
    ));
    assert!(!is_applied(
        &owner(),
        &current(),
        &wanted(&["b", "a"], &ready("True")),
        STATUS
    ));
}

#[test]
fn apply_when_a_field_is_not_yet_owned() {
    let assigned =
        json!([{"type": "Ready", "status": "True"}, {"type": "IPAssigned", "status": "False"}]);
    assert!(!is_applied(
        &owner(),
        &current(),
        &wanted(&["a", "b"], &assigned),
        STATUS
    ));
}

#[test]
fn apply_when_an_owned_field_is_no_longer_wanted() {
    assert!(!is_applied(
        &owner(),
        &current(),
        &json!({"status": {"candidates": ["a", "b"]}}),
        STATUS
    ));
    assert!(!is_applied(&owner(), &current(), &json!({}), STATUS));
}

#[test]
fn apply_when_the_fields_are_owned_in_another_part_only() {
    let how = How {
        part: Part::Object,
        ..STATUS
    };
    assert!(!is_applied(
        &owner(),
        &current(),
        &wanted(&["a", "b"], &ready("True")),
        how
    ));
}

#[test]
fn wanting_nothing_of_an_object_in_which_nothing_is_owned_changes_nothing() {
    assert!(is_applied(
        &ObjectMeta::default(),
        &current(),
        &json!({}),
        STATUS
    ));
}

#[test]
fn members_of_a_set_are_compared_without_their_order() {
    let owner = owning(json!({"f:status": {"f:ips": {"v:\"1\"": {}, "v:\"2\"": {}}}}));
    let current = json!({"status": {"ips": ["1", "2", "3"]}});
    assert!(is_applied(
        &owner,
        &current,
        &json!({"status": {"ips": ["2", "1"]}}),
        STATUS
    ));
    assert!(!is_applied(
        &owner,
        &current,
        &json!({"status": {"ips": ["2", "3"]}}),
        STATUS
    ));
}

fn node() -> Node {
    let metadata = ObjectMeta {
        name: Some("n".to_owned()),
        uid: Some("u".to_owned()),
        resource_version: Some("7".to_owned()),
        ..ObjectMeta::default()
    };
    Node {
        metadata,
        ..Node::default()
    }
}

/// What is sent for one application to the node `n`: its address and its body.
async fn sent(current: Option<Node>, how: How) -> (String, Value) {
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let api: Api<Node> = Api::all(Client::new(service, "default"));
    let mut server = Box::pin(server);
    let serve = async {
        let (request, send) = server.next_request().await.unwrap();
        let uri = request.uri().to_string();
        let body = request.into_body().collect_bytes().await.unwrap();
        let node = serde_json::to_vec(&node()).unwrap();
        send.send_response(Response::new(Body::from(node)));
        (uri, serde_json::from_slice(&body).unwrap())
    };
    let wanted = json!({"metadata": {"labels": {"a": "b"}}});
    let (written, sent) = tokio::join!(apply(&api, "n", current.as_ref(), &wanted, how), serve);
    assert!(written.unwrap().is_some());
    sent
}

#[tokio::test]
async fn the_status_goes_to_its_subresource_under_the_managers_name() {
    let (uri, _) = sent(Some(node()), STATUS).await;
    assert!(uri.starts_with("/api/v1/nodes/n/status?"), "{uri}");
    assert!(
        uri.contains("fieldManager=egret") && uri.contains("force=true"),
        "{uri}"
    );
}

#[tokio::test]
async fn an_object_that_was_read_is_named_by_its_uid_and_on_request_by_its_version() {
    let meta = |version| json!({"name": "n", "uid": "u", "labels": {"a": "b"}, "resourceVersion": version});
    let how = How {
        if_unchanged: true,
        ..STATUS
    };
    assert_eq!(sent(Some(node()), how).await.1["metadata"], meta("7"));
    let free = sent(Some(node()), STATUS).await.1;
    assert_eq!(free["metadata"]["resourceVersion"], Value::Null);
}

#[tokio::test]
async fn a_new_object_is_named_by_kind_and_name() {
    let (uri, body) = sent(
        None,
        How {
            part: Part::Object,
            force: false,
            ..STATUS
        },
    )
    .await;
    assert!(uri.starts_with("/api/v1/nodes/n?"), "{uri}");
    assert_eq!(
        body,
        json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n", "labels": {"a": "b"}}})
    );
}
