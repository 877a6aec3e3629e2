//! The cluster that an agent is told of: two nodes, a Pod for each Egress, and all egress IPs held by one of the nodes.
//!
//! Owns addresses, and the facts that say so. Never decides what follows from them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use egret_domain::egress::{Egress, Mode, WhenUnavailable};
use egret_domain::name::{NodeName, PodName};
use egret_domain::net::{Cidr, Family};
use egret_domain::node::{ClusterNode, EgressFact, Fact, Pod, Pool};
use egret_domain::ownership::Holding;
use egret_domain::placement;
use egret_domain::selector::{AppliedTo, Labels, Requirement, Selector};

/// Where the selected Pods run.
pub const SOURCE: &str = "source";
/// Where all egress IPs are held.
pub const GATEWAY: &str = "gateway";
/// Length of the prefix of a node's Pod network.
const POD_PREFIX: u8 = 16;
/// Last bytes that are used of each /24.
const PER_BLOCK: usize = 250;
/// As many as placement allows.
const MAX_EGRESS_IPS: usize = 10_000;

/// A place on the underlay, which so many others share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Less than 50; it is in all addresses.
    pub number: u8,
    /// Egresses, and Pods that are selected.
    pub count: usize,
    /// Of the Pods, how many this cluster has.
    pub pods: usize,
}

/// The address number `index` of the networks that begin with these two bytes.
fn address(second: u8, index: usize) -> Ipv4Addr {
    let block = u8::try_from(index / PER_BLOCK).unwrap_or(u8::MAX);
    let last = u8::try_from(index % PER_BLOCK + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, second, block, last)
}

impl World {
    /// The node of the Pods.
    pub fn source(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 10, 1, self.number)
    }

    /// The node of the egress IPs.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 10, 2, self.number)
    }

    /// An Egress's IP.
    pub fn egress_ip(self, index: usize) -> Ipv4Addr {
        address(11 + self.number, index)
    }

    /// The Pod that this Egress selects.
    pub fn pod(self, index: usize) -> Ipv4Addr {
        address(100 + self.number, index)
    }

    /// A Pod that none selects.
    pub fn unselected_pod(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 100 + self.number, 255, 1)
    }

    /// The network of the source's Pods.
    pub fn pod_cidr(self) -> String {
        format!("10.{}.0.0/{POD_PREFIX}", 100 + self.number)
    }

    /// What both agents get to know of the cluster, without Egresses and Pods.
    pub fn surroundings(self) -> Vec<Fact> {
        vec![
            node(SOURCE, self.source(), 100 + self.number),
            node(GATEWAY, self.gateway(), 200 + self.number),
            Fact::Pool(
                "pool".into(),
                Pool {
                    nodes: Selector::default(),
                    families: [Family::V4].into(),
                },
            ),
            Fact::Namespace("default".into(), Labels::new()),
            Fact::Alive {
                nodes: [SOURCE, GATEWAY].map(NodeName::from).into(),
                settled: true,
            },
        ]
    }

    /// All Egresses, held by the gateway.
    pub fn egresses(self) -> impl Iterator<Item = Fact> {
        (0..self.count).map(move |index| self.egress(index))
    }

    /// That there are no Egresses any more.
    pub fn without_egresses(self) -> impl Iterator<Item = Fact> {
        (0..self.count).map(|index| Fact::EgressGone(egress_name(index).into()))
    }

    /// The source's Pods: the last ones, each selected by its Egress.
    pub fn source_pods(self) -> impl Iterator<Item = Fact> {
        let first = self.count.saturating_sub(self.pods);
        (first..self.count).map(move |index| pod(index, index, self.pod(index)))
    }

    /// One more Pod of the source, which the first Egress selects.
    pub fn one_more_pod(self) -> Fact {
        pod(self.count, 0, self.pod(self.count))
    }

    /// That it is gone.
    pub fn one_pod_less(self) -> Fact {
        Fact::PodGone(pod_name(self.count))
    }

    fn egress(self, index: usize) -> Fact {
        let egress_ip = self.egress_ip(index).into();
        let name = egress_name(index);
        Fact::Egress(Box::new(EgressFact {
            egress: Egress {
                uid: name.clone(),
                name: name.into(),
                generation: 1,
                created: 0,
                deleting: false,
                applied_to: selecting(index),
                mode: Mode::Pooled {
                    pool: "pool".into(),
                    ip: Some(egress_ip),
                },
                priority: 0,
                when_unavailable: WhenUnavailable::Drop,
                except: Vec::new(),
                bandwidth: None,
            },
            is_allocated: true,
            candidates: vec![GATEWAY.into()],
            reported: Some(Holding {
                node: GATEWAY.into(),
                egress_ip: Some(egress_ip),
                generation: 1,
            }),
        }))
    }
}

fn egress_name(index: usize) -> String {
    format!("egress-{index}")
}

fn app(index: usize) -> String {
    format!("app-{index}")
}

fn selecting(index: usize) -> AppliedTo {
    let requirement = Requirement::In("app".to_owned(), BTreeSet::from([app(index)]));
    AppliedTo {
        pods: Some(Selector::new([requirement])),
        namespaces: None,
    }
}

fn node(name: &str, address: Ipv4Addr, second: u8) -> Fact {
    let pods = Cidr::new(Ipv4Addr::new(10, second, 0, 0).into(), POD_PREFIX);
    Fact::Node(Box::new(ClusterNode {
        placement: placement::Node::linux(name.into(), MAX_EGRESS_IPS),
        addresses: vec![address.into()],
        pod_cidrs: pods.into_iter().collect(),
    }))
}

fn pod_name(index: usize) -> PodName {
    PodName {
        namespace: "default".into(),
        name: format!("pod-{index}").into(),
    }
}

fn pod(index: usize, selected_by: usize, address: Ipv4Addr) -> Fact {
    let labels = [
        ("app", app(selected_by)),
        ("tier", "web".to_owned()),
        ("pod-template-hash", format!("{index:010x}")),
    ];
    Fact::Pod(Pod {
        name: pod_name(index),
        created: 0,
        addresses: vec![address.into()],
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_the_largest_world_share_an_address() {
        let world = World {
            number: 3,
            count: 10_000,
            pods: 10_000,
        };
        let pods = (0..=world.count).map(|index| world.pod(index));
        let ips = (0..world.count).map(|index| world.egress_ip(index));
        let own = [world.source(), world.gateway(), world.unselected_pod()];
        let all: BTreeSet<_> = pods.chain(ips).chain(own).collect();
        assert_eq!(all.len(), 2 * world.count + 1 + own.len());
    }
}
