//! The acts, in their order.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::patience::wait_until;
use egret_e2e::stream::Summary;

use crate::stage::Stage;

const PROD: &str = "egress-prod-web";
const PROD_IP: &str = "10.10.0.11";
const STAGING: &str = "egress-staging-web";
const STAGING_IP: &str = "10.10.0.12";
const HA: &str = "config/samples/ha.yaml";
const STATIC: &str = "config/samples/static.yaml";
const STREAM_S: u32 = 10;

/// All of them.
pub(crate) fn all(stage: &mut Stage, lab: &Lab) -> Result<()> {
    let (prod, staging) = ha(stage, lab)?;
    sources(stage, lab, &prod, &staging)?;
    power_cut(stage, lab, &prod)?;
    static_ips(stage, lab)?;
    moved_by_hand(stage, lab)
}

/// The gateways of both Egresses.
fn ha(stage: &mut Stage, lab: &Lab) -> Result<(String, String)> {
    stage.title(
        "Two namespaces shall leave the cluster with an IP each, whatever happens to a node",
    );
    stage.give(lab, &["kubectl", "apply", "-f", HA])?;
    let prod = lab.gateway_of(PROD, PROD_IP);
    let staging = lab.gateway_of(STAGING, STAGING_IP);
    stage.give(lab, &["kubectl", "get", "egress"])?;
    let prod = stage.check(&format!("{PROD} has {PROD_IP} on a node"), prod)?;
    let staging = stage.check(&format!("{STAGING} has {STAGING_IP} on a node"), staging)?;
    stage.is_so("the two IPs are on different nodes", prod != staging, &prod);
    Ok((prod, staging))
}

fn sources(stage: &mut Stage, lab: &Lab, prod: &str, staging: &str) -> Result<()> {
    stage.title("What an external host sees");
    let elsewhere = lab.node_except(&[prod, staging])?;
    for (namespace, gateway) in [("prod", prod), ("staging", staging)] {
        for (name, node) in [("web-on-gateway", gateway), ("web", &elsewhere)] {
            make_served(stage, lab, namespace, name, node)?;
        }
    }
    make(stage, lab, "prod", "db", &elsewhere, "app=db")?;
    for (namespace, ip) in [("prod", PROD_IP), ("staging", STAGING_IP)] {
        for name in ["web-on-gateway", "web"] {
            leaves_as(stage, lab, &format!("{namespace}/{name}"), ip)?;
        }
    }
    stage.note("A Pod that no Egress selects leaves with its node's IP, as ever.");
    leaves_as(
        stage,
        lab,
        "prod/db",
        &lab.address_of(&elsewhere)?.to_string(),
    )?;
    stage.note("A Pod that is created afterwards.");
    make_served(stage, lab, "prod", "late", &elsewhere)?;
    leaves_as(stage, lab, "prod/late", PROD_IP)
}

fn make(
    stage: &Stage,
    lab: &Lab,
    namespace: &str,
    name: &str,
    node: &str,
    labels: &str,
) -> Result<()> {
    let args = ["pod", name, "--node", node, "-n", namespace, "-l", labels];
    stage.give(lab, &args).map(drop)
}

/// Makes a Pod that an Egress selects.
fn make_served(stage: &Stage, lab: &Lab, namespace: &str, name: &str, node: &str) -> Result<()> {
    lab.until_served(node, || make(stage, lab, namespace, name, node, "app=web"))
}

/// Shows one request and checks its source, with some patience for what was applied just now.
fn leaves_as(stage: &mut Stage, lab: &Lab, pod: &str, ip: &str) -> Result<()> {
    let patience = lab.wait_for_source(pod, ip);
    let source = stage.give(lab, &["curl", pod])?;
    stage.check(&format!("{pod} leaves as {ip}"), patience)?;
    ensure!(
        source.trim() == ip,
        "{pod} left as {ip} once, and not again"
    );
    Ok(())
}

