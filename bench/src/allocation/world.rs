//! The clusters that are measured.
//!
//! Owns their objects. Never stores one.

use std::fmt;

use egret_crds::egress::AppliedTo;
use egret_crds::pool::IpRange;
use egret_crds::selector::LabelSelector;
use egret_crds::{Egress, EgressSpec, ExternalIPPool, ExternalIPPoolSpec};
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use crate::table::thousands;

/// Pools in each of the clusters, of a /24 each.
pub const POOLS: usize = 50;
/// Nodes in each of the clusters, in ten zones.
pub const NODES: usize = 1000;
const ZONES: usize = 10;

/// A cluster with so many Egresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Its Egresses, each with a selector of its own, evenly over the pools.
    pub egresses: usize,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Egresses", thousands(self.egresses))
    }
}

impl World {
    /// Those that are measured, the smallest first: it is what the others are compared with.
    pub const ALL: [Self; 3] = [
        Self { egresses: 100 },
        Self { egresses: 1000 },
        Self { egresses: 10_000 },
    ];
}

/// An Egress as a user writes it.
pub fn egress(number: usize) -> Egress {
    let selector = LabelSelector {
        match_labels: [("app".to_owned(), format!("app-{number}"))].into(),
        ..LabelSelector::default()
    };
    let spec = EgressSpec {
        applied_to: AppliedTo {
            pod_selector: Some(selector),
            ..AppliedTo::default()
        },
        external_ip_pool: Some(pool_name(number % POOLS)),
        ..EgressSpec::default()
    };
    Egress::new(&format!("egress-{number:05}"), spec)
}

/// A pool for all nodes.
pub fn pool(number: usize) -> ExternalIPPool {
    let spec = ExternalIPPoolSpec {
        ip_ranges: vec![IpRange {
            cidr: Some(format!("10.200.{number}.0/24")),
            ..IpRange::default()
        }],
        ..ExternalIPPoolSpec::default()
    };
    ExternalIPPool::new(&pool_name(number), spec)
}

fn pool_name(number: usize) -> String {
    format!("pool-{number:02}")
}

/// The name of a node.
pub fn node_name(number: usize) -> String {
    format!("node-{number:04}")
}

/// A node as its kubelet would register it.
pub fn node(number: usize) -> anyhow::Result<Node> {
    let name = node_name(number);
    let zone = format!("zone-{}", number % ZONES);
    let labels = json!({"kubernetes.io/os": "linux", "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone});
    let address = format!("10.201.{}.{}", number / 250, 1 + number % 250);
    Ok(serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "nodeInfo": {
                "operatingSystem": "linux", "architecture": "amd64", "kernelVersion": "6.12.0", "osImage": "",
                "kubeletVersion": "v1.34.0", "kubeProxyVersion": "", "containerRuntimeVersion": "", "machineID": "",
                "systemUUID": "", "bootID": "",
            },
        },
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_has_room_for_its_share() {
        let largest = World::ALL.iter().map(|world| world.egresses).max();
        assert!(largest.unwrap().div_ceil(POOLS) + 50 <= 254);
    }

    #[test]
    fn no_two_nodes_share_an_address() {
        let addresses: std::collections::BTreeSet<_> = (0..NODES)
            .map(|number| serde_json::to_string(&node(number).unwrap().status).unwrap())
            .collect();
        assert_eq!(addresses.len(), NODES);
    }
}
