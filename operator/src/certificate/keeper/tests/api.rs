//! An API server that stores just enough, replicas that serve what they have read, and a clock that is set by hand.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};
use tower_test::mock::pair;

use super::super::super::plan::Validity;
use super::*;

pub(super) const LIFETIME: SignedDuration = SignedDuration::from_hours(30);

/// Everything outside the operator.
pub(super) struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    now: Timestamp,
    /// What each replica serves: the Secret as it has read it last.
    replicas: Vec<Secret>,
    /// Whether the operator cannot reach them.
    is_cut_off: bool,
    /// How often they were asked.
    asked: usize,
    /// What was written where.
    writes: Vec<String>,
    /// Whether it knows no conditions, as an old one.
    drops_conditions: bool,
    /// Requests by this method and path fail so, once.
    failure: Option<(&'static str, u16)>,
}

/// A handle on it.
#[derive(Clone)]
pub(super) struct Api(Arc<Mutex<World>>);

impl Api {
    pub(super) fn new() -> Self {
        let namespace = json!({"metadata": {"name": "egret-system", "uid": "of-namespace"}});
        Self(Arc::new(Mutex::new(World {
            objects: [("namespaces/egret-system".to_owned(), namespace)].into(),
            version: 1,
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            replicas: Vec::new(),
            is_cut_off: false,
            asked: 0,
            writes: Vec::new(),
            drops_conditions: false,
            failure: None,
        })))
    }

    /// An operator that has just started.
    pub(super) fn operator(&self) -> Keeper<Self> {
        let (service, handle) = pair::<Request<Body>, Response<Body>>();
        let api = self.clone();
        tokio::spawn(async move {
            let mut handle = Box::pin(handle);
            while let Some((request, send)) = handle.next_request().await {
                send.send_response(api.answer(request).await);
            }
        });
        let store = Store::new(&Client::new(service, "default"), "egret-system");
        let settings = Settings {
            namespace: "egret-system".to_owned(),
            lifetime: LIFETIME,
        };
        Keeper::new(store, settings, self.clone(), Metrics::default())
    }

    pub(super) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(super) fn object(&self, path: &str) -> Value {
        self.world(|world| world.objects.get(path).cloned().unwrap_or_default())
    }

    pub(super) fn secret(&self, path: &str) -> Secret {
        serde_json::from_value(self.object(path)).unwrap()
    }

    pub(super) fn delete(&self, path: &str) {
        self.world(|world| world.objects.remove(path));
    }

    /// Somebody changes an object.
    pub(super) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        self.world(|world| {
            let mut object = world.objects[path].clone();
            change(&mut object);
            world.put(path, object);
        });
    }

    pub(super) fn fail(&self, request: &'static str, status: u16) {
        self.world(|world| world.failure = Some((request, status)));
    }

    pub(super) fn cut_off(&self, is_cut_off: bool) {
        self.world(|world| world.is_cut_off = is_cut_off);
    }

    pub(super) fn drop_conditions(&self) {
        self.world(|world| world.drops_conditions = true);
    }

    /// How often the replicas were asked.
    pub(super) fn asked(&self) -> usize {
        self.world(|world| world.asked)
    }

    pub(super) fn pass(&self, time: SignedDuration) {
        self.world(|world| world.now += time);
    }

    pub(super) fn set_clock(&self, now: Timestamp) {
        self.world(|world| world.now = now);
    }

    /// As many replicas, each with the Secret as it is now.
    pub(super) fn start_replicas(&self, count: usize) {
        let secret = self.secret(LEAF);
        self.world(|world| world.replicas = vec![secret; count]);
    }

    /// One of them reads the Secret.
    pub(super) fn refresh_replica(&self, number: usize) {
        let secret = self.secret(LEAF);
        self.world(|world| world.replicas[number] = secret);
    }

    /// What was written since the last call.
    pub(super) fn written(&self) -> Vec<String> {
        self.world(|world| std::mem::take(&mut world.writes))
    }

    /// Whether the API server could call every replica now.
    pub(super) fn is_every_replica_trusted(&self) -> bool {
        let read = |path: &str| self.object(path);
        let mutating = serde_json::from_value(read(MUTATING)).unwrap();
        let validating = serde_json::from_value(read(VALIDATING)).unwrap();
        let trusted = registration::trusted(Some(&mutating), Some(&validating));
        let count = |root: &Root| self.world(|world| world.serve(root));
        let replicas = self.world(|world| world.replicas.len());
        trusted.iter().map(count).sum::<usize>() == replicas
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        // From the API's paths only the plural and the name: no two kinds of the test share a plural.
        let mut path = parts.uri.path().to_owned();
        for group in [
            "/api/v1/",
            "/apis/admissionregistration.k8s.io/v1/",
            "/apis/discovery.k8s.io/v1/",
        ] {
            path = path.replace(group, "");
        }
        let path = path.replace("namespaces/egret-system/", "");
        let is_merge = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/merge-patch+json");
        let how = if is_merge { merged } else { applied };
        let (status, answer) = self.world(|world| world.answer(&parts.method, &path, body, how));
        let answer = Body::from(answer.to_string().into_bytes());
        Response::builder().status(status).body(answer).unwrap()
    }
}

impl Outside for Api {
    fn now(&self) -> Timestamp {
        self.world(|world| world.now)
    }

