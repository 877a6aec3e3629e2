//! The end of an installation, against a mock API server.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::pair;

use super::*;

type Writes = Arc<Mutex<Vec<String>>>;

/// An API server that has no definitions of Egret's any more, no Pods, and everything that was guarded.
fn at_the_end() -> (Client, Writes) {
    let (service, server) = pair::<Request<Body>, Response<Body>>();
    let written = Writes::default();
    let told = Arc::clone(&written);
    tokio::spawn(async move {
        let mut server = Box::pin(server);
        while let Some((request, send)) = server.next_request().await {
            let path = request.uri().path().to_owned();
            let method = request.method().clone();
            let body = request.into_body().collect_bytes().await.unwrap();
            if method == Method::PATCH {
                let sent: Value = serde_json::from_slice(&body).unwrap();
                let left = &sent["metadata"]["finalizers"];
                told.lock().unwrap().push(format!("{path} {left}"));
            }
            send.send_response(answer(&path));
        }
    });
    (Client::new(service, "default"), written)
}

fn answer(path: &str) -> Response<Body> {
    let json = |value: Value| Response::new(Body::from(value.to_string().into_bytes()));
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "egresses" | "externalippools" => {
            let text = Body::from(b"404 page not found\n".to_vec());
            Response::builder().status(404).body(text).unwrap()
        }
        "pods" => json(json!({"metadata": {}, "items": []})),
        "egret-system" => json(json!({"metadata": {
            "name": name, "deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        _ => json(json!({"apiVersion": "v1", "kind": "Any", "metadata": {
            "name": name, "uid": "u", "resourceVersion": "7",
            "finalizers": ["example.com/other", FINALIZER]}})),
    }
}

#[tokio::test(start_paused = true)]
async fn without_definitions_and_pods_all_is_let_go_at_once_and_the_own_account_last() {
    let (client, written) = at_the_end();
    let begin = Instant::now();
    leave(client).await;
    assert!(begin.elapsed() < EVERY, "{:?}", begin.elapsed());
    let (rbac, core) = (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/egret-system",
        "/api/v1/namespaces/egret-system",
    );
    let left = r#"["example.com/other"]"#;
    assert_eq!(
        *written.lock().unwrap(),
        [
            format!("{core}/serviceaccounts/egret-agent {left}"),
            format!("{rbac}/rolebindings/egret-operator {left}"),
            format!("{rbac}/roles/egret-operator {left}"),
            format!("{core}/serviceaccounts/egret-operator {left}"),
        ]
    );
}
