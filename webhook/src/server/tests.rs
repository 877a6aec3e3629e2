//! Questions as the API server sends them, against a small cluster.

mod accepted;
mod hostile;
mod refused;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Bytes, to_bytes};
use axum::http::Request as HttpRequest;
use egret_domain::admission::Fact;
use http::Response as HttpResponse;
use kube::client::Body as KubeBody;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower::service_fn;

use super::*;

/// The cluster, once as the cache knows it and once as the API server has it.
struct Cluster {
    cache: Cache,
    readiness: Readiness,
    stored: Arc<Mutex<BTreeMap<String, Value>>>,
    metrics: Registry,
    sources: Sources,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    status: StatusCode,
    body: Value,
}

impl Told {
    fn response(&self) -> &Value {
        &self.body["response"]
    }

    fn is_allowed(&self) -> bool {
        self.status == StatusCode::OK && self.response()["allowed"] == json!(true)
    }

    fn message(&self) -> String {
        let message = &self.response()["status"]["message"];
        message.as_str().unwrap_or_default().to_owned()
    }

    fn code(&self) -> u64 {
        self.response()["status"]["code"]
            .as_u64()
            .unwrap_or_default()
    }

    fn warnings(&self) -> Vec<String> {
        serde_json::from_value(self.response()["warnings"].clone()).unwrap_or_default()
    }

    fn patch(&self) -> Value {
        let bytes = &self.response()["patch"];
        let bytes: k8s_openapi::ByteString = serde_json::from_value(bytes.clone()).unwrap();
        serde_json::from_slice(&bytes.0).unwrap()
    }
}

fn object(kind: &str, name: &str, spec: &str) -> Value {
    let spec: Value = serde_json::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn egress(name: &str, spec: &str) -> Value {
    object("Egress", name, spec)
}

fn pool(name: &str, spec: &str) -> Value {
    object("ExternalIPPool", name, spec)
}

fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let about = if object.is_null() { old } else { object };
    let (group, version) = about["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": group, "version": version, "kind": about["kind"]},
            "resource": {"group": group, "version": version, "resource": "egresses"},
            "name": about["metadata"]["name"], "operation": operation,
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": object, "oldObject": old, "dryRun": false, "options": {},
        },
    })
}

impl Cluster {
    /// One node, pool `prod` of which Egress `web` has an address, and pool `edge`.
    fn small() -> Self {
        let cluster = Self::empty();
        cluster.cache.note(Fact::Node(Box::new(node())));
        cluster.store(pool(
            "prod",
            r#"{"ipRanges": [{"start": "10.10.0.2", "end": "10.10.0.10"}, {"cidr": "10.10.1.0/28"}],
                "exclude": ["10.10.0.5"]}"#,
        ));
        cluster.store(pool("edge", r#"{"ipRanges": [{"cidr": "10.20.0.0/30"}]}"#));
        cluster.store(egress(
            "web",
            r#"{"appliedTo": {"podSelector": {"matchLabels": {"app": "web"}}},
                "externalIPPool": "prod", "egressIP": "10.10.0.3"}"#,
        ));
        cluster
    }

    fn empty() -> Self {
        let stored: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        let answers = stored.clone();
        let service = service_fn(move |request: HttpRequest<KubeBody>| {
            let path = request.uri().path().to_owned();
            let found = found(&answers.lock().unwrap(), &path);
            let status =
                json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
            let code = if found.is_some() { 200 } else { 404 };
            let body = found.unwrap_or(status).to_string().into_bytes();
            let answer = HttpResponse::builder()
                .status(code)
                .body(KubeBody::from(body));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let mut metrics = Registry::default();
        let sources = Sources {
            cache: Cache::default(),
            readiness: Readiness::default(),
            client: Client::new(service, "default"),
            room: Room::default(),
            metrics: Metrics::registered(&mut metrics),
        };
        Self {
            cache: sources.cache.clone(),
            readiness: sources.readiness.clone(),
            stored,
            metrics,
            sources,
        }
    }

    /// Stores an object, and lets the cache know.
    fn store(&self, object: Value) {
        self.cache.note(crate::cache::tests::fact(&object));
        self.store_unseen(object);
    }

    /// Stores an object of which the cache does not know yet.
    fn store_unseen(&self, object: Value) {
        self.stored.lock().unwrap().insert(path(&object), object);
    }

    /// Deletes an object of whose end the cache does not know yet.
    fn delete_unseen(&self, object: &Value) {
        self.stored.lock().unwrap().remove(&path(object));
    }

    async fn send(&self, request: HttpRequest<Body>) -> Told {
        let answer = router(self.sources.clone()).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10 << 20).await.unwrap();
        let body =
            serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
        Told { status, body }
    }

    async fn ask(&self, path: &str, review: &Value) -> Told {
        self.send(posted(path, review.to_string())).await
    }

    async fn create(&self, object: &Value) -> Told {
        self.ask("/validate", &review("CREATE", object, &Value::Null))
            .await
    }

    async fn update(&self, old: &Value, new: &Value) -> Told {
        self.ask("/validate", &review("UPDATE", new, old)).await
    }

    async fn delete(&self, object: &Value) -> Told {
        self.ask("/validate", &review("DELETE", &Value::Null, object))
            .await
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text
    }
}

/// An object, or the list of all pools.
fn found(stored: &BTreeMap<String, Value>, path: &str) -> Option<Value> {
    if !path.ends_with("/externalippools") {
        return stored.get(path).cloned();
    }
    let pools = stored.iter().filter(|(at, _)| at.starts_with(path));
    let pools: Vec<_> = pools.map(|(_, pool)| pool).collect();
    Some(json!({"metadata": {}, "items": pools}))
}

fn path(object: &Value) -> String {
    let plural = match object["kind"].as_str().unwrap() {
        "Egress" => "egresses",
        _ => "externalippools",
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    format!("/apis/crd.antrea.io/v1beta1/{plural}/{name}")
}

fn node() -> egret_domain::node::ClusterNode {
    let object = json!({
        "metadata": {"name": "node-1", "labels": {"role": "gateway"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.10.0.101"}]},
    });
    egret_crds::cluster::cluster_node(&serde_json::from_value(object).unwrap(), 255)
}

fn posted(path: &str, body: impl Into<Body>) -> HttpRequest<Body> {
    HttpRequest::post(path)
        .header("Content-Type", "application/json")
        .body(body.into())
        .unwrap()
}
