//! Node objects, and the kubelet's sign of life for the nodes that have power.
//!
//! Owns what a Node says and the renewal of its Lease. A node without power is simply not renewed:
//! the controller manager finds out by itself, as in a real cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::family::Families;
use crate::spec::LabSpec;
use crate::topology::NodeId;

const RENEW_EVERY: Duration = Duration::from_secs(10);
const LEASE_S: u32 = 40;
const MANAGER: &str = "kubelet";

/// The nodes that have power.
pub type Powered = BTreeSet<NodeId>;

/// Makes the Node object of each node.
pub async fn register(client: &Client, spec: &LabSpec) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    for node in spec.node_ids() {
        let object = serde_json::from_value(manifest(node, spec.families))
            .map_err(kube::Error::SerdeError)?;
        api.create(&PostParams::default(), &object).await?;
    }
    Ok(())
}

/// Renews Leases and readiness of the powered nodes, for ever; at once when power comes back.
pub async fn stay_alive(client: Client, mut powered: watch::Receiver<Powered>) {
    loop {
        let now: Vec<NodeId> = powered.borrow_and_update().iter().copied().collect();
        let beats = join_all(now.into_iter().map(|node| beat(&client, node))).await;
        for error in beats.into_iter().filter_map(Result::err) {
            // The API server may be away on purpose; the next beat tries again.
            eprintln!("a node's heartbeat was not written: {error}");
        }
        let changed = tokio::time::timeout(RENEW_EVERY, powered.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
    }
}

async fn beat(client: &Client, node: NodeId) -> Result<(), kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let name = node.to_string();
    let params = PatchParams::apply(MANAGER).force();
    leases
        .patch(&name, &params, &Patch::Apply(lease(node)))
        .await?;
    let nodes: Api<Node> = Api::all(client.clone());
    if is_ready(&nodes.get(&name).await?) {
        return Ok(());
    }
    let status = json!({"status": {"conditions": conditions()}});
    nodes
        .patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
        .await?;
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten();
    conditions
        .into_iter()
        .any(|one| one.type_ == "Ready" && one.status == "True")
}

fn lease(node: NodeId) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node.to_string()},
        "spec": {
            "holderIdentity": node.to_string(),
            "leaseDurationSeconds": LEASE_S,
            "renewTime": format!("{:.6}", Timestamp::now()),
        },
    })
}

fn conditions() -> Value {
    let now = format!("{:.0}", Timestamp::now());
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "the lab says so",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        condition("Ready", "True", "KubeletReady"),
    ])
}

fn manifest(node: NodeId, families: Families) -> Value {
    let name = node.to_string();
    let pod_cidrs: Vec<_> = families
        .each()
        .map(|family| node.pod_cidr(family))
        .collect();
    let internal = families
        .each()
        .map(|family| ("InternalIP", node.address(family).to_string()));
    let addresses: Vec<_> = internal
        .chain([("Hostname", name.clone())])
        .map(|(kind, address)| json!({"type": kind, "address": address}))
        .collect();
    let capacity = json!({"cpu": "2", "memory": "4Gi", "pods": "253"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": std::env::consts::ARCH,
            },
        },
        "spec": {"podCIDR": pod_cidrs.first(), "podCIDRs": pod_cidrs},
        "status": {
            "addresses": addresses,
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": conditions(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_object_is_one_that_kubernetes_reads_and_is_ready() {
        let node: Node =
            serde_json::from_value(manifest("node-2".parse().unwrap(), Families::Ipv4)).unwrap();
        assert!(is_ready(&node));
        assert_eq!(
            node.spec.unwrap().pod_cidr.as_deref(),
            Some("10.244.2.0/24")
        );
    }

    #[test]
    fn a_lease_is_one_that_kubernetes_reads() {
        let lease: Lease = serde_json::from_value(lease("node-1".parse().unwrap())).unwrap();
        assert!(lease.spec.unwrap().renew_time.is_some());
    }
}
