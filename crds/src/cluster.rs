//! Nodes, as far as operator, webhook and agents read them alike.
//!
//! Owns what of a Node matters for placement, and its addresses. A field that cannot be read is as good as absent: the
//! API server has checked these objects. Never writes them.

use std::net::IpAddr;

use egret_domain::net::{Cidr, Family};
use egret_domain::node::ClusterNode;
use egret_domain::placement;
use k8s_openapi::api::core::v1::Node;

/// The well-known label of a node's operating system.
const OS_LABEL: &str = "kubernetes.io/os";
/// How many egress IPs a node may hold, as Antrea's users write it.
const LIMIT_ANNOTATION: &str = "node.antrea.io/max-egress-ips";
/// More than that no node may hold.
const MOST_EGRESS_IPS: usize = 10_000;

/// A node for placement; it may hold `max_egress_ips` unless it says otherwise itself.
pub fn node(object: &Node, max_egress_ips: usize) -> placement::Node {
    let meta = &object.metadata;
    let labels = meta.labels.clone().unwrap_or_default();
    let spec = object.spec.as_ref();
    let name = meta.name.as_deref().unwrap_or_default().into();
    placement::Node {
        is_linux: labels.get(OS_LABEL).is_none_or(|os| os == "linux"),
        labels,
        is_cordoned: spec.is_some_and(|spec| spec.unschedulable == Some(true)),
        is_deleting: meta.deletion_timestamp.is_some(),
        illegible_limit: illegible_limit(object).cloned(),
        families: internal_ips(object).into_iter().map(Family::of).collect(),
        ..placement::Node::linux(name, limit(object).unwrap_or(max_egress_ips))
    }
}

/// How many egress IPs a node may hold by its own annotation; none if that is illegible.
pub fn limit(object: &Node) -> Option<usize> {
    let limit = written_limit(object)?.parse().ok()?;
    (limit <= MOST_EGRESS_IPS).then_some(limit)
}

fn illegible_limit(object: &Node) -> Option<&String> {
    written_limit(object).filter(|_| limit(object).is_none())
}

fn written_limit(object: &Node) -> Option<&String> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(LIMIT_ANNOTATION)
}

/// A node with its addresses; it may hold `max_egress_ips` unless it says otherwise itself.
pub fn cluster_node(object: &Node, max_egress_ips: usize) -> ClusterNode {
    let spec = object.spec.as_ref();
    let listed = spec.and_then(|spec| spec.pod_cidrs.as_ref());
    let single = spec.and_then(|spec| spec.pod_cidr.as_ref());
    let mut pod_cidrs: Vec<Cidr> = (listed.into_iter().flatten().chain(single))
        .filter_map(|cidr| cidr.parse().ok())
        .collect();
    pod_cidrs.sort();
    pod_cidrs.dedup();
    ClusterNode {
        placement: node(object, max_egress_ips),
        addresses: internal_ips(object),
        pod_cidrs,
    }
}

fn internal_ips(object: &Node) -> Vec<IpAddr> {
    let addresses = object
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten());
    addresses
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(object: &Value) -> placement::Node {
        node(&serde_json::from_value(object.clone()).unwrap(), 255)
    }

    #[test]
    fn a_nodes_annotation_goes_before_the_default_limit_and_what_is_no_number_is_told() {
        let read_with = |written: &str| {
            let annotations = json!({LIMIT_ANNOTATION: written});
            read(&json!({"metadata": {"name": "n", "annotations": annotations}}))
        };
        for (written, limit) in [("7", 7), ("0", 0), ("10000", 10_000)] {
            let node = read_with(written);
            assert_eq!((node.max_egress_ips, node.illegible_limit), (limit, None));
        }
        for written in ["-1", "many", "", "10001", "7.0"] {
            let node = read_with(written);
            let told = Some(written.to_owned());
            assert_eq!((node.max_egress_ips, node.illegible_limit), (255, told));
        }
    }

    #[test]
    fn a_node_is_linux_unless_its_label_says_otherwise() {
        for (labels, is_linux) in [(json!({}), true), (json!({OS_LABEL: "windows"}), false)] {
            let object = json!({"metadata": {"labels": labels}});
            assert_eq!(read(&object).is_linux, is_linux);
        }
    }

    #[test]
    fn a_node_that_takes_no_new_pods_is_cordoned() {
        assert!(read(&json!({"metadata": {}, "spec": {"unschedulable": true}})).is_cordoned);
        assert!(!read(&json!({"metadata": {}, "spec": {}})).is_cordoned);
    }

    #[test]
    fn a_nodes_other_addresses_are_not_its_internal_ones() {
        let object = json!({
            "metadata": {"name": "node-1", "labels": {"kubernetes.io/os": "linux"}},
            "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"], "unschedulable": true},
            "status": {"addresses": [
                {"type": "Hostname", "address": "node-1"},
                {"type": "ExternalIP", "address": "192.0.2.1"},
                {"type": "InternalIP", "address": "10.10.0.101"},
            ]},
        });
        let node = cluster_node(&serde_json::from_value(object).unwrap(), 255);
        assert_eq!(node.addresses, ["10.10.0.101".parse::<IpAddr>().unwrap()]);
        assert_eq!(node.pod_cidrs.len(), 1);
        assert!(node.placement.is_cordoned && node.placement.is_linux);
        assert_eq!(node.placement.families, [Family::V4].into());
    }
}
