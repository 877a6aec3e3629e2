//! An API server that stores just enough, and a clock that is set by hand.

use std::collections::BTreeMap;

use egret_runtime::watch;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tower_test::mock::pair;

use super::*;
use crate::events;

pub(super) const CONFIG: &str = "egret-system/configmaps/egret-config";
pub(super) const CONFIG_MAP: &str = "egret-system/configmaps/egret-agent";
pub(super) const SECRET: &str = "egret-system/secrets/egret-gossip";
pub(super) const DAEMON_SET: &str = "egret-system/daemonsets/egret-agent";
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Everything outside the operator.
struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    now: Timestamp,
    /// Keys that were made.
    keys: u8,
    /// What was written where.
    writes: Vec<String>,
    /// What people were told, for each operator.
    happenings: Vec<mpsc::Receiver<Happening>>,
    followers: Vec<(Receiver<Configuration>, Arc<Follower>)>,
}

/// A handle on it.
#[derive(Clone)]
pub(super) struct Api(Arc<Mutex<World>>);

impl Api {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            objects: BTreeMap::new(),
            version: 1,
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            keys: 0,
            writes: Vec::new(),
            happenings: Vec::new(),
            followers: Vec::new(),
        })))
    }

    /// An operator that has just started and has read its configuration.
    pub(super) async fn operator(&self) -> (Receiver<Configuration>, Keeper<Self>) {
        let (service, handle) = pair::<Request<Body>, Response<Body>>();
        let api = self.clone();
        tokio::spawn(async move {
            let mut handle = Box::pin(handle);
            while let Some((request, send)) = handle.next_request().await {
                send.send_response(api.answer(request).await);
            }
        });
        let client = Client::new(service, "default");
        let store = Store::new(&client, "egret-system");
        let place = watch::Key {
            namespace: Some("egret-system".to_owned()),
            name: "egret-config".to_owned(),
        };
        let (told, configuration) = tokio::sync::watch::channel(Configuration::default());
        let follower = Follower::new(store.clone(), place, told, Metrics::default());
        follower.look().await.unwrap();
        let follower = (configuration.clone(), Arc::new(follower));
        self.world(|world| world.followers.push(follower));
        let (events, happenings) = events::queue(Metrics::default());
        self.world(|world| world.happenings.push(happenings));
        let wish = Wish {
            image: Some("registry/egret-agent:1".to_owned()),
            max_unavailable: MaxUnavailable::Count(1),
        };
        let keeper = Keeper::new(
            events,
            store,
            wish,
            LIFETIME,
            self.clone(),
            configuration.clone(),
        );
        (configuration, keeper)
    }

    /// The operator reads its configuration again.
    pub(super) async fn follow(&self, operator: &Keeper<Self>) {
        let follower = self.world(|world| {
            let mut followers = world.followers.iter();
            let own = followers.find(|(told, _)| told.same_channel(&operator.configuration));
            own.unwrap().1.clone()
        });
        follower.look().await.unwrap();
    }

    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(super) fn object(&self, path: &str) -> Value {
        self.world(|world| world.objects.get(path).cloned().unwrap_or_default())
    }

    pub(super) fn put(&self, path: &str, object: &Value) {
        self.world(|world| world.put(path, object.clone()));
    }

    pub(super) fn delete(&self, path: &str) {
        self.world(|world| world.objects.remove(path));
    }

    /// Somebody changes an object.
    pub(super) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.object(path);
        change(&mut object);
        self.put(path, &object);
    }

    /// Somebody writes the agent's document of the configuration.
    pub(super) fn configure(&self, text: &str) {
        self.put(
            CONFIG,
            &json!({
                "metadata": {"name": "egret-config", "namespace": "egret-system"},
                "data": {"antrea-agent.conf": text},
            }),
        );
    }

    /// The agent of a node, which there is unless it is dead, reports these keys and whether it is clean.
    pub(super) fn report(&self, node: &str, keys: &[u8], is_clean: bool) {
        let keys: Vec<_> = keys
            .iter()
            .map(|byte| Key::new([*byte; 32]).digest())
            .collect();
        let reason = if is_clean {
            "Disabled"
        } else {
            "DatapathReady"
        };
        self.put(
            &format!("nodes/{node}"),
            &json!({"metadata": {"name": node}}),
        );
        self.put(&format!("egressnodes/{node}"), &json!({
            "metadata": {"name": node},
            "status": {"gossipKeys": keys, "conditions": [{"type": "Ready", "status": "False", "reason": reason,
                "message": "", "lastTransitionTime": "2026-06-01T00:00:00Z"}]},
        }));
    }

    pub(super) fn pass(&self, time: SignedDuration) {
        self.world(|world| world.now += time);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world(|world| world.now)
    }

    /// What was written since the last call.
    pub(super) fn written(&self) -> Vec<String> {
        self.world(|world| std::mem::take(&mut world.writes))
    }

    /// What people were told since the last call.
    pub(super) fn heard(&self) -> Vec<Happening> {
        self.world(|world| {
            let queues = world.happenings.iter_mut();
            queues
                .flat_map(|queue| std::iter::from_fn(|| queue.try_recv().ok()))
                .collect()
        })
    }

    pub(super) fn keys(&self) -> Keyring {
        let secret: Secret = serde_json::from_value(self.object(SECRET)).unwrap();
        Keyring::read(&secret.data.unwrap()["keys"].0).unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        // From the API's paths only the namespace, the plural and the name: no two kinds of the test share a plural.
        let mut path = parts.uri.path().to_owned();
        for group in ["/api/v1/", "/apis/apps/v1/", "/apis/egret.dev/v1alpha1/"] {
            path = path.replace(group, "");
        }
        let path = path.replace("namespaces/", "");
        let is_merge = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/merge-patch+json");
        let (status, answer) =
            self.world(|world| world.answer(&parts.method, &path, body, is_merge));
        let answer = Body::from(answer.to_string().into_bytes());
        Response::builder().status(status).body(answer).unwrap()
    }
}

