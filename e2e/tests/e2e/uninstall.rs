//! `kubectl delete -k config/default` in a cluster where Egresses are in use: it ends, and leaves what users have made.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::patience::{wait_until, wait_until_within};

const CONFIG: &str = "config/default";
const IP: &str = "10.10.0.31";

/// Where an address, a rule, a link, a route or a table of Egret's would show.
const LOOKS: [&str; 5] = [
    "nft list tables",
    "ip -4 rule",
    "ip -o link",
    "ip -4 route show table all",
    "ip -o -4 addr",
];
/// What tells it from what others have made.
const MARKS: [&str; 3] = ["egret", "fwmark", "10.10.0.31/"];

/// What is left of Egret on a node.
fn traces(lab: &Lab, node: &str) -> Result<Vec<String>> {
    let mut traces = Vec::new();
    for look in LOOKS {
        let shown = lab.on_node(node, look)?;
        let is_ours = |line: &&str| MARKS.iter().any(|mark| line.contains(mark));
        traces.extend(shown.lines().filter(is_ours).map(str::to_owned));
    }
    Ok(traces)
}

/// What is left of Egret in the API, but for its namespace and what is in it.
fn objects(lab: &Lab) -> Result<Vec<String>> {
    let kinds = "customresourcedefinitions,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,\
                 validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,namespaces";
    let all = lab.kubectl(&["get", kinds, "-o", "name"])?;
    let roles = ["kube-system", "default"].map(|namespace| {
        lab.kubectl(&["get", "roles,rolebindings", "-n", namespace, "-o", "name"])
    });
    let [in_kube_system, in_default] = roles;
    let (in_kube_system, in_default) = (in_kube_system?, in_default?);
    let ours = |line: &&str| {
        ["egret", "crd.antrea.io"]
            .iter()
            .any(|part| line.contains(part))
    };
    let lines = all.lines().chain(in_kube_system.lines());
    let lines = lines.chain(in_default.lines());
    Ok(lines.filter(ours).map(str::to_owned).collect())
}

/// An Egress from a pool and one with a static IP, both with Pods; gives the node of the Pod.
fn use_egresses(lab: &Lab) -> Result<String> {
    lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
    let web = pods_with("app", "web");
    lab.apply(&egress("pooled", &web, "externalIPPool: pool"))?;
    let db = pods_with("app", "db");
    lab.apply(&egress("static", &db, "egressIP: 10.10.0.102"))?;
    let gateway = lab.gateway_of("pooled", IP)?;
    lab.wait_for_gateway("static", "10.10.0.102", "node-2")?;
    let node = lab.node_except(&[&gateway, "node-3"])?;
    lab.pod("shop/web", &node, "app=web")?;
    lab.wait_for_source("shop/web", IP)?;
    Ok(node)
}

/// The accounts are guarded as soon as there is a leader.
fn wait_until_guarded(lab: &Lab) -> Result<()> {
    let look = || {
        lab.kubectl(&[
            "get",
            "serviceaccounts",
            "-n",
            "egret-system",
            "-o=jsonpath={.items[*].metadata.finalizers}",
        ])
    };
    let both = |text: &String| text.matches("egret.dev/teardown").count() == 2;
    wait_until("both accounts are guarded", look, both).map(drop)
}

fn delete(lab: &Lab) -> Result<()> {
    let command = ["delete", "-k", CONFIG, "--timeout=120s"];
    lab.kubectl(&command).map(drop)
}

#[test]
fn an_uninstall_ends_and_leaves_only_what_users_have_made() -> Result<()> {
    Lab::run(3, |lab| {
        let node = use_egresses(lab)?;
        wait_until_guarded(lab)?;
        for node in lab.nodes() {
            ensure!(
                !traces(lab, &node)?.is_empty(),
                "nothing of Egret is seen on {node}"
            );
        }

        delete(lab)?;
        let limit = Duration::from_secs(30);
        wait_until_within("no object is left", limit, || objects(lab), Vec::is_empty)?;
        for node in lab.nodes() {
            let left = traces(lab, &node)?;
            ensure!(left.is_empty(), "{node} has {left:?}");
        }
        lab.wait_for_node_source("shop/web", &node)?;

        lab.kubectl(&["apply", "--server-side", "-k", CONFIG])?;
        lab.wait_until_ready()?;
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        let web = pods_with("app", "web");
        lab.apply(&egress("again", &web, "externalIPPool: pool"))?;
        lab.wait_for_source("shop/web", IP)
    })
}

#[test]
fn a_node_without_power_does_not_hold_up_an_uninstall() -> Result<()> {
    Lab::run(3, |lab| {
        let node = use_egresses(lab)?;
        wait_until_guarded(lab)?;
        lab.power_off("node-3")?;
        delete(lab)?;
        let limit = Duration::from_secs(30);
        wait_until_within("no object is left", limit, || objects(lab), Vec::is_empty)?;
        for node in ["node-1", "node-2"] {
            let left = traces(lab, node)?;
            ensure!(left.is_empty(), "{node} has {left:?}");
        }
        lab.wait_for_node_source("shop/web", &node)?;
        lab.power_on("node-3")?;
        let look = || traces(lab, "node-3");
        wait_until("node-3 is clean", look, Vec::is_empty).map(drop)
    })
}

#[test]
fn an_agent_that_is_only_started_again_leaves_its_node_as_it_is() -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        let web = pods_with("app", "web");
        lab.apply(&egress("pooled", &web, "externalIPPool: pool"))?;
        let gateway = lab.gateway_of("pooled", IP)?;
        wait_until_guarded(lab)?;
        let before = traces(lab, &gateway)?;
        lab.restart_agent(&gateway)?;
        lab.wait_until_ready()?;
        // Links that were made anew would have other numbers.
        let now = traces(lab, &gateway)?;
        ensure!(now == before, "from {before:#?} to {now:#?}");
        Ok(())
    })
}
