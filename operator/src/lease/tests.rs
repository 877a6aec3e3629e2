//! The elector against a mock API server that keeps one Lease.

use std::sync::{Arc, Mutex};

use egret_runtime::live::Liveness;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use tower_test::mock::{SendResponse, pair};

use super::*;

/// An API server with one Lease.
#[derive(Clone)]
struct Api(Arc<Mutex<State>>);

struct State {
    lease: Option<Value>,
    version: u64,
    writes: Vec<(String, Value)>,
}

type Send = SendResponse<Response<Body>>;

impl Api {
    fn new(lease: Option<Value>) -> (Self, Client) {
        let (service, handle) = pair::<Request<Body>, Response<Body>>();
        let api = Self(Arc::new(Mutex::new(State {
            lease,
            version: 1,
            writes: Vec::new(),
        })));
        let server = api.clone();
        tokio::spawn(async move {
            let mut handle = Box::pin(handle);
            let mut watches = Vec::new();
            while let Some((request, send)) = handle.next_request().await {
                watches.extend(server.answer(request, send).await);
            }
        });
        (api, Client::new(service, "default"))
    }

    /// A watch is never answered, and waits.
    async fn answer(&self, request: Request<Body>, send: Send) -> Option<Send> {
        let (method, uri) = (request.method().to_string(), request.uri().to_string());
        if uri.contains("watch=true") {
            return Some(send);
        }
        let body = request.into_body().collect_bytes().await.unwrap();
        let (status, answer) = self.store(&method, &uri, &body);
        let answer = Response::builder()
            .status(status)
            .body(Body::from(answer.to_string().into_bytes()));
        send.send_response(answer.unwrap());
        None
    }

    fn store(&self, method: &str, uri: &str, body: &[u8]) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        let refused = |code: u16| {
            let status =
                json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"});
            (StatusCode::from_u16(code).unwrap(), status)
        };
        if method == "GET" && uri.contains("/leases?") {
            let items: Vec<_> = state.lease.iter().collect();
            return (
                StatusCode::OK,
                json!({"metadata": {"resourceVersion": "1"}, "items": items}),
            );
        }
        if method != "GET" {
            let body: Value = serde_json::from_slice(body).unwrap();
            let told = body["metadata"]["resourceVersion"].clone();
            state.writes.push((method.to_owned(), body.clone()));
            let current = state.lease.clone().unwrap_or_default();
            if method == "PATCH" && told != current["metadata"]["resourceVersion"] {
                return refused(409);
            }
            state.version += 1;
            let version = state.version.to_string();
            let meta = json!({"name": NAME, "namespace": NAMESPACE, "resourceVersion": version});
            state.lease = Some(json!({"metadata": meta, "spec": body["spec"]}));
        }
        match &state.lease {
            Some(lease) => (StatusCode::OK, lease.clone()),
            None => refused(404),
        }
    }

    fn spec(&self, field: &str) -> Value {
        let state = self.0.lock().unwrap();
        state.lease.clone().unwrap_or_default()["spec"][field].clone()
    }

    fn writes(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().writes.clone()
    }
}

fn lease(holder: Option<&str>) -> Value {
    json!({"metadata": {"name": NAME, "namespace": NAMESPACE, "resourceVersion": "1"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 10, "leaseTransitions": 3,
            "renewTime": "2026-01-01T00:00:00.000000Z"}})
}

struct Replica {
    lead: Lead,
    others: Others,
    permit: Permit,
    able: oneshot::Sender<()>,
    end: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn replica(client: &Client) -> Replica {
    let permit = Permit::none(OPERATOR.in_flight);
    let (able, is_able) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let others = Others::default();
    let standing = Standing {
        identity: "a_1".to_owned(),
        able: is_able,
        others: others.clone(),
    };
    let pulse = Liveness::default().pulse("leadership");
    let (elector, lead) = Elector::new(client, standing, permit.clone(), Metrics::default(), pulse);
    let task = tokio::spawn(elector.run(async {
        let _ = ended.await;
    }));
    Replica {
        lead,
        others,
        permit,
        able,
        end,
        task,
    }
}

#[tokio::test]
async fn a_lease_that_is_free_is_taken_by_one_that_is_able_and_given_back_at_its_end() {
    let (api, client) = Api::new(Some(lease(None)));
    let mut replica = replica(&client);
    sleep(Duration::from_millis(200)).await;
    assert!(api.writes().is_empty() && replica.permit.check().is_err());
    replica.able.send(()).unwrap();
    replica.lead.wait_for(|leads| *leads).await.unwrap();
    assert!(replica.permit.check().is_ok());
    assert_eq!(api.spec("holderIdentity"), "a_1");
    assert_eq!(api.spec("leaseTransitions"), 4);
    assert!(!replica.others.have_led());
    replica.end.send(()).unwrap();
    replica.task.await.unwrap();
    assert!(replica.permit.check().is_err());
    assert_eq!(api.spec("holderIdentity"), Value::Null);
    let writes = api.writes();
    let versions: Vec<_> = writes
        .iter()
        .map(|(method, body)| (method.as_str(), &body["metadata"]["resourceVersion"]))
        .collect();
    assert_eq!(versions, [("PATCH", &json!("1")), ("PATCH", &json!("2"))]);
}

#[tokio::test]
async fn a_lease_that_another_holds_is_left_alone_whatever_the_time_in_it() {
    let (api, client) = Api::new(Some(lease(Some("b_1"))));
    let replica = replica(&client);
    replica.able.send(()).unwrap();
    sleep(Duration::from_millis(500)).await;
    replica.end.send(()).unwrap();
    replica.task.await.unwrap();
    assert!(!*replica.lead.borrow() && api.writes().is_empty());
    assert!(replica.others.have_led());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_only_waits_is_alive() {
    let (_api, client) = Api::new(Some(lease(None)));
    let liveness = Liveness::default();
    let (_able, is_able) = oneshot::channel();
    let standing = Standing {
        identity: "a_1".to_owned(),
        able: is_able,
        others: Others::default(),
    };
    let permit = Permit::none(OPERATOR.in_flight);
    let pulse = liveness.pulse("leadership");
    let (elector, _lead) = Elector::new(&client, standing, permit, Metrics::default(), pulse);
    tokio::spawn(elector.run(std::future::pending()));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(liveness.stuck(), []);
}

#[test]
fn a_lease_is_read_as_it_is_written() {
    let record = Record {
        holder: Some("a_1".to_owned()),
        lease_s: Some(10),
        acquired_us: Some(1_790_000_000_123_456),
        renewed_us: Some(1_790_000_002_000_000),
        transitions: Some(7),
    };
    for record in [record, Record::default()] {
        let lease = json!({"metadata": {"resourceVersion": "5"}, "spec": spec(&record)});
        let lease: v1::Lease = serde_json::from_value(lease).unwrap();
        assert_eq!(told(&lease).record, record);
    }
}
