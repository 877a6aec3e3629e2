//! Partitions: who hears whom.

use super::driver::{Lab, eventually, text};

fn reaches_api(lab: &Lab, node: &str) -> bool {
    let url = "https://10.10.0.1:6443/readyz";
    let target = format!("node/{node}");
    lab.run(&["exec", &target, "--", "curl", "-sk", "-m1", url])
        .status
        .success()
}

/// A node refuses a connection to a port that nobody serves; one that hears nothing says nothing.
fn reaches_node(lab: &Lab, from: &str, to: &str) -> bool {
    let target = format!("node/{from}");
    let connect = format!(": <>/dev/tcp/{to}/9");
    let output = lab.run(&[
        "exec", &target, "--", "timeout", "1", "bash", "-c", &connect,
    ]);
    text(&output.stderr).contains("refused")
}

/// After a cut a node may still be waiting for an address resolution that fails.
fn leaves_as(lab: &Lab, pod: &str, address: &str) -> bool {
    text(&lab.run(&["curl", pod]).stdout).trim_end() == address
}

#[test]
fn a_node_cut_from_all_hears_nobody_until_it_is_healed() {
    let lab = Lab::up(&["--nodes", "3"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["pod", "b", "--node", "node-2"]);
    lab.ok(&["net", "cut", "node-1"]);
    lab.fails(&["curl", "default/a"]);
    assert!(!reaches_api(&lab, "node-1"));
    assert!(!reaches_node(&lab, "node-1", "10.10.0.102"));
    assert_eq!(lab.ok(&["curl", "default/b"]), "10.10.0.102");
    lab.ok(&["net", "heal", "node-1"]);
    eventually("the outside is heard again", || {
        leaves_as(&lab, "default/a", "10.10.0.101")
    });
    eventually("the API is heard again", || reaches_api(&lab, "node-1"));
    eventually("the peer is heard again", || {
        reaches_node(&lab, "node-1", "10.10.0.102")
    });
}

#[test]
fn a_cut_between_two_sets_touches_nothing_else() {
    let lab = Lab::up(&["--nodes", "3"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["net", "cut", "node-1", "node-2,api"]);
    assert!(!reaches_node(&lab, "node-1", "10.10.0.102"));
    assert!(!reaches_node(&lab, "node-2", "10.10.0.101"));
    assert!(!reaches_api(&lab, "node-1"));
    assert!(reaches_node(&lab, "node-1", "10.10.0.103"));
    assert_eq!(lab.ok(&["curl", "default/a"]), "10.10.0.101");
    lab.ok(&["net", "heal"]);
    eventually("the peer is heard again", || {
        reaches_node(&lab, "node-1", "10.10.0.102")
    });
    eventually("the API is heard again", || reaches_api(&lab, "node-1"));
}

#[test]
fn what_is_cut_one_way_still_arrives_the_other_way() {
    let lab = Lab::up(&["--nodes", "1"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    // Both know each other's Ethernet address before the cut.
    lab.ok(&["curl", "default/a"]);
    lab.ok(&["seen", "--reset"]);
    lab.ok(&["net", "cut", "ext", "node-1", "--one-way"]);
    lab.fails(&["curl", "default/a"]);
    assert!(lab.ok(&["seen"]).starts_with("10.10.0.101 "));
}

#[test]
fn a_node_without_its_cable_to_the_outside_keeps_its_peers_and_the_api() {
    let lab = Lab::up(&["--nodes", "2"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["net", "uplink", "down", "node-1"]);
    lab.fails(&["curl", "default/a"]);
    assert!(reaches_api(&lab, "node-1"));
    assert!(reaches_node(&lab, "node-1", "10.10.0.102"));
    lab.ok(&["net", "uplink", "up", "node-1"]);
    eventually("the outside is heard again", || {
        leaves_as(&lab, "default/a", "10.10.0.101")
    });
}

#[test]
fn a_cut_of_what_is_not_there_is_refused() {
    let lab = Lab::up(&["--nodes", "1"]);
    assert!(
        lab.fails(&["net", "cut", "node-2"])
            .contains("node-1 to node-1")
    );
    assert!(
        lab.fails(&["net", "cut", "router"])
            .contains("node-N, ext or api")
    );
}
