//! The cluster around a node: its peers, and the destinations that are not outside.
//!
//! Owns node addresses, Pod and Service networks. Never knows Pods or Egresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::datapath::Element;
use crate::name::{NodeName, PoolName};
use crate::net::{Cidr, Family};
use crate::placement;
use crate::selector::Selector;

/// A node as an agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNode {
    /// What ranking needs.
    pub placement: placement::Node,
    /// Its internal addresses, the primary one of each family first.
    pub addresses: Vec<IpAddr>,
    /// Its Pods' networks.
    pub pod_cidrs: Vec<Cidr>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    nodes: BTreeMap<NodeName, ClusterNode>,
    service_cidrs: Vec<Cidr>,
    except: Vec<Cidr>,
}

impl Cluster {
    pub(super) fn new(except: Vec<Cidr>) -> Self {
        Self {
            nodes: BTreeMap::new(),
            service_cidrs: Vec::new(),
            except,
        }
    }

    /// Whether this changed anything.
    pub(super) fn set_node(&mut self, node: ClusterNode) -> bool {
        let before = self.nodes.insert(node.placement.name.clone(), node.clone());
        before != Some(node)
    }

    pub(super) fn remove_node(&mut self, name: &NodeName) {
        self.nodes.remove(name);
    }

    pub(super) fn has(&self, name: &NodeName) -> bool {
        self.nodes.contains_key(name)
    }

    pub(super) fn set_service_cidrs(&mut self, cidrs: Vec<Cidr>) {
        self.service_cidrs = cidrs;
    }

    /// How many nodes can run an agent.
    pub(super) fn linux_nodes(&self) -> usize {
        self.nodes
            .values()
            .filter(|node| node.placement.is_linux)
            .count()
    }

    /// The address at which a node's tunnel ends.
    pub(super) fn address_of(&self, name: &NodeName, family: Family) -> Option<IpAddr> {
        let addresses = &self.nodes.get(name)?.addresses;
        addresses
            .iter()
            .copied()
            .find(|ip| Family::of(*ip) == family)
    }

    /// Primary addresses of all nodes that can run an agent, but for `me`.
    pub(super) fn addresses(&self, me: &NodeName) -> BTreeMap<NodeName, IpAddr> {
        self.nodes
            .iter()
            .filter(|(name, node)| *name != me && node.placement.is_linux)
            .filter_map(|(name, node)| Some((name.clone(), *node.addresses.first()?)))
            .collect()
    }

    /// All nodes that this selector allows, in the order of ranking.
    pub(super) fn ranked(&self, pool: &PoolName, nodes: &Selector, ip: IpAddr) -> Vec<NodeName> {
        let eligible = self.nodes.values().map(|node| &node.placement);
        let eligible = eligible.filter(|node| placement::eligible(nodes, node));
        placement::rank(pool, ip, eligible)
    }

    /// What all Pods' traffic needs to know.
    pub(super) fn elements(&self) -> BTreeSet<Element> {
        let addresses = || {
            self.nodes
                .values()
                .flat_map(|node| node.addresses.iter().copied())
        };
        let inside = addresses()
            .map(Cidr::host)
            .chain(
                self.nodes
                    .values()
                    .flat_map(|node| node.pod_cidrs.iter().copied()),
            )
            .chain(self.service_cidrs.iter().copied())
            .chain(self.except.iter().copied())
            .collect();
        let except = outermost(&inside).into_iter().map(Element::Except);
        except.chain(addresses().map(Element::Peer)).collect()
    }
}

/// The networks that lie in no other one: what is left does not overlap, as interval sets require.
fn outermost(cidrs: &BTreeSet<Cidr>) -> Vec<Cidr> {
    let mut kept: Vec<Cidr> = Vec::new();
    // A network sorts right before what lies in it: by first address, then by prefix length.
    for cidr in cidrs {
        if !kept
            .last()
            .is_some_and(|outer| outer.contains(cidr.network()))
        {
            kept.push(*cidr);
        }
    }
    kept
}