fn power_cut(stage: &mut Stage, lab: &Lab, gateway: &str) -> Result<()> {
    stage.title(&format!(
        "The power of {gateway}, which holds {PROD_IP}, is cut under load"
    ));
    stage.give(lab, &["seen", "--reset"])?;
    stage.command(&[
        "stream",
        "prod/web",
        "--rate",
        "100",
        "--seconds",
        "10",
        "&",
    ]);
    let requests = lab.stream("prod/web", STREAM_S)?;
    sleep(Duration::from_secs(2));
    stage.give(lab, &["node", "off", gateway])?;
    let next = lab.wait_for_other_gateway(PROD, PROD_IP, gateway);
    stage.give(lab, &["kubectl", "get", "egress"])?;
    let next = stage.check(&format!("{PROD_IP} has another node"), next)?;
    let summary = requests.finish()?;
    stage.note(&told(&summary));
    stage.is_so(
        &format!(
            "{next} answered for {PROD_IP} after {} ms",
            summary.longest_gap_ms
        ),
        summary.answered > summary.sent / 2,
        told(&summary),
    );
    stage.give(lab, &["seen"])?;
    let seen = lab.seen()?;
    let is_only = seen.keys().eq([PROD_IP]);
    stage.is_so(
        "no packet ever arrived with another address",
        is_only,
        format!("{seen:?}"),
    );
    stage.note("The node returns, and does not take the IP back.");
    stage.give(lab, &["node", "on", gateway])?;
    make(stage, lab, "prod", "returned", gateway, "app=web")?;
    leaves_as(stage, lab, "prod/returned", PROD_IP)?;
    let now = lab.gateway_of(PROD, PROD_IP)?;
    stage.is_so(&format!("{PROD_IP} is still on {next}"), now == next, now);
    Ok(())
}

fn told(summary: &Summary) -> String {
    format!(
        "{} requests, {} answered, sources {:?}, longest time without an answer {} ms",
        summary.sent, summary.answered, summary.sources, summary.longest_gap_ms
    )
}

fn static_ips(stage: &mut Stage, lab: &Lab) -> Result<()> {
    stage.title("IPs that nodes have already");
    stage.give(lab, &["kubectl", "delete", "-f", HA])?;
    stage.give(lab, &["kubectl", "apply", "-f", STATIC])?;
    let prod = lab.wait_for_gateway("egress-prod", "10.10.0.104", "node-4");
    let staging = lab.wait_for_gateway("egress-staging", "10.10.0.105", "node-5");
    stage.give(lab, &["kubectl", "get", "egress"])?;
    stage.check("10.10.0.104 is found on node-4", prod)?;
    stage.check("10.10.0.105 is found on node-5", staging)?;
    // Whatever node the Pods above are on: this one stays reachable when node-4 loses its address.
    make(stage, lab, "prod", "client", "node-1", "app=client")?;
    leaves_as(stage, lab, "prod/client", "10.10.0.104")?;
    leaves_as(stage, lab, "staging/web", "10.10.0.105")
}

fn moved_by_hand(stage: &mut Stage, lab: &Lab) -> Result<()> {
    stage.title("10.10.0.104 is moved from node-4 to node-2 by hand");
    for (node, change) in [("node/node-4", "del"), ("node/node-2", "add")] {
        let command = ["ip", "addr", change, "10.10.0.104/16", "dev", "eth0"];
        stage.give(lab, &[&["exec", node, "--"], &command[..]].concat())?;
    }
    let moved = lab.wait_for_gateway("egress-prod", "10.10.0.104", "node-2");
    stage.give(lab, &["kubectl", "get", "egress"])?;
    stage.check("10.10.0.104 is found on node-2", moved)?;
    leaves_as(stage, lab, "prod/client", "10.10.0.104")?;
    let look = || lab.source_of("staging/web");
    let undisturbed = wait_until("staging is undisturbed", look, |seen| seen == "10.10.0.105");
    stage.check(
        "staging/web still leaves as 10.10.0.105",
        undisturbed.map(drop),
    )
}
