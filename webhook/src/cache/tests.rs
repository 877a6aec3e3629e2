//! Watches and second looks overtake each other.

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
    cache.note(stored("a"));
    cache.begin().note(stored("b"));
    assert!(is_used(&cache, "b") && !is_used(&cache, "a"));
    let look = cache.begin();
    cache.note(stored("c"));
    look.note(stored("b"));
    assert!(is_used(&cache, "c") && !is_used(&cache, "b"));
}

#[test]
fn what_came_while_nothing_was_there_is_not_taken_for_gone() {
    let cache = Cache::default();
    let look = cache.begin();
    cache.note(stored("a"));
    look.note(Fact::EgressGone("web".into()));
    assert!(is_used(&cache, "a"));
}

#[test]
fn what_came_and_went_during_a_second_look_is_gone() {
    let cache = Cache::default();
    let look = cache.begin();
    cache.note(stored("a"));
    cache.note(Fact::EgressGone("web".into()));
    look.note(stored("a"));
    assert!(!is_used(&cache, "a"));
    drop(look);
    assert!(cache.write().looks.is_empty());
}

#[test]
fn what_no_watch_has_shown_goes_with_the_next_list() {
    let is_egress = |object: &Object| kind_of(object) == "Egress";
    let cache = Cache::default();
    cache.begin().note(stored("a"));
    cache.confirm(|object| !is_egress(object));
    assert!(is_used(&cache, "a"));
    cache.confirm(is_egress);
    assert!(!is_used(&cache, "a"));
    // A watch that has shown it tells of its end, whatever is looked at meanwhile.
    cache.note(stored("a"));
    cache.begin().note(stored("b"));
    cache.confirm(is_egress);
    assert!(is_used(&cache, "b"));
    cache.note(Fact::EgressGone("web".into()));
    cache.begin().note(stored("a"));
    cache.note(stored("a"));
    cache.confirm(is_egress);
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
