//! Egret's processes as the lab runs them, with scripts in their place.

use super::driver::{Lab, eventually};

/// Tells what it was given, then waits.
const SCRIPT: &str = r#"echo "$0 $*"
echo "pod=$POD ip=$POD_IP host=$HOST_IP api=$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT config=$KUBECONFIG."
trap 'echo bye; exit' TERM
[ -s /var/run/secrets/kubernetes.io/serviceaccount/token ] && echo credentials
while :; do sleep 0.05; done"#;

fn state(lab: &Lab, process: &str) -> String {
    let status = lab.ok(&["status"]);
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with(&format!("{process} ")));
    line.map_or_else(String::new, |line| {
        line.split_once(' ').unwrap().1.trim().to_owned()
    })
}

fn is_running(lab: &Lab, process: &str) -> bool {
    state(lab, process).starts_with("running")
}

/// How often a process has begun.
fn lives(lab: &Lab, process: &str) -> usize {
    lab.ok(&["logs", process]).matches("credentials").count()
}

#[test]
fn every_process_gets_what_its_manifest_gives_it() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "2"]);
    eventually("all have spoken", || {
        let all = ["agent/node-2", "operator", "webhook/1", "webhook/2"];
        all.iter().all(|process| lives(&lab, process) == 1)
    });
    let log = lab.ok(&["logs", "agent/node-2"]);
    for part in [
        "egret-agent --node node-2\n",
        "pod=egret-agent-",
        "ip=10.10.0.102 host=10.10.0.102",
        "api=10.10.0.1:6443 config=.",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    assert!(lab.ok(&["logs", "operator"]).contains("--node node-1"));
    let log = lab.ok(&["logs", "webhook/2"]);
    assert!(log.contains("ip=10.244.2.254 host=10.10.0.102"), "{log}");
    assert_eq!(lives(&lab, "webhook"), 2);
}

#[test]
fn an_agent_is_killed_stopped_and_restarted() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "1"]);
    let agent = "agent/node-1";
    eventually("it runs", || lives(&lab, agent) == 1);
    let first = state(&lab, agent);
    lab.ok(&["agent", "kill", "node-1"]);
    eventually("another runs", || {
        is_running(&lab, agent) && state(&lab, agent) != first
    });
    eventually("the other has spoken", || lives(&lab, agent) == 2);
    let restarts = "-ojsonpath={.items[0].status.containerStatuses[0].restartCount}";
    let of_agent = ["get", "pods", "-lapp.kubernetes.io/component=agent"];
    eventually("its Pod says so", || {
        lab.kubectl(&[&of_agent[..], &[restarts]].concat()) == "1"
    });
    lab.ok(&["agent", "stop", "node-1"]);
    assert!(state(&lab, agent).starts_with("stopped"));
    lab.ok(&["agent", "cont", "node-1"]);
    assert!(is_running(&lab, agent));
    lab.ok(&["agent", "kill", "node-1", "--stay"]);
    assert_eq!(state(&lab, agent), "down");
    assert!(!lab.ok(&["logs", agent]).contains("bye"));
    lab.ok(&["agent", "restart", "node-1"]);
    eventually("it runs", || lives(&lab, agent) == 3);
    lab.ok(&["agent", "restart", "node-1"]);
    assert!(
        lab.ok(&["logs", agent]).contains("bye"),
        "a restart is a SIGTERM"
    );
    assert!(
        lab.fails(&["agent", "kill", "node-2"])
            .contains("hack/lab status")
    );
    assert!(lab.fails(&["logs", "agent/node-2"]).contains("no log"));
}

#[test]
fn processes_of_a_node_share_its_power() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "2"]);
    eventually("both run", || {
        is_running(&lab, "operator/1") && is_running(&lab, "agent/node-1")
    });
    let is_ready = || {
        let ready = "-ojsonpath={.items[0].status.conditions[?(@.type=='Ready')].status}";
        lab.kubectl(&[
            "get",
            "pods",
            "-lapp.kubernetes.io/component=operator",
            ready,
        ])
    };
    eventually("the operator's Pod is ready", || is_ready() == "True");
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
    eventually("its Pod is not ready", || is_ready() == "False");
    lab.ok(&["node", "on", "node-1"]);
    assert!(is_running(&lab, "operator/1") && is_running(&lab, "agent/node-1"));
    eventually("the operator's Pod is ready again", || is_ready() == "True");
    lab.ok(&["operator", "kill", "1", "--stay"]);
    assert_eq!(state(&lab, "operator/1"), "down");
}

#[test]
fn each_replica_obeys_its_own_number() {
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
}

#[test]
fn a_pod_that_is_deleted_ends_in_order_and_the_next_goes_on_with_its_name_and_log() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "1"]);
    eventually("it runs", || lives(&lab, "operator/1") == 1);
    let pod = || {
        lab.kubectl(&[
            "get",
            "pods",
            "-lapp.kubernetes.io/component=operator",
            "-oname",
        ])
    };
    let first = pod();
    lab.kubectl(&["delete", &first, "--timeout=60s"]);
    assert!(lab.ok(&["logs", "operator/1"]).contains("bye"));
    eventually("another runs", || {
        lab.kubectl(&[
            "rollout",
            "status",
            "deployment/egret-operator",
            "--timeout=60s",
        ]);
        let operators = lab.ok(&["status"]).matches("operator/").count();
        operators == 1 && pod() != first
    });
    // While the first was ending, the second may have got another number.
    let logs = || ["operator/1", "operator/2"].map(|name| lab.run(&["logs", name]).stdout);
    eventually("it has spoken", || {
        String::from_utf8_lossy(&logs().concat())
            .matches("credentials")
            .count()
            == 2
    });
}

#[test]
fn a_lab_without_the_webhook_has_all_else() {
    let lab = Lab::with_programs(SCRIPT, &["--nodes", "1", "--without-webhook"]);
    assert!(is_running(&lab, "operator/1") && is_running(&lab, "agent/node-1"));
    let deployments = lab.kubectl(&["get", "deployments", "-oname"]);
    assert_eq!(deployments, "deployment.apps/egret-operator");
    assert_eq!(lab.ok(&["logs", "webhook"]), "");
}
