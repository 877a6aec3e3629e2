//! Egret's manifests, as a real API server takes them.

use super::driver::{Lab, text};

const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/default");

const OPERATOR: &str = "egret-operator";
const WEBHOOK: &str = "egret-webhook";
const AGENT: &str = "egret-agent";

fn may(lab: &Lab, account: &str, verb: &str, resource: &str) -> bool {
    let account = format!("--as=system:serviceaccount:egret-system:{account}");
    let question = [
        "kubectl",
        "-n",
        "egret-system",
        "auth",
        "can-i",
        verb,
        resource,
    ];
    let output = lab.run(&[&question[..], &[&account]].concat());
    let answer = text(&output.stdout).trim().to_owned();
    // The exit code alone says no also when the question could not be asked.
    let is_answer = ["yes", "no"].contains(&answer.as_str());
    assert!(is_answer, "{verb} {resource}: {}", text(&output.stderr));
    answer == "yes"
}

#[test]
fn the_manifests_are_accepted_and_each_account_may_do_only_its_own() {
    let lab = Lab::up(&["--nodes", "1"]);
    let applied = lab.run(&["kubectl", "apply", "--server-side", "-k", DEFAULT]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert!(
        !text(&applied.stderr).contains("Warning"),
        "{}",
        text(&applied.stderr)
    );

    let (mutating, validating) = (
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    );
    for (account, verb, resource) in [
        (OPERATOR, "update", "secrets/egret-ca"),
        (OPERATOR, "watch", "secrets/egret-webhook-tls"),
        (OPERATOR, "list", "endpointslices.discovery.k8s.io"),
        (OPERATOR, "patch", &format!("{mutating}/egret")),
        (OPERATOR, "patch", &format!("{validating}/egret")),
        (OPERATOR, "update", "secrets/egret-gossip"),
        (OPERATOR, "watch", "configmaps/egret-config"),
        (OPERATOR, "patch", "configmaps/egret-agent"),
        (OPERATOR, "delete", "daemonsets.apps/egret-agent"),
        (OPERATOR, "delete", "egressnodes.egret.dev"),
        (WEBHOOK, "watch", "secrets/egret-webhook-tls"),
        (WEBHOOK, "list", "egresses.crd.antrea.io"),
    ] {
        assert!(
            may(&lab, account, verb, resource),
            "{account} {verb} {resource}"
        );
    }
    for (account, verb, resource) in [
        (OPERATOR, "list", "secrets"),
        (OPERATOR, "delete", "secrets/egret-gossip"),
        (OPERATOR, "patch", "configmaps/egret-config"),
        (OPERATOR, "create", "daemonsets.apps"),
        (OPERATOR, "patch", "daemonsets.apps/other"),
        (OPERATOR, "delete", "secrets/egret-ca"),
        (OPERATOR, "create", mutating),
        (OPERATOR, "patch", &format!("{validating}/other")),
        (WEBHOOK, "get", "secrets/egret-ca"),
        (WEBHOOK, "watch", "secrets/egret-ca"),
        (WEBHOOK, "list", "secrets"),
        (WEBHOOK, "update", "secrets/egret-webhook-tls"),
        (WEBHOOK, "patch", "egresses.crd.antrea.io"),
        (WEBHOOK, "create", "egresses.crd.antrea.io"),
        (AGENT, "get", "secrets/egret-ca"),
        (AGENT, "get", "secrets/egret-gossip"),
        (AGENT, "get", "secrets/egret-webhook-tls"),
    ] {
        assert!(
            !may(&lab, account, verb, resource),
            "{account} {verb} {resource}"
        );
    }
}

#[test]
fn an_overlay_names_the_agents_image_where_it_names_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let default = std::fs::canonicalize(DEFAULT).unwrap();
    let here = std::fs::canonicalize(folder.path()).unwrap();
    // kustomize takes no absolute paths.
    let up = "../".repeat(here.components().count() - 1);
    let overlay = format!(
        "resources: [{up}{}]\nimages:\n- {{name: egret-agent, newName: example.org/agent, newTag: v9}}\n",
        default.strip_prefix("/").unwrap().display()
    );
    std::fs::write(here.join("kustomization.yaml"), overlay).unwrap();
    let output = std::process::Command::new("kubectl")
        .arg("kustomize")
        .arg(&here)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let built = text(&output.stdout);
    let named = "- name: EGRET_AGENT_IMAGE\n          value: example.org/agent:v9\n";
    assert!(built.contains(named), "{built}");
    assert!(built.contains("image: egret-operator:0.1.0\n"));
}
