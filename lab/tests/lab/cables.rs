//! Partitions: who hears whom.

use super::driver::{Lab, eventually, text};

/// How curl ends when it could not connect, and when it was too late.
const CURL_UNHEARD: [i32; 2] = [7, 28];
/// How `timeout` ends when it was too late.
const TIMED_OUT: i32 = 124;

fn ask_api(lab: &Lab, node: &str, limit_s: &str) -> Option<i32> {
    let url = "https://10.10.0.1:6443/readyz";
    let target = format!("node/{node}");
    lab.run(&["exec", &target, "--", "curl", "-sk", "-m", limit_s, url])
        .status
        .code()
}

fn is_deaf_to_api(lab: &Lab, node: &str) -> bool {
    ask_api(lab, node, "1").is_some_and(|code| CURL_UNHEARD.contains(&code))
}

/// What a node's connection to a port that nobody serves comes to: another node refuses it, one that hears nothing
/// says nothing.
fn knock(lab: &Lab, from: &str, to: &str, limit_s: &str) -> (Option<i32>, String) {
    let target = format!("node/{from}");
    let connect = format!(": <>/dev/tcp/{to}/9");
    let output = lab.run(&[
        "exec", &target, "--", "timeout", limit_s, "bash", "-c", &connect,
    ]);
    (output.status.code(), text(&output.stderr))
}

fn is_deaf_to_node(lab: &Lab, from: &str, to: &str) -> bool {
    let (code, message) = knock(lab, from, to, "1");
    code == Some(TIMED_OUT) || message.contains("No route to host")
}

fn wait_for_api(lab: &Lab, node: &str) {
    eventually("the API is heard", || ask_api(lab, node, "3") == Some(0));
}

fn wait_for_node(lab: &Lab, from: &str, to: &str) {
    eventually("the peer is heard", || {
        knock(lab, from, to, "3").1.contains("refused")
    });
}

/// After a cut a node may still be waiting for an address resolution that fails.
fn wait_for_outside(lab: &Lab, pod: &str, address: &str) {
    eventually("the outside is heard", || {
        text(&lab.run(&["curl", pod]).stdout).trim_end() == address
    });
}

#[test]
fn a_node_cut_from_all_hears_nobody_until_it_is_healed() {
    let lab = Lab::up(&["--nodes", "3"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["pod", "b", "--node", "node-2"]);
    lab.ok(&["net", "cut", "node-1"]);
    lab.is_unheard("default/a");
    assert!(is_deaf_to_api(&lab, "node-1"));
    assert!(is_deaf_to_node(&lab, "node-1", "10.10.0.102"));
    wait_for_outside(&lab, "default/b", "10.10.0.102");
    lab.ok(&["net", "heal", "node-1"]);
    wait_for_outside(&lab, "default/a", "10.10.0.101");
    wait_for_api(&lab, "node-1");
    wait_for_node(&lab, "node-1", "10.10.0.102");
}

#[test]
fn a_cut_between_two_sets_touches_nothing_else() {
    let lab = Lab::up(&["--nodes", "3"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["net", "cut", "node-1", "node-2,api"]);
    assert!(is_deaf_to_node(&lab, "node-1", "10.10.0.102"));
    assert!(is_deaf_to_node(&lab, "node-2", "10.10.0.101"));
    assert!(is_deaf_to_api(&lab, "node-1"));
    wait_for_node(&lab, "node-1", "10.10.0.103");
    wait_for_outside(&lab, "default/a", "10.10.0.101");
    lab.ok(&["net", "heal"]);
    wait_for_node(&lab, "node-1", "10.10.0.102");
    wait_for_api(&lab, "node-1");
}

#[test]
fn that_somebody_was_not_found_during_a_cut_is_forgotten_when_it_is_healed() {
    let lab = Lab::up(&["--nodes", "2"]);
    let is_given_up = || {
        let neighbours = lab.ok(&["exec", "node/node-1", "--", "ip", "neigh"]);
        let mut lines = neighbours.lines();
        lines.any(|line| line.starts_with("10.10.0.102 ") && line.contains("FAILED"))
    };
    lab.ok(&["net", "cut", "node-1"]);
    assert!(is_deaf_to_node(&lab, "node-1", "10.10.0.102"));
    eventually("it is looked for in vain", is_given_up);
    lab.ok(&["net", "heal", "node-1"]);
    assert!(!is_given_up());
    wait_for_node(&lab, "node-1", "10.10.0.102");
}

#[test]
fn what_is_cut_one_way_still_arrives_the_other_way() {
    let lab = Lab::up(&["--nodes", "1"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    // Both know each other's Ethernet address before the cut.
    wait_for_outside(&lab, "default/a", "10.10.0.101");
    lab.ok(&["seen", "--reset"]);
    lab.ok(&["net", "cut", "ext", "node-1", "--one-way"]);
    lab.is_unheard("default/a");
    assert!(lab.ok(&["seen"]).starts_with("10.10.0.101 "));
}

#[test]
fn a_node_without_its_cable_to_the_outside_keeps_its_peers_and_the_api() {
    let lab = Lab::up(&["--nodes", "2"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["net", "uplink", "down", "node-1"]);
    lab.is_unheard("default/a");
    wait_for_api(&lab, "node-1");
    wait_for_node(&lab, "node-1", "10.10.0.102");
    lab.ok(&["net", "uplink", "up", "node-1"]);
    wait_for_outside(&lab, "default/a", "10.10.0.101");
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
