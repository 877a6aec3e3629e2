//! What a container of Egret's Pods gets, and what its probes do: with scripts in place of programs.

use super::driver::{Lab, agents, deployment, eventually};

/// Tells what it finds in its volumes whenever that changes, and which capabilities it has.
const READER: &str = r#"grep CapEff /proc/self/status
while :; do
  now=$(cat /run/egret/config/* /run/egret/gossip/key /var/run/secrets/own/* 2>/dev/null)
  [ "$now" = "$before" ] || echo "$now"
  before=$now
  sleep 0.05
done"#;

const VOLUMES: &str = "        securityContext: {capabilities: {drop: [ALL], add: [NET_RAW]}}
        volumeMounts:
        - {name: config, mountPath: /run/egret/config}
        - {name: gossip, mountPath: /run/egret/gossip}
        - {name: scratch, mountPath: /var/run/secrets/own}
      volumes:
      - {name: config, configMap: {name: egret-agent, optional: true}}
      - {name: gossip, secret: {secretName: wanted}}
      - {name: scratch, emptyDir: {}}
";

fn log(lab: &Lab) -> String {
    lab.ok(&["logs", "agent/node-1"])
}

fn config_map(value: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: egret-agent}}, data: {{mode: {value}}}}}"
    )
}

#[test]
fn a_container_waits_for_its_secret_and_sees_what_becomes_of_its_config() {
    let lab = Lab::new();
    lab.install(READER, &deployment("operator", 1, ""));
    lab.start(&["--nodes", "1"]);
    lab.apply(&agents(VOLUMES));
    let waits = || {
        let reason = "-ojsonpath={.items[0].status.containerStatuses[0].state.waiting.message}";
        lab.kubectl(&["get", "pods", "-lapp.kubernetes.io/component=agent", reason])
    };
    eventually("it says for what it waits", || {
        waits().contains("Secret wanted")
    });
    // It is known, though it has said nothing.
    assert_eq!(log(&lab), "");
    assert!(
        lab.fails(&["agent", "restart", "node-1"])
            .contains("does not run yet")
    );

    lab.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: wanted}, stringData: {key: sesame}}",
    );
    eventually("it runs and reads", || log(&lab).contains("sesame"));
    assert!(
        !log(&lab).contains("mode"),
        "what may be missing is missing"
    );
    // NET_RAW is the 14th.
    assert!(log(&lab).contains("0000000000002000"), "{}", log(&lab));
    for value in ["first", "second"] {
        lab.apply(&config_map(value));
        eventually("it reads the new one", || log(&lab).contains(value));
    }
}

#[test]
fn a_token_is_the_service_accounts_and_works_only_as_long_as_its_pod() {
    let script = "cat /var/run/secrets/kubernetes.io/serviceaccount/token; sleep 1000";
    let lab = Lab::new();
    lab.install(script, &deployment("operator", 1, ""));
    lab.start(&["--nodes", "1"]);
    eventually("it shows its token", || {
        !lab.ok(&["logs", "operator/1"]).is_empty()
    });
    let token = lab.ok(&["logs", "operator/1"]);
    let ask = || {
        let token = format!("--token={token}");
        let output = lab.run(&[
            "kubectl",
            &token,
            "--kubeconfig=/dev/null",
            "--server=https://10.10.0.1:6443",
            "--insecure-skip-tls-verify",
            "auth",
            "whoami",
            "-ojsonpath={.status.userInfo.username}",
        ]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(ask(), "system:serviceaccount:egret-system:default");
    lab.kubectl(&["delete", "deployment", "egret-operator"]);
    lab.kubectl(&["wait", "--for=delete", "pods", "--all", "--timeout=60s"]);
    eventually("nobody takes it any more", || ask().is_empty());
}

#[test]
fn what_the_lab_cannot_run_says_so_and_waits() {
    let lab = Lab::new();
    lab.install("sleep 1000", &deployment("operator", 1, ""));
    lab.start(&["--nodes", "1"]);
    let elsewhere = "        volumeMounts: [{name: v, mountPath: /etc/egret}]\n      volumes: [{name: v, emptyDir: {}}]\n";
    lab.apply(&deployment("webhook", 1, elsewhere));
    let other = deployment("other", 1, "");
    lab.apply(&other);
    for (component, words) in [
        ("webhook", "below /run"),
        ("other", "example.org/egret-other:0.1.0"),
    ] {
        let label = format!("-lapp.kubernetes.io/component={component}");
        let reason = "-ojsonpath={.items[0].status.containerStatuses[0].state.waiting.message}";
        eventually("it says why", || {
            let pods = lab.kubectl(&["get", "pods", &label, "-oname"]);
            !pods.is_empty()
                && lab
                    .kubectl(&["get", "pods", &label, reason])
                    .contains(words)
        });
        assert!(lab.ok(&["logs", "lab"]).contains(words));
    }
    assert!(
        lab.ok(&["status"])
            .contains("other/1                waiting")
    );
}

/// An HTTP server of the lab's own, as long as a file says so.
fn server() -> String {
    format!("exec {} echo", env!("CARGO_BIN_EXE_egret-lab"))
}

fn probe(kind: &str, port: u16, rest: &str) -> String {
    format!("        {kind}: {{httpGet: {{path: /, port: {port}}}, periodSeconds: 1{rest}}}\n")
}

#[test]
fn a_service_lists_a_replica_only_while_it_is_ready() {
    let lab = Lab::new();
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: front}, spec: {ports: [{port: 80, \
                   targetPort: 8080}], selector: {app.kubernetes.io/component: operator}}}\n";
    let pod = probe("readinessProbe", 8080, "");
    lab.install(&server(), &(deployment("operator", 2, &pod) + service));
    lab.start(&["--nodes", "2"]);
    let listed = || {
        let ready = "-ojsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}";
        let slices = [
            "get",
            "endpointslices",
            "-lkubernetes.io/service-name=front",
            ready,
        ];
        let text = lab.kubectl(&slices);
        let mut addresses: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        addresses.sort();
        addresses
    };
    let both = ["10.244.1.254", "10.244.2.254"];
    eventually("both are listed", || listed() == both);
    // It is there, and does not answer.
    lab.ok(&["operator", "stop", "1"]);
    eventually("one is listed", || listed() == [both[1]]);
    lab.ok(&["operator", "cont", "1"]);
    eventually("both are listed again", || listed() == both);
    lab.ok(&["node", "off", "node-2"]);
    eventually("one is listed", || listed() == [both[0]]);
    lab.ok(&["node", "on", "node-2"]);
    eventually("both are listed again", || listed() == both);
    lab.ok(&["net", "cut", "node-1", "api"]);
    eventually("one is listed", || listed() == [both[1]]);
}

#[test]
fn one_that_does_not_live_is_restarted() {
    let lab = Lab::new();
    let pod = probe("livenessProbe", 9, ", failureThreshold: 2");
    lab.install("echo begun; sleep 1000", &deployment("operator", 1, &pod));
    lab.start(&["--nodes", "1"]);
    eventually("it has begun a second time", || {
        lab.ok(&["logs", "operator/1"]).matches("begun").count() > 1
    });
    assert!(lab.ok(&["logs", "lab"]).contains("it does not live"));
}