impl Outside for Api {
    fn now(&self) -> Timestamp {
        self.now()
    }

    fn key(&self) -> Result<Key, Problem> {
        Ok(self.world(|world| {
            world.keys += 1;
            Key::new([world.keys; 32])
        }))
    }
}

impl World {
    fn answer(&mut self, method: &Method, path: &str, body: Value, is_merge: bool) -> (u16, Value) {
        let known = self.objects.get(path).cloned();
        if *method == Method::GET {
            return match known {
                Some(object) => (200, object),
                None if is_list(path) => (200, self.list(path)),
                None => failure(404, "NotFound"),
            };
        }
        let kind = path.trim_start_matches("egret-system/");
        self.writes.push(format!(
            "{method} {}",
            if *method == Method::POST { kind } else { path }
        ));
        // What is there is written only by whoever names it as it is.
        let named = match *method {
            Method::DELETE => &body["preconditions"],
            _ => &body["metadata"],
        };
        let stale = known.as_ref().is_some_and(|known| {
            let meta = &known["metadata"];
            named["resourceVersion"] != meta["resourceVersion"] || named["uid"] != meta["uid"]
        });
        match *method {
            Method::DELETE if stale => failure(409, "Conflict"),
            Method::DELETE => {
                self.objects.remove(path);
                (200, json!({"kind": "Status", "status": "Success"}))
            }
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists");
                }
                (200, self.put(&path, body))
            }
            _ if stale => failure(409, "Conflict"),
            Method::PATCH if is_merge => (200, self.put(path, merged(known.unwrap(), &body))),
            Method::PATCH => (
                200,
                self.put(path, applied(&known.unwrap_or_default(), body)),
            ),
            _ => (200, self.put(path, body)),
        }
    }

    fn list(&self, path: &str) -> Value {
        let below = format!("{path}/");
        let items = self
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with(&below));
        let items: Vec<_> = items.map(|(_, object)| object.clone()).collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
    }

    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["uid"] = json!(path);
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn is_list(path: &str) -> bool {
    let lists = ["configmaps", "nodes", "egressnodes"];
    lists.iter().any(|plural| path.ends_with(plural))
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": "no"});
    (code, status)
}

/// The object after a merge patch of its data.
fn merged(mut object: Value, patch: &Value) -> Value {
    let data = object["data"].as_object_mut().unwrap();
    for (name, value) in patch["data"].as_object().unwrap() {
        assert!(value.is_null());
        data.remove(name);
    }
    object
}

/// The object that an applied configuration makes where nobody else owns a field, but for data that others have added.
fn applied(before: &Value, mut body: Value) -> Value {
    let mut owned = body.clone();
    for field in ["apiVersion", "kind"] {
        owned.as_object_mut().unwrap().remove(field);
    }
    for field in ["name", "uid", "resourceVersion"] {
        owned["metadata"].as_object_mut().unwrap().remove(field);
    }
    for (name, value) in before["data"].as_object().into_iter().flatten() {
        let data = body["data"].as_object_mut().unwrap();
        data.entry(name.clone()).or_insert(value.clone());
    }
    body["metadata"]["managedFields"] = json!([{"manager": crate::write::MANAGER,
        "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields(&owned)}]);
    body
}

/// Which fields these are, as the API server notes them; a list is one.
fn fields(value: &Value) -> Value {
    let below = value.as_object().into_iter().flatten();
    let fields: Map<String, Value> = below
        .map(|(name, value)| (format!("f:{name}"), fields(value)))
        .collect();
    Value::Object(fields)
}
