//! What a thief can do with the token of one node's agent, and what not.
//!
//! The token is real: it is bound to a Pod on that node, as the agent's own is. Requests go to the API server as they
//! are, because kubectl reads before it writes, which an agent may not.

use anyhow::{Context, Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::patience::wait_until;

const POLICY: &str = "config/policy";
const CRD: &str = "/apis/crd.antrea.io/v1beta1";
const REPORTS: &str = "/apis/egret.dev/v1alpha1/egressnodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/egret-system/leases";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// What an Egress says before the thief comes.
#[derive(Debug, Clone, Copy)]
enum Given {
    /// No node holds its IP.
    Free,
    /// The thief's node does, and `IPAssigned` says so.
    Mine,
    /// Another node does.
    Theirs,
    /// The same, and nothing is said of it.
    TheirsUnsaid,
}

impl Given {
    fn status(self) -> String {
        let (node, ip, assigned) = match self {
            Self::Free => ("null", "null", ""),
            Self::Mine => (r#""node-1""#, r#""10.10.0.31""#, ASSIGNED),
            Self::Theirs => (r#""node-2""#, r#""10.10.0.31""#, ASSIGNED),
            Self::TheirsUnsaid => (r#""node-2""#, r#""10.10.0.31""#, ""),
        };
        let status = format!(
            r#""egressNode": {node}, "egressIP": {ip}, "candidates": ["node-1", "node-2"]"#
        );
        patch(&format!("{status}, {}", conditions(&[ALLOCATED, assigned])))
    }
}

const ALLOCATED: &str = r#"{"type": "IPAllocated", "status": "True", "reason": "Allocated", "message": "m",
    "lastTransitionTime": "2026-01-01T00:00:00Z"}"#;
const ASSIGNED: &str = r#"{"type": "IPAssigned", "status": "True", "reason": "Assigned", "message": "m",
    "lastTransitionTime": "2026-01-01T00:00:00Z"}"#;
const WITHDRAWN: &str = r#"{"type": "IPAssigned", "status": "False", "reason": "Withdrawn", "message": "m",
    "lastTransitionTime": "2026-01-01T00:00:00Z"}"#;
const READY: &str = r#"{"type": "Ready", "status": "True", "reason": "Assigned", "message": "m",
    "lastTransitionTime": "2026-01-01T00:00:00Z"}"#;
const TAKE: &str = r#""egressNode": "node-1", "egressIP": "10.10.0.31""#;

fn conditions(conditions: &[&str]) -> String {
    let conditions: Vec<_> = conditions
        .iter()
        .filter(|one| !one.is_empty())
        .copied()
        .collect();
    format!(r#""conditions": [{}]"#, conditions.join(", "))
}

fn patch(status: &str) -> String {
    format!(r#"{{"status": {{{status}}}}}"#)
}

/// The lab, and who speaks to its API server.
struct Thief<'a> {
    lab: &'a Lab,
    server: String,
    token: String,
}

impl Thief<'_> {
    /// Sends a request; the answer's code and text.
    fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<(u16, String)> {
        let url = format!("{}{path}", self.server);
        let (bearer, kind) = (
            format!("Authorization: Bearer {}", self.token),
            format!("Content-Type: {kind}"),
        );
        let mut args = vec![
            "exec",
            "lab",
            "--",
            "curl",
            "-sk",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
        ];
        args.extend(["-H", &bearer, "-H", &kind, "-d", body, &url]);
        let answer = self.lab.ask(&args)?;
        let (text, code) = answer.rsplit_once('\n').context("no code")?;
        Ok((code.trim().parse()?, text.to_owned()))
    }

    /// Patches the status of the Egress as an agent does.
    fn say(&self, status: &str) -> Result<(u16, String)> {
        let path = format!("{CRD}/egresses/web/status?fieldManager=egret-agent");
        self.send("PATCH", &path, MERGE, &patch(status))
    }

    /// Applies an object as an agent does.
    fn apply(&self, path: &str, object: &str) -> Result<(u16, String)> {
        let path = format!("{path}?fieldManager=egret-agent&force=true");
        self.send("PATCH", &path, APPLY, object)
    }

    fn apply_report(&self, node: &str) -> Result<(u16, String)> {
        let meta = format!(
            r#""apiVersion": "egret.dev/v1alpha1", "kind": "EgressNode", "metadata": {{"name": "{node}"}}"#
        );
        let (code, text) = self.apply(&format!("{REPORTS}/{node}"), &format!("{{{meta}}}"))?;
        if code >= 300 {
            return Ok((code, text));
        }
        let status = format!(r#"{{{meta}, "status": {{"pods": 7}}}}"#);
        self.apply(&format!("{REPORTS}/{node}/status"), &status)
    }

    fn renew_lease(&self, node: &str) -> Result<(u16, String)> {
        let lease = format!(
            r#"{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {{"name": "{node}"}},
                "spec": {{"holderIdentity": "thief"}}}}"#
        );
        self.apply(&format!("{LEASES}/{node}"), &lease)
    }

    fn given(&self, given: Given) -> Result<()> {
        let args = [
            "patch",
            "egress",
            "web",
            "--subresource=status",
            "--type=merge",
            "-p",
        ];
        self.lab
            .kubectl(&[&args[..], &[given.status().as_str()]].concat())
            .map(drop)
    }
}

