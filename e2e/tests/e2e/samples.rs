//! The manifests in `config/samples/`, unmodified, each on a clean cluster.

use anyhow::{Context, Result};
use egret_e2e::lab::Lab;

const WEB: &str = "app=web";

#[test]
fn ha_gives_each_egress_an_ip_on_a_node_and_its_pods_leave_with_it() -> Result<()> {
    Lab::run(6, |lab| {
        lab.apply_file("config/samples/ha.yaml")?;
        let prod = lab.gateway_of("egress-prod-web", "10.10.0.11")?;
        let staging = lab.gateway_of("egress-staging-web", "10.10.0.12")?;
        assert_ne!(prod, staging, "each on a node of its own");
        assert_eq!(
            table(lab)?,
            [
                ["NAME", "EGRESSIP", "AGE", "NODE"].map(str::to_owned),
                row("egress-prod-web", "10.10.0.11", &prod),
                row("egress-staging-web", "10.10.0.12", &staging),
            ]
        );
        let elsewhere = lab.node_except(&[&prod, &staging])?;
        lab.pod("prod/on-gateway", &prod, WEB)?;
        lab.pod("prod/elsewhere", &elsewhere, WEB)?;
        lab.pod("staging/on-gateway", &staging, WEB)?;
        lab.pod("staging/elsewhere", &elsewhere, WEB)?;
        lab.pod("prod/unselected", &elsewhere, "app=db")?;
        lab.pod("prod/unselected-on-gateway", &prod, "app=db")?;
        lab.pod("test/unselected", &elsewhere, WEB)?;
        for pod in ["on-gateway", "elsewhere"] {
            lab.wait_for_source(&format!("prod/{pod}"), "10.10.0.11")?;
            lab.wait_for_source(&format!("staging/{pod}"), "10.10.0.12")?;
        }
        lab.wait_for_node_source("prod/unselected", &elsewhere)?;
        lab.wait_for_node_source("prod/unselected-on-gateway", &prod)?;
        lab.wait_for_node_source("test/unselected", &elsewhere)
    })
}

/// The lines of `kubectl get egress`, with the age replaced.
fn table(lab: &Lab) -> Result<Vec<[String; 4]>> {
    let text = lab.kubectl(&["get", "egress"])?;
    let cells = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let mut cells = <[String; 4]>::try_from(words)
            .ok()
            .context("four columns")?;
        if cells[0] != "NAME" {
            "some".clone_into(&mut cells[2]);
        }
        Ok(cells)
    };
    text.lines().map(cells).collect()
}

fn row(name: &str, ip: &str, node: &str) -> [String; 4] {
    [name, ip, "some", node].map(str::to_owned)
}

#[test]
fn static_ips_are_found_on_their_nodes_and_followed_when_they_are_moved_or_changed() -> Result<()> {
    Lab::run(6, |lab| {
        lab.pod("prod/web", "node-1", WEB)?;
        lab.pod("staging/web", "node-1", WEB)?;
        lab.pod("staging/on-gateway", "node-5", WEB)?;
        lab.apply_file("config/samples/static.yaml")?;
        assert_eq!(lab.gateway_of("egress-prod", "10.10.0.104")?, "node-4");
        assert_eq!(lab.gateway_of("egress-staging", "10.10.0.105")?, "node-5");
        lab.wait_for_source("prod/web", "10.10.0.104")?;
        lab.wait_for_source("staging/web", "10.10.0.105")?;
        lab.wait_for_source("staging/on-gateway", "10.10.0.105")?;

        // Node-4's only address: nobody can reach that node from now on, and it cannot say that it has let go.
        lab.on_node("node-4", "ip addr del 10.10.0.104/16 dev eth0")?;
        lab.on_node("node-2", "ip addr add 10.10.0.104/16 dev eth0")?;
        lab.wait_for_gateway("egress-prod", "10.10.0.104", "node-2")?;
        lab.wait_for_source("prod/web", "10.10.0.104")?;

        lab.patch_egress("egress-prod", "spec: {egressIP: 10.10.0.103}")?;
        lab.wait_for_gateway("egress-prod", "10.10.0.103", "node-3")?;
        lab.wait_for_source("prod/web", "10.10.0.103")?;
        assert_eq!(lab.source_of("staging/web")?, "10.10.0.105");
        Ok(())
    })
}

#[test]
fn an_ip_asked_for_is_taken_from_the_pool_and_held_by_a_node_that_the_pool_selects() -> Result<()> {
    Lab::run(3, |lab| {
        lab.kubectl(&["label", "node", "node-3", "network-role=egress-gateway"])?;
        lab.pod("shop/api", "node-1", "role=web")?;
        lab.pod("shop/on-gateway", "node-3", "role=web")?;
        lab.pod("shop/db", "node-1", "role=db")?;
        lab.kubectl(&["label", "namespace", "shop", "env=prod"])?;
        lab.apply_file("config/samples/pool-and-explicit-ip.yaml")?;
        assert_eq!(lab.gateway_of("egress-prod-web", "10.10.0.8")?, "node-3");
        lab.wait_for_source("shop/api", "10.10.0.8")?;
        lab.wait_for_source("shop/on-gateway", "10.10.0.8")?;
        lab.wait_for_node_source("shop/db", "node-1")
    })
}
