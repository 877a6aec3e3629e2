//! What is said of a gateway that is gone and that no other node replaces.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::{Egress, EgressNode};
use egret_e2e::patience::{wait_until, wait_until_within};

const POOLED: &str = "10.10.0.31";
const STATIC: &str = "10.10.0.103";

/// A pool whose addresses only this node may hold.
fn pool_on(node: &str) -> String {
    let anywhere = pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]);
    let here = format!("nodeSelector: {{matchLabels: {{\"kubernetes.io/hostname\": {node}}}}}");
    anywhere.replace("nodeSelector: {}", &here)
}

/// Waits until a holder is cleared, with this reason and the node's name in the message.
fn wait_until_cleared(lab: &Lab, name: &str, reason: &str, node: &str) -> Result<()> {
    let is_so = |seen: &Egress| {
        let said = seen.condition("IPAssigned");
        let says = said.is_some_and(|said| {
            said.status == "False" && said.reason == reason && said.message.contains(node)
        });
        let is_ready_for = seen
            .condition("Ready")
            .is_some_and(|said| said.reason == reason);
        says && is_ready_for && seen.held().is_none()
    };
    let limit = Duration::from_secs(90);
    let what = format!("{name} has no holder any more");
    wait_until_within(&what, limit, || lab.egress(name), is_so).map(drop)
}

#[test]
fn a_static_egress_whose_node_is_off_has_no_holder_until_the_node_is_back() -> Result<()> {
    Lab::run(3, |lab| {
        lab.apply(&egress(
            "static",
            &pods_with("app", "db"),
            &format!("egressIP: {STATIC}"),
        ))?;
        lab.wait_for_gateway("static", STATIC, "node-3")?;
        lab.power_off("node-3")?;
        let misses = |report: &EgressNode| {
            let down = &report.status.peers_down;
            down.len() == 1 && down.iter().all(|peer| peer.node == "node-3")
        };
        for node in ["node-1", "node-2"] {
            let what = format!("{node} reports that it does not hear node-3");
            wait_until(&what, || lab.egress_node(node), misses)?;
        }
        wait_until_cleared(lab, "static", "NodeUnreachable", "node-3")?;
        lab.power_on("node-3")?;
        lab.wait_for_gateway("static", STATIC, "node-3")?;
        let hears_all = |report: &EgressNode| report.status.peers_down.is_empty();
        wait_until(
            "all are heard again",
            || lab.egress_node("node-1"),
            hears_all,
        )
        .map(drop)
    })
}

#[test]
fn an_egress_whose_gateway_is_off_is_deleted_once_most_nodes_say_so_and_its_ip_is_free_then()
-> Result<()> {
    Lab::run(3, |lab| {
        lab.apply(&pool_on("node-2"))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        lab.wait_for_gateway("web", POOLED, "node-2")?;
        lab.power_off("node-2")?;
        let off = Instant::now();
        lab.kubectl(&["delete", "egress", "web", "--wait=false"])?;
        let waits = |seen: &Egress| {
            let said = seen.condition("Ready");
            said.is_some_and(|said| said.reason == "Withdrawing" && said.message.contains("node-2"))
        };
        wait_until("the condition names the node", || lab.egress("web"), waits)?;
        lab.kubectl(&["wait", "--for=delete", "egress/web", "--timeout=60s"])?;
        let waited = off.elapsed();
        ensure!(
            waited > Duration::from_secs(5),
            "gone after {waited:?}: within the lease"
        );
        let used = || Ok(lab.pool("pool")?.status.usage.map(|usage| usage.used));
        wait_until("the IP is free", used, |used| *used == Some(0)).map(drop)
    })
}

#[test]
fn the_only_agent_is_known_to_be_down_by_its_lease_and_keeps_what_it_takes_when_it_is_back()
-> Result<()> {
    Lab::run(1, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        lab.wait_for_gateway("web", POOLED, "node-1")?;
        lab.keep_agent_down("node-1")?;
        wait_until_cleared(lab, "web", "AgentSilent", "node-1")?;
        lab.restart_agent("node-1")?;
        lab.wait_for_gateway("web", POOLED, "node-1")?;
        let held = lab.egress("web")?.metadata.resource_version;
        sleep(Duration::from_secs(15));
        let still = lab.egress("web")?;
        ensure!(still.is_ready(), "{still:?}");
        ensure!(
            still.metadata.resource_version == held,
            "written again: {still:?}"
        );
        Ok(())
    })
}

#[test]
fn an_api_server_that_was_away_for_longer_than_a_lease_takes_nobody_for_gone() -> Result<()> {
    Lab::run(1, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        lab.wait_for_gateway("web", POOLED, "node-1")?;
        let held = lab.egress("web")?.metadata.resource_version;
        lab.stop_api()?;
        sleep(Duration::from_mins(1));
        lab.start_api()?;
        sleep(Duration::from_secs(20));
        let still = lab.egress("web")?;
        ensure!(
            still.metadata.resource_version == held,
            "written again: {still:?}"
        );
        Ok(())
    })
}

#[test]
fn nothing_is_reported_again_while_nothing_changes() -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        lab.pod("shop/web", "node-1", "app=web")?;
        lab.wait_for_source("shop/web", POOLED)?;
        sleep(Duration::from_secs(5));
        let versions = || -> Result<Vec<_>> {
            let reports = lab.list::<EgressNode>("egressnodes")?.into_iter();
            Ok(reports
                .map(|report| report.metadata.resource_version)
                .collect())
        };
        let before = versions()?;
        // Each report is looked at once a minute.
        sleep(Duration::from_secs(70));
        ensure!(versions()? == before, "a report was written");
        Ok(())
    })
}
