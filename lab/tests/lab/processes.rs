//! Egret's processes as the lab keeps them, with scripts in their place.

use super::driver::{Lab, eventually};

/// Tells what it was given, then waits.
const SCRIPT: &str = r#"echo "$0 $*"
echo "node=$NODE_NAME pod=$POD_NAMESPACE/$POD_NAME host=$HOST_IP"
trap 'echo bye; exit' TERM
[ -r "$KUBECONFIG" ] && echo credentials
while :; do sleep 0.05; done"#;

fn state(lab: &Lab, process: &str) -> String {
    let status = lab.ok(&["status"]);
    let line = status
        .lines()
        .find(|line| line.starts_with(&format!("{process} ")));
    line.unwrap().split_once(' ').unwrap().1.trim().to_owned()
}

fn is_running(lab: &Lab, process: &str) -> bool {
    state(lab, process).starts_with("running")
}

#[test]
fn every_process_gets_what_their_manifests_would_give_them() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "2"]);
    eventually("the agent has spoken", || {
        lab.ok(&["logs", "agent/node-2"]).contains("credentials")
    });
    let log = lab.ok(&["logs", "agent/node-2"]);
    for part in [
        "--node-name node-2",
        "--admin-address 127.0.0.1:9810",
        "--log-format text",
        "--gossip-keys /",
        "node=node-2 pod=egret-system/egret-agent-node-2 host=10.10.0.102",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    eventually("the operator has spoken", || {
        lab.ok(&["logs", "operator"]).contains("credentials")
    });
    assert!(lab.ok(&["logs", "operator"]).contains("node=node-1"));
    eventually("both replicas of the webhook have spoken", || {
        lab.ok(&["logs", "webhook"]).matches("credentials").count() == 2
    });
    let log = lab.ok(&["logs", "webhook/2"]);
    for part in [
        "--admin-address 0.0.0.0:9812",
        "node=node-2 pod=egret-system/egret-webhook-2 host=10.10.0.102",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    let secret = [
        "-n",
        "egret-system",
        "get",
        "secret",
        "egret-gossip",
        "-ojsonpath={.data.keys}",
    ];
    let key = lab.ok(&[&["kubectl"], &secret[..]].concat());
    assert_eq!(key.len(), 100, "a word and 64 digits as base64");
}

#[test]
fn an_agent_is_killed_stopped_and_restarted() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "1"]);
    let agent = "agent/node-1";
    eventually("it runs", || {
        lab.ok(&["logs", agent]).contains("credentials")
    });
    let first = state(&lab, agent);
    lab.ok(&["agent", "kill", "node-1"]);
    eventually("another runs", || {
        is_running(&lab, agent) && state(&lab, agent) != first
    });
    eventually("the other has spoken", || {
        lab.ok(&["logs", agent]).matches("credentials").count() == 2
    });
    lab.ok(&["agent", "stop", "node-1"]);
    assert!(state(&lab, agent).starts_with("stopped"));
    lab.ok(&["agent", "cont", "node-1"]);
    assert!(is_running(&lab, agent));
    lab.ok(&["agent", "kill", "node-1", "--stay"]);
    assert_eq!(state(&lab, agent), "down");
    assert!(!lab.ok(&["logs", agent]).contains("bye"));
    lab.ok(&["agent", "restart", "node-1"]);
    eventually("it runs", || {
        lab.ok(&["logs", agent]).matches("credentials").count() == 3
    });
    lab.ok(&["agent", "restart", "node-1"]);
    assert!(
        lab.ok(&["logs", agent]).contains("bye"),
        "a restart is a SIGTERM"
    );
    assert!(
        lab.fails(&["agent", "kill", "node-2"])
            .contains("hack/lab status")
    );
}

#[test]
fn processes_of_a_node_share_its_power() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "2"]);
    eventually("both run", || {
        is_running(&lab, "operator/1") && is_running(&lab, "agent/node-1")
    });
    lab.ok(&["node", "off", "node-1"]);
    assert_eq!(
        (state(&lab, "operator/1"), state(&lab, "agent/node-1")),
        ("down".into(), "down".into())
    );
    assert!(is_running(&lab, "agent/node-2"));
    assert!(
        lab.fails(&["operator", "restart"])
            .contains("node-1 is off")
    );
    lab.ok(&["node", "on", "node-1"]);
    assert!(is_running(&lab, "operator/1") && is_running(&lab, "agent/node-1"));
    lab.ok(&["operator", "kill", "1", "--stay"]);
    assert_eq!(state(&lab, "operator/1"), "down");
}

#[test]
fn each_replica_of_the_webhook_obeys_and_one_that_is_not_ready_is_not_called() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "3"]);
    eventually("both run", || {
        is_running(&lab, "webhook/1") && is_running(&lab, "webhook/2")
    });
    assert!(!lab.ok(&["status"]).contains("webhook/3"));
    lab.ok(&["webhook", "kill", "1", "--stay"]);
    lab.ok(&["webhook", "stop", "2"]);
    assert_eq!(state(&lab, "webhook/1"), "down");
    assert!(state(&lab, "webhook/2").starts_with("stopped"));
    lab.ok(&["webhook", "cont", "2"]);
    lab.ok(&["webhook", "restart"]);
    assert!(is_running(&lab, "webhook/1") && is_running(&lab, "webhook/2"));
    lab.ok(&["node", "off", "node-2"]);
    assert_eq!(state(&lab, "webhook/2"), "down");
    // The scripts never say that they are ready.
    let slice = [
        "-n",
        "egret-system",
        "get",
        "endpointslice",
        "egret-webhook-lab",
        "-o",
    ];
    eventually("the list of replicas is there", || {
        lab.run(&[&["kubectl"], &slice[..], &["name"]].concat())
            .status
            .success()
    });
    let listed = lab.ok(&[
        &["kubectl"],
        &slice[..],
        &["jsonpath={.endpoints[*].addresses}"],
    ]
    .concat());
    assert_eq!(listed, "");
}
