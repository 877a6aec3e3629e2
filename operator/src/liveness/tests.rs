//! Looks at reports and Leases, against a mock API server.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use egret_domain::control::Sign;
use egret_runtime::live::Liveness;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower_test::mock::pair;

use super::*;

/// An API server with one `EgressNode`, one that is malformed, and one Lease that is never renewed.
#[derive(Default)]
struct Server {
    is_away: AtomicBool,
    lists_of_reports: AtomicUsize,
}

impl Server {
    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let path = request.uri().to_string();
        let body = if path.starts_with("/apis/egret.dev/v1alpha1/egressnodes?") {
            self.lists_of_reports.fetch_add(1, Ordering::Relaxed);
            json!({"metadata": {}, "items": [
                {"metadata": {"name": "n1"}, "status": status()},
                {"metadata": {"name": "n3"}, "status": 7},
            ]})
        } else {
            let leases = "/apis/coordination.k8s.io/v1/namespaces/egret-system/leases?";
            assert!(
                path.starts_with(leases) && path.contains("component%3Dagent"),
                "{path}"
            );
            json!({"metadata": {}, "items": [{"metadata": {"name": "n2"},
                "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}]})
        };
        let status = if self.is_away.load(Ordering::Relaxed) {
            503
        } else {
            200
        };
        let body = Body::from(body.to_string().into_bytes());
        Response::builder().status(status).body(body).unwrap()
    }
}

fn status() -> Value {
    json!({"peersDown": [{"node": "n2", "since": "2026-01-01T00:00:00Z"}]})
}

fn start() -> (Arc<Server>, Reported, mpsc::Receiver<Message>) {
    let (service, handle) = pair::<Request<Body>, Response<Body>>();
    let server = Arc::<Server>::default();
    let answering = server.clone();
    tokio::spawn(async move {
        let mut handle = Box::pin(handle);
        while let Some((request, send)) = handle.next_request().await {
            send.send_response(answering.answer(&request));
        }
    });
    let (sink, messages) = mpsc::channel(64);
    let reported = Reported::default();
    let client = Client::new(service, "default");
    let pulse = Liveness::default().pulse("liveness");
    tokio::spawn(watch_over(client, reported.clone(), sink, pulse));
    (server, reported, messages)
}

async fn next(messages: &mut mpsc::Receiver<Message>) -> Fact {
    match messages.recv().await {
        Some(Message::Fact(fact)) => fact,
        other => panic!("{other:?}"),
    }
}

fn missed() -> Fact {
    Fact::Missed {
        by: "n1".into(),
        nodes: ["n2".into()].into(),
    }
}

fn sign(sign: Sign) -> Fact {
    Fact::Sign {
        node: "n2".into(),
        sign: Some(sign),
    }
}

#[tokio::test(start_paused = true)]
async fn what_lasts_is_told_in_time_and_then_nobody_looks_at_the_reports_without_news() {
    let (server, reported, mut messages) = start();
    let start = Instant::now();
    assert_eq!(next(&mut messages).await, sign(Sign::Given));
    assert_eq!(next(&mut messages).await, missed());
    let waited = start.elapsed();
    assert!(
        (judge::LONG..judge::LONG * 2).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(next(&mut messages).await, sign(Sign::Ceased));
    let waited = start.elapsed();
    let due = LEASES_EVERY * judge::LOOKS;
    assert!((due..due + LEASES_EVERY).contains(&waited), "{waited:?}");

    let lists = || server.lists_of_reports.load(Ordering::Relaxed);
    let before = lists();
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(lists(), before);
    let report = serde_json::from_value(status()).unwrap();
    for _ in 0..3 {
        reported.note(&"n1".into(), Some(&report));
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(lists(), before + 1, "only the first was news");
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_out_while_the_api_server_is_away() {
    let (server, _, mut messages) = start();
    assert_eq!(next(&mut messages).await, sign(Sign::Given));
    server.is_away.store(true, Ordering::Relaxed);
    let told = tokio::time::timeout(Duration::from_mins(10), next(&mut messages)).await;
    assert!(told.is_err(), "{told:?}");
    server.is_away.store(false, Ordering::Relaxed);
    let back = Instant::now();
    assert_eq!(next(&mut messages).await, missed());
    assert!(back.elapsed() >= judge::LONG);
}
