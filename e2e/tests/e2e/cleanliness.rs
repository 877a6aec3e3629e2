//! What Egresses leave on nodes when they are gone: nothing.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::patience::wait_until;

/// Everything in the kernel that Egret changes; counters left out.
const LOOKS: [&str; 6] = [
    "nft --stateless list ruleset",
    "ip -4 rule",
    "ip -4 route show table all",
    "bridge fdb",
    "ip -4 addr",
    "ip -o link",
];

/// What each look shows on a node.
fn look_at(lab: &Lab, node: &str) -> Result<BTreeMap<&'static str, String>> {
    LOOKS
        .iter()
        .map(|look| Ok((*look, lab.on_node(node, look)?)))
        .collect()
}

#[test]
fn a_source_node_and_a_gateway_are_as_before_when_all_egresses_are_deleted() -> Result<()> {
    Lab::run(3, |lab| {
        for node in lab.nodes() {
            lab.pod(&format!("shop/{node}"), &node, "app=web")?;
        }
        let nodes = lab.nodes();
        let look = || {
            nodes
                .iter()
                .map(|node| look_at(lab, node))
                .collect::<Result<Vec<_>>>()
        };
        let before = look()?;

        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        lab.apply(&egress(
            "pooled",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        lab.apply(&egress(
            "static",
            &pods_with("app", "db"),
            "egressIP: 10.10.0.103",
        ))?;
        lab.gateway_of("pooled", "10.10.0.31")?;
        lab.wait_for_gateway("static", "10.10.0.103", "node-3")?;
        for node in lab.nodes() {
            lab.wait_for_source(&format!("shop/{node}"), "10.10.0.31")?;
        }
        for (before, now) in before.iter().zip(look()?) {
            ensure!(*before != now, "these looks see nothing of Egret");
        }

        lab.delete_egresses(&["pooled", "static"])?;
        wait_until("every node is as before", look, |now| *now == before)?;
        for node in lab.nodes() {
            lab.wait_for_node_source(&format!("shop/{node}"), &node)?;
        }
        Ok(())
    })
}
