//! An API server that stores what agents apply, with its owners, and notes every write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};
use tower_test::mock::pair;

#[derive(Debug, Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    /// Where was written, in order.
    writes: Vec<String>,
    made: usize,
}

/// A handle on it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored(Arc<Mutex<State>>);

impl Stored {
    /// One that has a Node of this name and UID.
    pub(crate) fn with_node(name: &str, uid: &str) -> Self {
        let stored = Self::default();
        stored.set_node(name, uid);
        stored
    }

    /// A Node of this name is there, perhaps in the place of another.
    pub(crate) fn set_node(&self, name: &str, uid: &str) {
        let node = json!({"metadata": {"name": name, "uid": uid}});
        let objects = &mut self.0.lock().unwrap().objects;
        objects.insert(format!("/api/v1/nodes/{name}"), node);
    }

    pub(crate) fn client(&self) -> Client {
        let (service, handle) = pair::<Request<Body>, Response<Body>>();
        let stored = self.clone();
        tokio::spawn(async move {
            let mut handle = Box::pin(handle);
            while let Some((request, send)) = handle.next_request().await {
                send.send_response(stored.answer(request).await);
            }
        });
        Client::new(service, "default")
    }

    /// The object whose path ends so.
    pub(crate) fn object(&self, path: &str) -> Value {
        let state = self.0.lock().unwrap();
        let mut objects = state.objects.iter();
        let found = objects.find(|(stored, _)| stored.ends_with(path));
        found.map_or(Value::Null, |(_, object)| object.clone())
    }

    pub(crate) fn remove(&self, path: &str) {
        let objects = &mut self.0.lock().unwrap().objects;
        objects.retain(|stored, _| !stored.ends_with(path));
    }

    /// Where was written since this was asked last.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let is_write = request.method() == Method::PATCH;
        let body = request.into_body().collect_bytes().await.expect("a body");
        let mut state = self.0.lock().unwrap();
        let answer = if is_write {
            let body = serde_json::from_slice(&body).expect("an object");
            state.apply(&path, &body)
        } else {
            state.read(&path)
        };
        let (code, answer) = answer.map_or_else(|code| (code, refusal(code)), |found| (200, found));
        let body = Body::from(answer.to_string().into_bytes());
        Response::builder()
            .status(code)
            .body(body)
            .expect("an answer")
    }
}

fn refusal(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no"})
}

impl State {
    fn read(&self, path: &str) -> Result<Value, u16> {
        if path.ends_with("/nodes") {
            let nodes = self.objects.iter();
            let nodes = nodes.filter(|(stored, _)| stored.starts_with(path));
            let nodes: Vec<_> = nodes.map(|(_, node)| node).collect();
            return Ok(json!({"metadata": {}, "items": nodes}));
        }
        self.objects.get(path).cloned().ok_or(404)
    }

    fn apply(&mut self, path: &str, body: &Value) -> Result<Value, u16> {
        let (at, part) = match path.strip_suffix("/status") {
            Some(at) => (at, "status"),
            None => (path, "spec"),
        };
        let uid = self
            .objects
            .get(at)
            .map(|found| found["metadata"]["uid"].clone());
        if body["metadata"]["uid"] != Value::Null && uid.as_ref() != Some(&body["metadata"]["uid"])
        {
            return Err(409);
        }
        self.writes.push(path.to_owned());
        self.made += 1;
        let made = format!("made-{}", self.made);
        let object = self.objects.entry(at.to_owned()).or_insert_with(|| {
            let mut object = body.clone();
            object["metadata"]["uid"] = json!(made);
            object["metadata"]["managedFields"] = json!([]);
            object
        });
        object[part] = body[part].clone();
        if let Some(owners) = object["metadata"]["managedFields"].as_array_mut() {
            let subresource = if part == "status" { "status" } else { "" };
            owners.retain(|owner| owner["subresource"] != subresource);
            let fields = json!({ format!("f:{part}"): fields_of(&body[part]) });
            owners.push(json!({"manager": "egret-agent", "operation": "Apply",
                "subresource": subresource, "fieldsV1": fields}));
        }
        Ok(object.clone())
    }
}

/// What is owned by who applies this: see `egret_runtime::apply`.
fn fields_of(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    let owned: Map<String, Value> = fields
        .map(|(name, value)| {
            let owned = match (name.as_str(), value.as_array()) {
                ("conditions", Some(items)) => items
                    .iter()
                    .map(|item| {
                        let key = json!({"type": item["type"]}).to_string();
                        (format!("k:{key}"), fields_of(item))
                    })
                    .collect(),
                _ => fields_of(value),
            };
            (format!("f:{name}"), owned)
        })
        .collect();
    Value::Object(owned)
}
