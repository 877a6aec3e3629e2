//! Pods: made by the lab's command and by kubectl, gone in every way they can go.

use std::io::Write;
use std::process::Stdio;

use super::driver::{Lab, eventually, text};

#[test]
fn every_kind_of_masquerade_hides_the_pods_address() {
    for kind in ["iptables-nft", "iptables-legacy", "nft"] {
        let lab = Lab::up(&["--nodes", "2", "--masquerade", kind]);
        let address = lab.ok(&[
            "pod", "web", "--node", "node-2", "-n", "shop", "-l", "app=web",
        ]);
        assert_eq!(address, "10.244.2.2", "{kind}");
        assert_eq!(lab.ok(&["curl", "-4", "shop/web"]), "10.10.0.102", "{kind}");
        let seen = lab.ok(&["seen"]);
        assert!(
            seen.starts_with("10.10.0.102 ") && !seen.contains("10.244"),
            "{kind}: {seen}"
        );
        lab.ok(&["seen", "--reset"]);
        assert_eq!(lab.ok(&["seen"]), "", "{kind}");
    }
}

#[test]
fn between_pods_of_two_nodes_no_address_is_changed() {
    let lab = Lab::up(&["--nodes", "2", "--mtu", "1400"]);
    let server = lab.ok(&["pod", "server", "--node", "node-1"]);
    let client = lab.ok(&["pod", "client", "--node", "node-2"]);
    let listen = [
        "exec",
        "default/server",
        "--",
        env!("CARGO_BIN_EXE_egret-lab"),
        "echo",
    ];
    let mut listening = lab.command(&listen).spawn().unwrap();
    let url = format!("http://{server}:8080/");
    eventually("the server answers", || {
        lab.run(&["curl", "default/client", &url]).status.success()
    });
    assert_eq!(lab.ok(&["curl", "default/client", &url]), client);
    assert!(
        lab.ok(&["exec", "default/client", "--", "ip", "link"])
            .contains("mtu 1400")
    );

    lab.ok(&["pod", "rm", "server"]);
    // What runs in a Pod ends with it.
    assert!(!listening.wait().unwrap().success());
}

#[test]
fn pods_of_kubectl_run_and_go_like_any_other() {
    let lab = Lab::up(&["--nodes", "1"]);
    let manifest = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "none"}]}}"#;
    lab.ok(&["pod", "first", "--node", "node-1", "-n", "team"]);
    let mut create = lab.command(&["kubectl", "-n", "team", "create", "-f", "-"]);
    let mut create = create
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    create
        .stdin
        .take()
        .unwrap()
        .write_all(manifest.as_bytes())
        .unwrap();
    assert!(create.wait().unwrap().success());
    let ready = ["wait", "--for=condition=Ready", "pod/own", "--timeout=60s"];
    lab.ok(&[&["kubectl", "-n", "team"], &ready[..]].concat());
    assert_eq!(lab.ok(&["curl", "team/own"]), "10.10.0.101");

    lab.ok(&[
        "kubectl",
        "-n",
        "team",
        "delete",
        "pod",
        "own",
        "--timeout=60s",
    ]);
    lab.ok(&["kubectl", "delete", "namespace", "team", "--timeout=60s"]);

    eventually("no Pod has a network", || {
        !lab.ok(&["exec", "lab", "--", "ip", "netns"])
            .contains("pod-")
    });
    assert!(lab.fails(&["curl", "team/own"]).contains("hack/lab status"));
    assert_eq!(lab.ok(&["pod", "next", "--node", "node-1"]), "10.244.1.2");
}

#[test]
fn many_pods_in_one_call_answer_in_their_order() {
    let lab = Lab::up(&["--nodes", "2"]);
    let pods = (1..=40).map(|n| {
        format!(
            "{{\"name\":\"p{n}\",\"node\":\"node-{}\",\"labels\":{{\"n\":\"{n}\"}}}}\n",
            1 + n % 2
        )
    });
    let file = lab.folder().join("pods");
    std::fs::write(&file, pods.collect::<String>()).unwrap();
    let addresses = lab.ok(&["pods", "apply", file.to_str().unwrap()]);
    let addresses: Vec<&str> = addresses.lines().collect();
    assert_eq!(addresses.len(), 40);
    for (pod, address) in [("p1", addresses[0]), ("p40", addresses[39])] {
        let path = "-ojsonpath={.status.podIP}";
        assert_eq!(lab.ok(&["kubectl", "get", "pod", pod, path]), address);
    }
    assert!(lab.ok(&["status"]).contains("20\n"));
}

#[test]
fn commands_exit_as_theirs_did_and_end_with_them() {
    let lab = Lab::up(&["--nodes", "1"]);
    let code = |script: &str| {
        lab.run(&["exec", "node/node-1", "--", "sh", "-c", script])
            .status
            .code()
    };
    assert_eq!(code("exit 7"), Some(7));
    assert_eq!(code("kill -KILL $$"), Some(137));
    assert_eq!(
        lab.run(&["kubectl", "get", "nonsense"]).status.code(),
        Some(1)
    );
    assert!(
        lab.fails(&["exec", "default/none", "--", "true"])
            .contains("default/none")
    );

    let sleep = ["exec", "ext", "--", "sleep", "1000"];
    let mut killed = lab.command(&sleep).spawn().unwrap();
    let sleeps = || {
        text(
            &lab.run(&["exec", "lab", "--", "pgrep", "-x", "sleep"])
                .stdout,
        )
    };
    eventually("it sleeps", || !sleeps().is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    eventually("it is gone", || sleeps().is_empty());
}

#[test]
fn a_stream_of_requests_tells_sources_and_the_longest_gap() {
    let lab = Lab::up(&["--nodes", "1"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    // Everybody on the path knows their neighbours, so that none of the requests waits for that.
    eventually("the outside answers", || {
        lab.run(&["curl", "default/a"]).status.success()
    });
    let sum = lab.ok(&["stream", "default/a", "--rate", "50", "--seconds", "2"]);
    let sum: serde_json::Value = serde_json::from_str(&sum).unwrap();
    assert_eq!(
        (&sum["sent"], &sum["answered"]),
        (&100.into(), &100.into()),
        "{sum}"
    );
    assert_eq!(sum["sources"]["10.10.0.101"], 100, "{sum}");

    lab.ok(&["net", "cut", "node-1", "ext"]);
    let sum = lab.ok(&["stream", "default/a", "--rate", "50", "--seconds", "1"]);
    let sum: serde_json::Value = serde_json::from_str(&sum).unwrap();
    assert_eq!(
        (&sum["sent"], &sum["answered"]),
        (&50.into(), &0.into()),
        "{sum}"
    );
}