    async fn serving(
        &self,
        replicas: Vec<SocketAddr>,
        name: String,
        root: Der,
    ) -> Result<Answers, rustls::Error> {
        assert_eq!(name, "egret-webhook.egret-system.svc");
        assert_eq!(replicas.len(), self.world(|world| world.replicas.len()));
        let validity = Validity {
            from: Timestamp::MIN,
            until: Timestamp::MAX,
        };
        let root = Root {
            der: root,
            validity,
        };
        Ok(self.world(|world| {
            world.asked += 1;
            let failure = || (replicas[0], "no route to host".to_owned());
            Answers {
                serving: if world.is_cut_off {
                    0
                } else {
                    world.serve(&root)
                },
                failure: world.is_cut_off.then(failure),
            }
        }))
    }
}

impl World {
    /// How many replicas serve what this authority has signed.
    fn serve(&self, root: &Root) -> usize {
        let authority = Authority {
            root: root.clone(),
            previous: Vec::new(),
        };
        let names = server_names("egret-system");
        let is_served = |secret: &&Secret| read::leaf(Some(*secret), &authority, &names).is_ok();
        self.replicas.iter().filter(is_served).count()
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        body: Value,
        patched: fn(&Value, Value) -> Value,
    ) -> (u16, Value) {
        let line = format!("{method} {path}");
        if let Some((_, status)) = self.failure.take_if(|(failing, _)| *failing == line) {
            return failure(status, "InternalError");
        }
        if *method == Method::GET {
            return self.get(path);
        }
        let path = match *method {
            Method::POST => format!("{path}/{}", body["metadata"]["name"].as_str().unwrap()),
            _ => path.to_owned(),
        };
        let known = self.objects.get(&path);
        let version = &body["metadata"]["resourceVersion"];
        let stale =
            |known: &Value| !version.is_null() && known["metadata"]["resourceVersion"] != *version;
        match (method, known) {
            (&Method::POST, Some(_)) => return failure(409, "AlreadyExists"),
            (&Method::PUT, None) => return failure(404, "NotFound"),
            (_, Some(known)) if stale(known) => return failure(409, "Conflict"),
            _ => {}
        }
        self.writes.push(line);
        let object = if *method == Method::PATCH {
            let before = self.objects.get(&path).cloned().unwrap_or_default();
            patched(&before, body)
        } else {
            body
        };
        (200, self.put(&path, object))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        if path == "endpointslices" {
            return (200, self.slices());
        }
        match self.objects.get(path) {
            Some(object) => (200, object.clone()),
            None => failure(404, "NotFound"),
        }
    }

    fn slices(&self) -> Value {
        let endpoints = (1..=self.replicas.len())
            .map(|number| json!({"addresses": [format!("10.0.0.{number}")]}));
        json!({"metadata": {}, "items": [{"metadata": {}, "addressType": "IPv4",
            "endpoints": endpoints.collect::<Vec<_>>(), "ports": [{"port": 9443}]}]})
    }

    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let webhooks = object.get_mut("webhooks").and_then(Value::as_array_mut);
        for webhook in webhooks
            .filter(|_| self.drops_conditions)
            .into_iter()
            .flatten()
        {
            webhook.as_object_mut().unwrap().remove("matchConditions");
        }
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["uid"] = json!(path);
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": "no"});
    (code, status)
}

/// The object after a merge patch (RFC 7386) that takes no field away.
fn merged(before: &Value, patch: Value) -> Value {
    let Value::Object(fields) = patch else {
        return patch;
    };
    let mut object = before.clone();
    for (field, value) in fields {
        object[&field] = merged(&before[&field], value);
    }
    object
}

/// The object that an applied configuration makes of one that has nothing else but items which others have put into lists.
fn applied(before: &Value, mut body: Value) -> Value {
    let mut owned = body.clone();
    for field in ["apiVersion", "kind"] {
        owned.as_object_mut().unwrap().remove(field);
    }
    for field in ["name", "uid", "resourceVersion"] {
        owned["metadata"].as_object_mut().unwrap().remove(field);
    }
    keep_items(before, &mut body, "webhooks");
    body["metadata"]["managedFields"] = json!([{"manager": crate::write::MANAGER,
        "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields(&owned, "")}]);
    body
}

/// What others have put into an associative list stays there.
fn keep_items(before: &Value, applied: &mut Value, list: &str) {
    let Some(items) = applied.get_mut(list).and_then(Value::as_array_mut) else {
        return;
    };
    for item in before[list].as_array().into_iter().flatten() {
        match items.iter_mut().find(|known| known["name"] == item["name"]) {
            Some(known) => keep_items(item, known, "matchConditions"),
            None => items.push(item.clone()),
        }
    }
}

/// Which fields these are, as the API server notes them.
fn fields(value: &Value, name: &str) -> Value {
    let key = match name {
        "webhooks" | "matchConditions" => "name",
        "ownerReferences" => "uid",
        _ => "",
    };
    let mut fields = Map::new();
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                fields.insert(format!("f:{name}"), self::fields(value, name));
            }
        }
        Value::Array(items) if !key.is_empty() => {
            for item in items {
                let below = if key == "uid" {
                    json!({})
                } else {
                    self::fields(item, "")
                };
                fields.insert(format!("k:{}", json!({key: item[key]})), below);
            }
        }
        _ => {}
    }
    Value::Object(fields)
}
