//! What the roles in `config/rbac` give, as far as their rules alone show that it is too much.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;

use egret_xtask::root;
use serde_json::Value;

/// Those of objects without a namespace are in `default`; those of the configuration where its `ConfigMap` is.
#[test]
fn the_operator_writes_events_only_where_those_of_its_objects_are() {
    let text = std::fs::read_to_string(root().join("config/rbac/operator.yaml")).unwrap();
    let objects = text
        .split("\n---\n")
        .map(|object| serde_saphyr::from_str::<Value>(object).unwrap());
    let writes_events = |object: &Value| {
        let mut rules = object["rules"].as_array().into_iter().flatten();
        rules.any(|rule| rule["apiGroups"][0] == "events.k8s.io")
    };
    let places: BTreeSet<_> = objects
        .filter(writes_events)
        .map(|role| {
            let namespace = role["metadata"]["namespace"].as_str();
            namespace.unwrap_or("everywhere").to_owned()
        })
        .collect();
    let expected = ["default", "egret-system", "kube-system"].map(str::to_owned);
    assert_eq!(places, expected.into());
}
