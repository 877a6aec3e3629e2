//! An API server that stores just enough: it carries out patches and tells the operator of every change.

use std::future::pending;
use std::pin::Pin;

use egret_crds::manager::OPERATOR;
use egret_runtime::live::Liveness;
use egret_runtime::ready::Readiness;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tower_test::mock::{Handle, pair};

use super::*;
use crate::events::{self, Happening};
use crate::feed::tests::told;

/// The server, and an operator that talks to it.
pub(super) struct Api {
    objects: BTreeMap<String, Value>,
    failures: BTreeMap<String, (u16, usize)>,
    version: u64,
    sink: mpsc::Sender<Message>,
    server: Pin<Box<Handle<Request<Body>, Response<Body>>>>,
    pub(super) readiness: Readiness,
    pub(super) liveness: Liveness,
    registry: Registry,
    lead: watch::Sender<bool>,
    pub(super) others: Others,
    happenings: mpsc::Receiver<Happening>,
}

impl Api {
    /// An operator that leads as soon as it is able to.
    pub(super) fn new() -> Self {
        let (api, able) = Self::following();
        let lead = api.lead.clone();
        tokio::spawn(async move {
            if able.await.is_ok() {
                lead.send_replace(true);
            }
        });
        api
    }

    /// An operator that is not told to lead, and whether it could.
    pub(super) fn following() -> (Self, oneshot::Receiver<()>) {
        let (service, server) = pair();
        let (events, happenings) = events::queue(Metrics::default());
        let writer = Writer::new(Client::new(service, "default"), events);
        let readiness = Readiness::default();
        let (sink, messages) = mpsc::channel(64);
        let ready = readiness.wait_for("everything");
        let liveness = Liveness::default();
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let pulse = liveness.pulse("reconciler");
        let (lead, is_lead) = watch::channel(false);
        let (able, is_able) = oneshot::channel();
        let seen = Seen { ready, able };
        let others = Others::default();
        let lead_of = (is_lead, others.clone());
        let reconciler = Reconciler::new(writer, metrics, lead_of, seen, pulse);
        tokio::spawn(reconciler.run(messages, pending()));
        let api = Self {
            objects: BTreeMap::new(),
            failures: BTreeMap::new(),
            version: 1,
            sink,
            server: Box::pin(server),
            readiness,
            liveness,
            registry,
            lead,
            others,
            happenings,
        };
        (api, is_able)
    }

