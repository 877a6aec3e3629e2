//! Which node a Pod may run on.

use serde_json::{Value, json};

use super::*;

fn node(number: u8) -> NodeId {
    format!("node-{number}").parse().unwrap()
}

fn places(count: u8) -> Vec<Place> {
    let place = |node: NodeId| Place {
        node,
        labels: [("kubernetes.io/hostname".to_owned(), node.to_string())].into(),
        is_open: true,
    };
    NodeId::first(count).map(place).collect()
}

fn labels(component: &str, revision: &str) -> Labels {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [
        label("app.kubernetes.io/component", component),
        label("pod-template-hash", revision),
    ]
    .into()
}

fn placed(number: u8, component: &str) -> Placed {
    Placed {
        node: node(number),
        labels: labels(component, "old"),
    }
}

fn wanted(spec: &Value) -> Wanted {
    let labels = labels("webhook", "new");
    let pod = json!({"metadata": {"name": "p", "labels": labels}, "spec": spec});
    Wanted::of(&serde_json::from_value(pod).unwrap())
}

#[test]
fn replicas_are_spread_over_nodes_and_begin_with_the_first() {
    let wanted = wanted(&json!({"containers": []}));
    let mut there = vec![placed(1, "operator"), placed(1, "agent")];
    for expected in [1, 2, 3, 1] {
        let chosen = place(&wanted, &places(3), &there).unwrap();
        assert_eq!(chosen, node(expected));
        // Of another revision: it counts all the same.
        there.push(placed(expected, "webhook"));
    }
}

#[test]
fn a_node_without_power_or_with_a_cordon_gets_none() {
    let powered = [node(2), node(3)].into();
    let object = |name: &str, is_cordoned: bool| -> Node {
        serde_json::from_value(
            json!({"metadata": {"name": name}, "spec": {"unschedulable": is_cordoned}}),
        )
        .unwrap()
    };
    let nodes = [
        object("node-1", false),
        object("node-2", true),
        object("node-3", false),
    ];
    let places: Vec<_> = nodes
        .iter()
        .filter_map(|node| Place::of(node, &powered))
        .collect();
    let wanted = wanted(&json!({"containers": []}));
    assert_eq!(place(&wanted, &places, &[]), Ok(node(3)));
    assert_eq!(place(&wanted, &places[..2], &[]), Err(NoPlace::Closed));
}

#[test]
fn a_pod_of_a_daemonset_goes_to_its_node_whatever_that_is_like() {
    let by_name = json!({"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["node-2"]}]});
    let wanted = wanted(&json!({"containers": [], "affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [by_name]}}}}));
    let mut places = places(3);
    places[1].is_open = false;
    assert_eq!(place(&wanted, &places, &[]), Ok(node(2)));
    assert_eq!(place(&wanted, &places[..1], &[]), Err(NoPlace::Unwanted));
}

#[test]
fn a_node_selector_is_honoured() {
    let wanted = wanted(&json!({"containers": [],
        "nodeSelector": {"kubernetes.io/hostname": "node-3"}}));
    assert_eq!(place(&wanted, &places(3), &[]), Ok(node(3)));
    assert_eq!(place(&wanted, &places(2), &[]), Err(NoPlace::Unwanted));
}

#[test]
fn pods_that_keep_apart_do_not_share_a_node() {
    let component =
        json!({"key": "app.kubernetes.io/component", "operator": "In", "values": ["webhook"]});
    let wanted = wanted(&json!({"containers": [], "affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchExpressions": [component]}}]}}}));
    let there = [placed(1, "webhook"), placed(2, "operator")];
    assert_eq!(place(&wanted, &places(2), &there), Ok(node(2)));
    assert_eq!(place(&wanted, &places(1), &there), Err(NoPlace::Closed));
}
