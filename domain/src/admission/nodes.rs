//! What the nodes have that egress IPs need.
//!
//! Owns the questions about all nodes together. Where too little is known, the answer is that nothing speaks against
//! it. Never refuses anything: who asks makes a problem or a warning of the answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::name::NodeName;
use crate::net::{Cidr, Family};
use crate::node::ClusterNode;
use crate::selector::Selector;

/// All nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: BTreeMap<NodeName, ClusterNode>,
    /// By the nodes' own reports, which may come before the node and stay after it.
    subnets: BTreeMap<NodeName, Vec<Cidr>>,
}

impl Nodes {
    pub(super) fn set(&mut self, node: ClusterNode) {
        self.nodes.insert(node.placement.name.clone(), node);
    }

    pub(super) fn remove(&mut self, name: &NodeName) {
        self.nodes.remove(name);
    }

    pub(super) fn set_subnets(&mut self, name: NodeName, subnets: Vec<Cidr>) {
        if subnets.is_empty() {
            self.subnets.remove(&name);
        } else {
            self.subnets.insert(name, subnets);
        }
    }

    /// Whether the nodes have addresses, but none of this family.
    pub(super) fn lack(&self, family: Family) -> bool {
        let mut addresses = self.nodes.values().flat_map(|node| &node.addresses);
        addresses.clone().next().is_some() && !addresses.any(|ip| Family::of(*ip) == family)
    }

    /// Whether any node has these labels.
    pub(super) fn any_matches(&self, selector: &Selector) -> bool {
        self.nodes
            .values()
            .any(|node| selector.matches(&node.placement.labels))
    }

    /// Whether the subnets of all nodes are known, and the address is in none.
    pub(super) fn are_all_elsewhere(&self, ip: IpAddr) -> bool {
        let is_elsewhere = |name| {
            let subnets: Option<&Vec<Cidr>> = self.subnets.get(name);
            subnets.is_some_and(|subnets| !subnets.iter().any(|subnet| subnet.contains(ip)))
        };
        !self.nodes.is_empty() && self.nodes.keys().all(is_elsewhere)
    }
}