    /// The operator is told that it leads, or that it does not any more.
    pub(super) async fn lead(&self, leads: bool) {
        self.lead.send_replace(leads);
        // It has heard of it.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    /// What people have heard since the last call: of which object, and the reason.
    pub(super) fn heard(&mut self) -> Vec<(String, &'static str)> {
        let heard = std::iter::from_fn(|| self.happenings.try_recv().ok());
        heard
            .map(|heard| (heard.regarding.name.unwrap_or_default(), heard.reason))
            .collect()
    }

    /// The same objects, seen by an operator that has just started.
    pub(super) async fn restarted(self) -> Self {
        let api = Self {
            objects: self.objects,
            version: self.version,
            ..Self::new()
        };
        api.tell(Message::Configured).await;
        api.tell(node("node-1")).await;
        for path in api.objects.keys().cloned().collect::<Vec<_>>() {
            api.tell_of(&path).await;
        }
        for source in Source::all() {
            api.tell(Message::Synced(source)).await;
        }
        api
    }

    pub(super) async fn tell(&self, message: Message) {
        self.sink.send(message).await.expect("the operator runs");
    }

    pub(super) async fn tell_of(&self, path: &str) {
        self.tell(told(path, &self.objects[path])).await;
    }

    /// The metrics as they are read.
    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    pub(super) fn object(&self, plural: &str, name: &str) -> Value {
        self.objects[&format!("{plural}/{name}")].clone()
    }

    pub(super) async fn create(&mut self, plural: &str, name: &str, spec: &Value) {
        let object = json!({"metadata": {"name": name, "uid": name, "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec});
        self.objects.insert(format!("{plural}/{name}"), object);
        self.edit(plural, name, |_| {}).await;
    }

    /// A user writes the spec anew.
    pub(super) async fn replace(&mut self, plural: &str, name: &str, spec: &Value) {
        self.edit(plural, name, |object| {
            object["spec"] = spec.clone();
            object["metadata"]["managedFields"] = json!([]);
            object["metadata"]["generation"] = json!(5);
        })
        .await;
    }

    /// Somebody changes an object.
    pub(super) async fn edit(&mut self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let path = format!("{plural}/{name}");
        self.edit_unseen(&path, change);
        self.tell_of(&path).await;
    }

    /// Somebody changes an object, and the operator has not been told yet.
    pub(super) fn edit_unseen(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        self.version += 1;
        let object = self.objects.get_mut(path).expect("an object of the test");
        change(object);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    /// Refuses writes to this path, so many times.
    pub(super) fn fail(&mut self, path: &str, status: u16, times: usize) {
        self.failures.insert(path.to_owned(), (status, times));
    }

    /// Serves what the operator writes until it has been quiet for so long. Gives what was written where.
    pub(super) async fn serve_all(&mut self, quiet: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < 100
            && let Some(line) = self.next(quiet).await
        {
            lines.push(line);
        }
        lines
    }

    /// The versions of all Egresses.
    fn versions(&self) -> Body {
        let egresses = self.objects.iter();
        let egresses = egresses.filter(|(path, _)| path.starts_with("egresses/"));
        let items: Vec<_> = egresses
            .map(|(_, egress)| json!({"metadata": egress["metadata"]}))
            .collect();
        Body::from(
            json!({"metadata": {}, "items": items})
                .to_string()
                .into_bytes(),
        )
    }

    /// Serves one write, if it comes in time.
    pub(super) async fn next(&mut self, within: Duration) -> Option<String> {
        let (request, send) = loop {
            let request = timeout(within, self.server.next_request()).await.ok()?;
            let (request, send) = request.expect("the operator runs");
            if request.method() != "GET" {
                break (request, send);
            }
            send.send_response(Response::new(self.versions()));
        };
        let path = request
            .uri()
            .path()
            .rsplit("v1beta1/")
            .next()
            .unwrap_or_default()
            .to_owned();
        let is_apply = request.headers()["content-type"] == "application/apply-patch+yaml";
        let body = request.into_body().collect_bytes().await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("a patch");
        let (status, answer) = match self.failure(&path) {
            Some(code) => (
                code,
                json!({"kind": "Status", "status": "Failure", "code": code,
                "reason": if code == 409 { "Conflict" } else { "InternalError" }, "message": "no"}),
            ),
            None => (
                200,
                self.patch(path.trim_end_matches("/status"), &body, is_apply)
                    .await,
            ),
        };
        let answer = Body::from(answer.to_string().into_bytes());
        send.send_response(
            Response::builder()
                .status(status)
                .body(answer)
                .expect("an answer"),
        );
        Some(path)
    }

    fn failure(&mut self, path: &str) -> Option<u16> {
        let (status, times) = self.failures.get_mut(path)?;
        *times = times.checked_sub(1)?;
        Some(*status)
    }

    async fn patch(&mut self, at: &str, patch: &Value, is_apply: bool) -> Value {
        let (plural, name) = at.split_once('/').expect("an object");
        self.edit(plural, name, |object| {
            if patch["spec"] != Value::Null {
                object["metadata"]["generation"] = json!(2);
                object["metadata"]["managedFields"] = json!([{"manager": OPERATOR,
                    "operation": "Apply", "fieldsV1": {"f:spec": {"f:egressIP": {}}}}]);
            }
            if is_apply && patch["status"] != Value::Null {
                // An owned field that is no longer applied goes.
                object["status"]["candidates"] = json!([]);
            }
            if !is_apply {
                object["metadata"]["finalizers"] = json!([]);
            }
            merge(object, patch);
        })
        .await;
        self.object(plural, name)
    }
}

/// Puts the patch's values in place; lists as a whole.
fn merge(object: &mut Value, patch: &Value) {
    let (Some(fields), true) = (patch.as_object(), !object.is_array()) else {
        object.clone_from(patch);
        return;
    };
    for (name, value) in fields {
        merge(&mut object[name], value);
    }
}
