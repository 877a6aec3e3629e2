//! What is done next for a Pod, from facts as values.

use super::*;

fn facts() -> PodFacts {
    PodFacts {
        key: "default/web".parse().unwrap(),
        uid: "1".to_owned(),
        node: "node-1".parse().unwrap(),
        host_network: false,
        is_deleting: false,
        grace: Duration::ZERO,
        own: None,
        phase: Phase::Pending,
        containers: Vec::new(),
    }
}

fn sandbox(uid: &str) -> Sandbox {
    Sandbox {
        pod: "default/web".parse().unwrap(),
        uid: uid.to_owned(),
        node: "node-1".parse().unwrap(),
        number: 2,
        families: crate::family::Families::Ipv4,
    }
}

fn network(sandbox: &Sandbox) -> Remains<'_> {
    Remains {
        sandbox: Some(sandbox),
        life: None,
    }
}

#[test]
fn a_new_pod_is_started_and_then_reported() {
    assert_eq!(
        decide(Some(&facts()), Remains::default(), true),
        Step::Start
    );
    assert_eq!(
        decide(Some(&facts()), network(&sandbox("1")), true),
        Step::Report
    );
    let running = PodFacts {
        phase: Phase::Running,
        ..facts()
    };
    assert_eq!(
        decide(Some(&running), network(&sandbox("1")), true),
        Step::Nothing
    );
}

#[test]
fn a_deletion_is_finished_even_when_the_pod_never_started() {
    let deleting = PodFacts {
        is_deleting: true,
        ..facts()
    };
    assert_eq!(
        decide(Some(&deleting), Remains::default(), true),
        Step::Finish
    );
    assert_eq!(
        decide(Some(&deleting), network(&sandbox("1")), true),
        Step::Finish
    );
}

#[test]
fn a_name_that_came_again_gets_a_new_network() {
    assert_eq!(
        decide(Some(&facts()), network(&sandbox("0")), true),
        Step::Replace
    );
}

#[test]
fn a_node_without_power_does_nothing_but_forget() {
    let deleting = PodFacts {
        is_deleting: true,
        ..facts()
    };
    assert_eq!(
        decide(Some(&facts()), Remains::default(), false),
        Step::Nothing
    );
    assert_eq!(
        decide(Some(&deleting), network(&sandbox("1")), false),
        Step::Nothing
    );
    assert_eq!(decide(None, network(&sandbox("1")), false), Step::Remove);
}

#[test]
fn a_pod_in_its_nodes_network_is_only_reported() {
    let host = PodFacts {
        host_network: true,
        ..facts()
    };
    assert_eq!(decide(Some(&host), Remains::default(), true), Step::Report);
    let running = PodFacts {
        phase: Phase::Running,
        ..host
    };
    assert_eq!(
        decide(Some(&running), Remains::default(), true),
        Step::Nothing
    );
}

#[test]
fn a_pod_that_is_over_loses_its_network() {
    let over = PodFacts {
        phase: Phase::Over,
        ..facts()
    };
    assert_eq!(
        decide(Some(&over), network(&sandbox("1")), true),
        Step::Remove
    );
    assert_eq!(decide(Some(&over), Remains::default(), true), Step::Nothing);
}

#[test]
fn a_pod_of_a_node_that_is_not_in_a_lab_is_nobodys() {
    let pod = |node: &str| -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a", "namespace": "b", "uid": "1"},
            "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        }))
        .unwrap()
    };
    assert!(PodFacts::of(&pod("elsewhere")).is_none());
    assert_eq!(
        PodFacts::of(&pod("node-3")).unwrap().node,
        "node-3".parse().unwrap()
    );
}

fn own() -> PodFacts {
    PodFacts {
        own: Some(Arc::new(Pod::default())),
        ..facts()
    }
}

fn alive<'a>(life: &'a str, sandbox: &'a Sandbox) -> Remains<'a> {
    Remains {
        sandbox: Some(sandbox),
        life: Some(life),
    }
}

#[test]
fn a_pod_of_egrets_is_run_in_its_network_once_there_is_one() {
    let (own, sandbox) = (own(), sandbox("1"));
    assert_eq!(decide(Some(&own), Remains::default(), true), Step::Start);
    assert_eq!(decide(Some(&own), network(&sandbox), true), Step::Run);
    assert_eq!(
        decide(Some(&own), alive("1", &sandbox), true),
        Step::Nothing
    );
    let host = PodFacts {
        host_network: true,
        ..own
    };
    assert_eq!(decide(Some(&host), Remains::default(), true), Step::Run);
}

#[test]
fn a_pod_of_egrets_ends_in_order_before_its_network_goes() {
    let deleting = PodFacts {
        is_deleting: true,
        phase: Phase::Running,
        ..own()
    };
    let sandbox = sandbox("1");
    assert_eq!(
        decide(Some(&deleting), alive("1", &sandbox), true),
        Step::End
    );
    assert_eq!(
        decide(Some(&deleting), network(&sandbox), true),
        Step::Finish
    );
    assert_eq!(decide(None, alive("1", &sandbox), true), Step::Remove);
    // A life of the one that had this name before is not waited for.
    assert_eq!(
        decide(Some(&deleting), alive("0", &sandbox), true),
        Step::Finish
    );
    assert_eq!(
        decide(Some(&own()), alive("0", &sandbox), true),
        Step::Replace
    );
}
