//! What is still waited for, from objects as values.

use serde_json::json;

use super::*;

fn deployment(name: &str, replicas: i32, ready: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": name, "generation": 2},
        "spec": {"replicas": replicas, "selector": {}, "template": {}},
        "status": {"observedGeneration": 2, "readyReplicas": ready},
    }))
    .unwrap()
}

fn agents(generation: i64, ready: i32) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": AGENT, "generation": generation},
        "spec": {"selector": {}, "template": {}},
        "status": {"observedGeneration": 1, "numberReady": ready, "desiredNumberScheduled": 3,
            "currentNumberScheduled": 3, "numberMisscheduled": 0},
    }))
    .unwrap()
}

fn kind(is_served: bool) -> CustomResourceDefinition {
    let names = json!({"kind": "Egress", "plural": "egresses"});
    let status = if is_served { "True" } else { "False" };
    let established = json!({"type": "Established", "status": status});
    serde_json::from_value(json!({
        "metadata": {"name": "egresses.crd.antrea.io"},
        "spec": {"group": "crd.antrea.io", "scope": "Cluster", "names": names, "versions": []},
        "status": {"conditions": [established]},
    }))
    .unwrap()
}

fn all() -> Seen {
    Seen {
        kinds: vec![kind(true)],
        deployments: vec![
            deployment("egret-operator", 1, 1),
            deployment(WEBHOOK, 2, 2),
        ],
        daemon_sets: vec![agents(1, 3)],
        has_agents: true,
        has_service: true,
        is_registered: true,
    }
}

fn lacks(seen: &Seen, part: &str) {
    let lacks = seen.lacks(3).unwrap();
    assert!(lacks.contains(part), "{lacks}");
}

#[test]
fn egret_is_ready_when_all_its_pods_are_and_the_webhook_is_asked() {
    assert_eq!(all().lacks(3), None);
    let seen = Seen {
        deployments: vec![deployment("egret-operator", 1, 0)],
        ..all()
    };
    lacks(&seen, "egret-operator");
    let seen = Seen {
        kinds: vec![kind(true), kind(false)],
        ..all()
    };
    lacks(&seen, "not served");
    for set in [agents(1, 2), agents(2, 3)] {
        let seen = Seen {
            daemon_sets: vec![set],
            ..all()
        };
        lacks(&seen, "Pods of egret-agent");
    }
    let seen = Seen {
        is_registered: false,
        ..all()
    };
    lacks(&seen, "ask the webhook");
}

#[test]
fn agents_are_waited_for_also_before_anybody_has_made_their_daemonset() {
    let seen = Seen {
        daemon_sets: Vec::new(),
        ..all()
    };
    lacks(&seen, "no DaemonSet");
}

#[test]
fn what_the_manifests_do_not_have_is_not_waited_for() {
    assert_eq!(Seen::default().lacks(3), None);
    // Without the webhook, nobody registers one.
    let seen = Seen {
        deployments: vec![deployment("egret-operator", 1, 1)],
        is_registered: false,
        ..all()
    };
    assert_eq!(seen.lacks(3), None);
}
