use axum::http::Response;
use egret_domain::problem::Problem;
use egret_runtime::ready::Readiness;
use http::Request;
use kube::client::Body;
use serde_json::json;
use tower_test::mock::pair;

use super::*;

/// What the cache notes of an object.
pub(crate) fn fact(object: &Value) -> Fact {
    if object["kind"] == "Egress" {
        return egress(&serde_json::from_value(object.clone()).unwrap());
    }
    pool(&serde_json::from_value(object.clone()).unwrap())
}

/// What is wrong with an object by itself.
pub(crate) fn problems(object: &Value) -> Vec<Problem> {
    match fact(object) {
        Fact::Egress(egress) => egress.problems,
        Fact::Pool(pool) => pool.problems,
        _ => Vec::new(),
    }
}

fn stored(pool: &str) -> Fact {
    fact(&json!({
        "apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress", "metadata": {"name": "web"},
        "spec": {"appliedTo": {}, "externalIPPool": pool},
    }))
}

/// Whether the pool has a user.
fn is_used(cache: &Cache, pool: &str) -> bool {
    cache.ask(|index| !index.review_pool_deletion(&pool.into()).is_empty())
}

#[test]
fn a_second_look_counts_unless_a_watch_was_faster() {
    let cache = Cache::default();
    let object = Object::Egress("web".into());
    cache.note(stored("a"));
    let event = cache.last_event(&object);
    cache.note_unless_overtaken(&object, event, stored("b"));
    assert!(is_used(&cache, "b") && !is_used(&cache, "a"));
    cache.note(stored("c"));
    cache.note_unless_overtaken(&object, event, stored("b"));
    assert!(is_used(&cache, "c") && !is_used(&cache, "b"));
}

#[test]
fn what_came_while_nothing_was_there_is_not_taken_for_gone() {
    let cache = Cache::default();
    let object = Object::Egress("web".into());
    let event = cache.last_event(&object);
    cache.note(stored("a"));
    cache.note_unless_overtaken(&object, event, Fact::EgressGone("web".into()));
    assert!(is_used(&cache, "a"));
}

#[tokio::test]
async fn all_that_a_list_has_is_known_before_the_list_is_done() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let (cache, readiness) = (Cache::default(), Readiness::default());
    let ready = readiness.wait_for("the list");
    let following = cache
        .clone()
        .follow_egresses(Client::new(service, "default"), ready);
    let following = tokio::spawn(following);
    let (_, send) = server.next_request().await.expect("a list");
    let items = json!([
        {"metadata": {"name": "web"}, "spec": {"appliedTo": {}, "externalIPPool": "a"}},
        {"metadata": {"name": "odd"}, "spec": {"appliedTo": 7, "externalIPPool": "b"}},
    ]);
    let list = json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string();
    send.send_response(Response::new(Body::from(list.into_bytes())));
    while !readiness.awaited().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(is_used(&cache, "a"));
    // What is malformed has its pool and its address all the same.
    assert!(is_used(&cache, "b"));
    following.abort();
}