fn may(what: &str, answer: Result<(u16, String)>) -> Result<()> {
    let (code, text) = answer?;
    ensure!(code < 300, "{what}: {code}: {text}");
    Ok(())
}

/// Refused, and for this reason.
fn may_not(what: &str, answer: Result<(u16, String)>, why: &str) -> Result<()> {
    let (code, text) = answer?;
    ensure!(code == 403 && text.contains(why), "{what}: {code}: {text}");
    Ok(())
}

/// A cluster with the policy, an Egress in a pool, the token of an agent on `node-1`, and one that is bound to no Pod.
/// Nobody else writes: what is there stays until the thief comes.
fn with_thief(test: impl Fn(&Thief, &Thief) -> Result<()>) -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        lab.gateway_of("web", "10.10.0.31")?;
        for node in lab.nodes() {
            lab.keep_agent_down(&node)?;
        }
        lab.ask(&["operator", "stop"])?;
        lab.apply(
            "---\n{apiVersion: v1, kind: Pod, metadata: {name: thief, namespace: egret-system}, \
             spec: {serviceAccountName: egret-agent, nodeName: node-1, containers: [{name: c, image: none}]}}",
        )?;
        lab.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", POLICY])?;
        let server = lab.kubectl(&[
            "config",
            "view",
            "--minify",
            "-o",
            "jsonpath={.clusters[0].cluster.server}",
        ])?;
        let token = |bound: &[&str]| -> Result<Thief> {
            let args = ["create", "token", "egret-agent", "-n", "egret-system"];
            let token = lab.kubectl(&[&args, bound].concat())?;
            Ok(Thief {
                lab,
                server: server.clone(),
                token: token.trim().to_owned(),
            })
        };
        let bound = token(&["--bound-object-kind", "Pod", "--bound-object-name", "thief"])?;
        let unbound = token(&[])?;
        let answers = || Ok((unbound.say(TAKE)?.0, unbound.renew_lease("node-1")?.0));
        wait_until("both policies are in force", answers, |codes| {
            *codes == (403, 403)
        })?;
        test(&bound, &unbound)
    })
}

#[test]
fn the_token_of_a_nodes_agent_writes_about_that_node_only() -> Result<()> {
    with_thief(|thief, unbound| {
        of_its_own_node(thief)?;
        of_egresses(thief)?;
        of_assignments(thief)?;
        of_what_is_the_operators(thief)?;
        of_other_nodes(thief)?;
        with_its_role(thief)?;
        of_a_token_without_a_node(unbound)
    })
}

