use egret_domain::problem::Problem;
use serde_json::{Value, json};

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
