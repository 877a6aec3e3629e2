//! A node's power, and the API server's.

use super::driver::{Lab, eventually};

#[test]
fn a_node_without_power_is_silent_and_boots_with_empty_kernel_state() {
    let lab = Lab::up(&["--nodes", "2"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&[
        "exec",
        "node/node-1",
        "--",
        "nft",
        "add",
        "table",
        "ip",
        "left",
    ]);
    let sleep = ["exec", "default/a", "--", "sleep", "1000"];
    let mut sleeping = lab.command(&sleep).spawn().unwrap();
    eventually("it sleeps", || {
        lab.run(&["exec", "lab", "--", "pgrep", "-x", "sleep"])
            .status
            .success()
    });

    lab.ok(&["node", "off", "node-1"]);

    assert_eq!(sleeping.wait().unwrap().code(), Some(137));
    lab.is_unheard("default/a");
    assert!(
        lab.ok(&["exec", "node/node-1", "--", "nft", "list", "tables"])
            .contains("left")
    );
    assert!(
        lab.fails(&["pod", "b", "--node", "node-1"])
            .contains("hack/lab node on node-1")
    );
    let status = lab.ok(&["status"]);
    let line = status.lines().find(|line| line.starts_with("node-1 "));
    assert!(line.is_some_and(|line| line.contains(" off ")), "{status}");

    lab.ok(&["node", "on", "node-1"]);

    assert_eq!(lab.ok(&["curl", "default/a"]), "10.10.0.101");
    assert!(
        !lab.ok(&["exec", "node/node-1", "--", "nft", "list", "tables"])
            .contains("left")
    );
    assert!(
        lab.ok(&["exec", "default/a", "--", "ip", "addr"])
            .contains("10.244.1.2/32")
    );
    assert_eq!(lab.ok(&["pod", "b", "--node", "node-1"]), "10.244.1.3");
}

#[test]
fn a_deletion_waits_for_the_power_of_its_node() {
    let lab = Lab::up(&["--nodes", "2"]);
    lab.ok(&["pod", "a", "--node", "node-2"]);
    lab.ok(&["node", "off", "node-2"]);
    lab.ok(&["kubectl", "delete", "pod", "a", "--wait=false"]);
    assert_eq!(lab.ok(&["kubectl", "get", "pod", "a", "-oname"]), "pod/a");
    lab.ok(&["node", "on", "node-2"]);
    lab.ok(&["kubectl", "wait", "--for=delete", "pod/a", "--timeout=60s"]);
}

#[test]
fn without_the_api_server_packets_go_on_and_its_objects_come_back() {
    let lab = Lab::up(&["--nodes", "1"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    lab.ok(&["apiserver", "stop"]);
    assert!(
        lab.fails(&["pod", "b", "--node", "node-1"])
            .contains("API server")
    );
    assert_eq!(lab.ok(&["curl", "default/a"]), "10.10.0.101");
    lab.ok(&["apiserver", "start"]);
    assert_eq!(lab.ok(&["kubectl", "get", "pods", "-oname"]), "pod/a");
    assert_eq!(lab.ok(&["pod", "b", "--node", "node-1"]), "10.244.1.3");
}