fn of_its_own_node(thief: &Thief) -> Result<()> {
    let taken = format!("{TAKE}, {}", conditions(&[ALLOCATED, ASSIGNED]));
    let left = conditions(&[ALLOCATED, WITHDRAWN]);
    let left = format!(r#""egressNode": null, "egressIP": null, {left}"#);
    thief.given(Given::Free)?;
    may("take what nobody holds", thief.say(&taken))?;
    may("leave it", thief.say(&left))?;
    thief.given(Given::Theirs)?;
    may("take over", thief.say(&taken))?;
    let again = conditions(&[ALLOCATED, &ASSIGNED.replace("\"m\"", "\"again\"")]);
    may("speak of what it holds", thief.say(&again))?;
    may(
        "make and write its own report",
        thief.apply_report("node-1"),
    )?;
    may("renew its own Lease", thief.renew_lease("node-1"))
}

fn of_egresses(thief: &Thief) -> Result<()> {
    const NODE: &str = "sets egressNode to its own node only";
    const IP: &str = "sets egressIP only to spec.egressIP";
    let (to_node_2, to_nobody) = (r#""egressNode": "node-2""#, r#""egressNode": null"#);
    let wrong = r#""egressNode": "node-1", "egressIP": "10.10.0.99""#;
    let (other_ip, no_ip) = (r#""egressIP": "10.10.0.99""#, r#""egressIP": null"#);
    let cases = [
        ("give a free IP away", Given::Free, to_node_2, NODE),
        ("give its own away", Given::Mine, to_node_2, NODE),
        ("clear another node", Given::TheirsUnsaid, to_nobody, NODE),
        ("take an IP that was not asked for", Given::Free, wrong, IP),
        ("change another's IP", Given::Theirs, other_ip, IP),
        ("clear another's IP", Given::Theirs, no_ip, IP),
    ];
    for (what, given, status, why) in cases {
        thief.given(given)?;
        may_not(what, thief.say(status), why)?;
    }
    Ok(())
}

fn of_assignments(thief: &Thief) -> Result<()> {
    const SAID: &str = "changes IPAssigned only where its own node";
    const NOBODY: &str = "nothing is assigned without a node";
    let left = r#""egressNode": null, "egressIP": null"#.to_owned();
    let cases = [
        (
            "deny another",
            Given::Theirs,
            conditions(&[ALLOCATED, WITHDRAWN]),
            SAID,
        ),
        (
            "hide another",
            Given::Theirs,
            conditions(&[ALLOCATED]),
            SAID,
        ),
        ("assign to nobody", Given::Mine, left, NOBODY),
    ];
    for (what, given, status, why) in cases {
        thief.given(given)?;
        may_not(what, thief.say(&status), why)?;
    }
    Ok(())
}

fn of_what_is_the_operators(thief: &Thief) -> Result<()> {
    const CONDITIONS: &str = "of the conditions an agent changes IPAssigned only";
    const CANDIDATES: &str = "candidates are the operator's";
    let cases = [
        (
            "say that all is well",
            conditions(&[ALLOCATED, READY, ASSIGNED]),
            CONDITIONS,
        ),
        ("deny an allocation", conditions(&[ASSIGNED]), CONDITIONS),
        (
            "choose candidates",
            r#""candidates": ["node-1"]"#.to_owned(),
            CANDIDATES,
        ),
        (
            "have no candidates",
            r#""candidates": null"#.to_owned(),
            CANDIDATES,
        ),
    ];
    for (what, status, why) in cases {
        thief.given(Given::Mine)?;
        may_not(what, thief.say(&status), why)?;
    }
    for manager in ["egret-operator", "kubectl"] {
        let path = format!("{CRD}/egresses/web/status?fieldManager={manager}");
        let answer = thief.send("PATCH", &path, MERGE, &patch(TAKE));
        may_not(
            "write under another name",
            answer,
            "as field manager egret-agent",
        )?;
    }
    Ok(())
}

fn of_other_nodes(thief: &Thief) -> Result<()> {
    const OWN: &str = "an agent writes only the object of its own node: node-1";
    for node in ["node-2", "node-9", "egret-operator"] {
        may_not("write another node's report", thief.apply_report(node), OWN)?;
        may_not("renew another Lease", thief.renew_lease(node), OWN)?;
    }
    let status = format!("{REPORTS}/node-2/status?fieldManager=egret-agent");
    let down = r#"{"status": {"peersDown": []}}"#;
    may_not(
        "speak for another",
        thief.send("PATCH", &status, MERGE, down),
        OWN,
    )
}

/// What its role refuses, whatever the policy says.
fn with_its_role(thief: &Thief) -> Result<()> {
    const NO: &str = "cannot";
    let spec = r#"{"spec": {"appliedTo": {}}}"#;
    let system = "/api/v1/namespaces/egret-system";
    let cases = [
        ("PATCH", format!("{CRD}/egresses/web"), spec),
        (
            "POST",
            format!("{CRD}/egresses"),
            r#"{"metadata": {"name": "new"}}"#,
        ),
        ("DELETE", format!("{CRD}/egresses/web"), ""),
        ("GET", format!("{CRD}/egresses/web"), ""),
        ("PATCH", format!("{CRD}/externalippools/pool"), "{}"),
        ("PATCH", format!("{CRD}/externalippools/pool/status"), "{}"),
        ("DELETE", format!("{CRD}/externalippools/pool"), ""),
        ("DELETE", format!("{REPORTS}/node-1"), ""),
        ("GET", REPORTS.to_owned(), ""),
        ("DELETE", format!("{LEASES}/node-1"), ""),
        ("GET", format!("{LEASES}/node-2"), ""),
        (
            "GET",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases".to_owned(),
            "",
        ),
        ("GET", format!("{system}/secrets"), ""),
        ("GET", format!("{system}/secrets/egret-gossip"), ""),
        ("GET", format!("{system}/configmaps"), ""),
        (
            "GET",
            "/api/v1/namespaces/kube-system/configmaps".to_owned(),
            "",
        ),
        (
            "POST",
            format!("{system}/pods"),
            r#"{"metadata": {"name": "new"}}"#,
        ),
        ("PATCH", format!("{system}/pods/thief"), "{}"),
        ("DELETE", format!("{system}/pods/thief"), ""),
        ("PATCH", "/api/v1/nodes/node-1".to_owned(), "{}"),
        ("DELETE", "/api/v1/nodes/node-1".to_owned(), ""),
        (
            "POST",
            format!("{system}/serviceaccounts/egret-operator/token"),
            "{}",
        ),
    ];
    for (method, path, body) in cases {
        let kind = if method == "PATCH" {
            MERGE
        } else {
            "application/json"
        };
        let what = format!("{method} {path}");
        may_not(&what, thief.send(method, &path, kind, body), NO)?;
    }
    Ok(())
}

fn of_a_token_without_a_node(thief: &Thief) -> Result<()> {
    const NO_NODE: &str = "names no";
    thief.given(Given::Free)?;
    may_not("take", thief.say(r#""egressNode": "node-1""#), NO_NODE)?;
    may_not(
        "change nothing",
        thief.say(r#""egressNode": null"#),
        "the token names no node",
    )?;
    for node in ["node-1", "node-9"] {
        may_not("report", thief.apply_report(node), NO_NODE)?;
        may_not("renew a Lease", thief.renew_lease(node), NO_NODE)?;
    }
    Ok(())
}
