//! The requests that decisions become, as a mock API server receives them.

use http::{Request, Response};
use kube::client::Body;
use tower_test::mock::pair;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn egress(extra: &Value) -> Egress {
    let mut object = json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress",
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "7",
            "finalizers": ["example.com/other", EGRESS_FINALIZER]},
        "spec": {"appliedTo": {}, "externalIPPool": "prod"}});
    object["status"] = extra.clone();
    serde_json::from_value(object).unwrap()
}

/// What is sent for one write: method and path, content type, and body.
async fn sent(write: EgressWrite, current: Egress) -> (String, String, Value) {
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let (events, _happenings) = crate::events::queue(crate::metrics::Metrics::default());
    let writer = Writer::new(Client::new(service, "default"), events);
    let answer = serde_json::to_vec(&current).unwrap();
    let mut server = Box::pin(server);
    let serve = async {
        let (request, send) = server.next_request().await.expect("a request");
        let line = format!("{} {}", request.method(), request.uri());
        let kind = request.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = request.into_body().collect_bytes().await.unwrap();
        send.send_response(Response::new(Body::from(answer)));
        (line, kind, serde_json::from_slice(&body).unwrap())
    };
    let (result, sent) = tokio::join!(writer.egress(&write, &current, NOW), serve);
    result.unwrap();
    sent
}

#[tokio::test]
async fn the_ip_and_the_finalizer_are_applied_together_under_the_operators_name() {
    let write = EgressWrite::Own {
        finalizer: true,
        ip: Some("10.10.0.11".parse().unwrap()),
    };
    let (line, kind, body) = sent(write, egress(&json!(null))).await;
    let path = "PATCH /apis/crd.antrea.io/v1beta1/egresses/a?";
    assert!(
        line.starts_with(path) && line.ends_with("&fieldManager=egret-operator"),
        "{line}"
    );
    assert_eq!(kind, "application/apply-patch+yaml");
    assert_eq!(
        body,
        json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "finalizers": [EGRESS_FINALIZER]},
            "spec": {"egressIP": "10.10.0.11"}})
    );
}

/// A client may own an empty string there.
#[tokio::test]
async fn an_ip_is_forced_only_where_the_object_as_it_was_read_has_none() {
    let own = |ip: Option<&str>| EgressWrite::Own {
        finalizer: true,
        ip: ip.map(|ip| ip.parse().unwrap()),
    };
    let (line, _, body) = sent(own(Some("10.10.0.11")), egress(&json!(null))).await;
    assert!(line.contains("force=true"), "{line}");
    assert_eq!(body["metadata"]["resourceVersion"], "7");
    let mut given = egress(&json!(null));
    given.spec.egress_ip = Some("10.10.0.12".to_owned());
    for ip in [None, Some("10.10.0.12")] {
        let (line, ..) = sent(own(ip), given.clone()).await;
        assert!(!line.contains("force"), "{line}");
    }
}

#[tokio::test]
async fn the_status_holds_the_operators_fields_only() {
    let conditions = vec![Condition {
        kind: egret_domain::condition::Type::Ready,
        is_true: false,
        reason: "NotAssigned",
        message: "m".to_owned(),
        observed_generation: 3,
    }];
    let write = EgressWrite::Status {
        candidates: vec!["n1".into(), "n2".into()],
        conditions,
    };
    let (line, _, body) = sent(write, egress(&json!({"egressNode": "n1"}))).await;
    assert!(
        line.starts_with("PATCH /apis/crd.antrea.io/v1beta1/egresses/a/status?"),
        "{line}"
    );
    assert_eq!(
        body["status"],
        json!({"candidates": ["n1", "n2"], "conditions": [{"type": "Ready", "status": "False",
            "reason": "NotAssigned", "message": "m", "observedGeneration": 3,
            "lastTransitionTime": "1970-01-01T00:00:00Z"}]})
    );
}

#[tokio::test]
async fn a_finalizer_is_taken_away_only_from_the_object_that_was_decided_on() {
    let (_, kind, body) = sent(EgressWrite::Release, egress(&json!(null))).await;
    assert_eq!(kind, "application/merge-patch+json");
    assert_eq!(
        body,
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "finalizers": ["example.com/other"]}})
    );
}

#[tokio::test]
async fn a_holder_that_is_gone_is_cleared_and_the_assignment_says_why() {
    let condition = |kind: &str, status: &str, reason: &str, since: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "m",
            "observedGeneration": 3, "lastTransitionTime": since})
    };
    let (before, ready) = (
        "1960-01-01T00:00:00Z",
        condition("Ready", "True", "r", "1960-01-01T00:00:00Z"),
    );
    let assigned = condition("IPAssigned", "True", "Assigned", before);
    let status =
        json!({"egressNode": "n1", "egressIP": "10.10.0.11", "conditions": [assigned, ready]});
    let write = EgressWrite::ClearHolder {
        node: "n1".into(),
        because: Condition {
            kind: egret_domain::condition::Type::IpAssigned,
            is_true: false,
            reason: "NodeUnreachable",
            message: "m".to_owned(),
            observed_generation: 3,
        },
    };
    let (line, _, body) = sent(write, egress(&status)).await;
    assert!(line.contains("/egresses/a/status?"), "{line}");
    let said = condition(
        "IPAssigned",
        "False",
        "NodeUnreachable",
        "1970-01-01T00:00:00Z",
    );
    assert_eq!(
        body,
        json!({"metadata": {"uid": "u", "resourceVersion": "7"},
            "status": {"egressNode": null, "egressIP": null, "conditions": [ready, said]}})
    );
}
