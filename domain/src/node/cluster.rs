//! The cluster around a node: its peers, those of them that a pool allows, and the destinations that are not outside.
//!
//! Owns the nodes with their addresses, Pod and Service networks. Never knows Pods or Egresses, nor how nodes are
//! ranked (see [`crate::placement`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::datapath::Element;
use crate::name::{NodeName, PoolName};
use crate::net::{Cidr, Family};
use crate::placement;
use crate::selector::Selector;

/// What no router passes on: link-local and multicast addresses.
fn never_outside() -> impl Iterator<Item = Cidr> {
    let networks: [(IpAddr, u8); 4] = [
        ([169, 254, 0, 0].into(), 16),
        ([224, 0, 0, 0].into(), 4),
        ([0xfe80, 0, 0, 0, 0, 0, 0, 0].into(), 10),
        ([0xff00, 0, 0, 0, 0, 0, 0, 0].into(), 8),
    ];
    let networks = networks.into_iter();
    networks.filter_map(|(network, prefix)| Cidr::new(network, prefix))
}

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

    /// The families of a node's addresses.
    pub(super) fn families_of(&self, name: &NodeName) -> BTreeSet<Family> {
        let addresses = self.nodes.get(name).map(|node| &node.addresses);
        let addresses = addresses.into_iter().flatten();
        addresses.map(|ip| Family::of(*ip)).collect()
    }

    /// The address at which a node's tunnel ends and its agent gossips: of the family of the first of this node's.
    pub(super) fn address_of(&self, name: &NodeName, me: &NodeName) -> Option<IpAddr> {
        let own = self.nodes.get(me).and_then(|node| node.addresses.first());
        let addresses = &self.nodes.get(name)?.addresses;
        let is_reached = |ip: &&IpAddr| own.is_none_or(|own| Family::of(*own) == Family::of(**ip));
        addresses.iter().find(is_reached).copied()
    }

    /// The addresses of all nodes that can run an agent, but for `me`, as they are reached from there.
    pub(super) fn addresses(&self, me: &NodeName) -> BTreeMap<NodeName, IpAddr> {
        self.nodes
            .iter()
            .filter(|(name, node)| *name != me && node.placement.is_linux)
            .filter_map(|(name, _)| Some((name.clone(), self.address_of(name, me)?)))
            .collect()
    }

    /// All nodes that this selector allows, in the order of ranking.
    pub(super) fn ranked(&self, pool: &PoolName, nodes: &Selector, ip: IpAddr) -> Vec<NodeName> {
        let eligible = self.nodes.values().map(|node| &node.placement);
        let eligible =
            eligible.filter(|node| placement::eligible(nodes, node) && node.can_hold(ip));
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
            .chain(never_outside())
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
