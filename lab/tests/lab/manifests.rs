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
        (OPERATOR, "get", "secrets/egret-gossip"),
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
        (AGENT, "get", "secrets/egret-webhook-tls"),
    ] {
        assert!(
            !may(&lab, account, verb, resource),
            "{account} {verb} {resource}"
        );
    }
}
