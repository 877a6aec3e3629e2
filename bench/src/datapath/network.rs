//! The network that is measured in: an external host, and for each kind of node a pair of nodes with Pods of their own.
//!
//! Owns its links, addresses and routes, and what a CNI does on a node. All ways stand side by side, so that they can be
//! measured by turns. The external host is also the bridge between the nodes. Never measures.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Context;

use super::agent::Agent;
use super::netns::{Netns, shell};
use super::path::Path;
use super::peers;
use super::traffic::Server;
use super::world::{GATEWAY, SOURCE, World};

/// The external host.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 200);
/// Of the underlay, which has nodes and egress IPs in it.
const PREFIX: u8 = 10;
/// In bytes. A CNI with a tunnel of its own gives it to Pods; the agent limits segments by itself.
const TUNNEL_MTU: u32 = 1450;
const MTU: u32 = 1500;

/// A way to the outside that stands.
#[derive(Debug, Clone)]
pub struct Way {
    /// Which.
    pub path: Path,
    /// Where the client is.
    pub pod: Netns,
    /// What the external host is to see.
    pub seen_as: Ipv4Addr,
}

/// Two nodes with agents.
#[derive(Debug)]
pub struct Egret {
    /// Its addresses.
    pub world: World,
    /// The agent of the Pods' node.
    pub source: Agent,
    /// The agent of the egress IPs' node.
    pub gateway: Agent,
}

/// All that is measured.
#[derive(Debug)]
pub struct Network {
    outside: Netns,
    next_number: u8,
    /// The external host's servers.
    pub server: Server,
    /// The ways that stand.
    pub ways: Vec<Way>,
    /// The agents, by the number of their Egresses.
    pub egrets: BTreeMap<usize, Egret>,
}

impl Network {
    /// Makes all that these paths need.
    pub fn new(paths: &[Path]) -> anyhow::Result<Self> {
        let outside = Netns::new("outside")?;
        shell(&format!(
            "ip -n outside link add br0 type bridge; ip -n outside link set br0 up; \
             ip -n outside addr add {OUTSIDE}/{PREFIX} dev br0"
        ))?;
        let mut network = Self {
            server: Server::start(&outside)?,
            outside,
            next_number: 1,
            ways: Vec::new(),
            egrets: BTreeMap::new(),
        };
        for path in paths {
            eprintln!("datapath: making ready: {path}");
            let way = network.make(*path).with_context(|| path.to_string())?;
            network.ways.push(way);
        }
        Ok(network)
    }

    fn make(&mut self, path: Path) -> anyhow::Result<Way> {
        let (pod, seen_as) = match path {
            Path::Bare => self.bare(false)?,
            Path::Tracked => self.bare(true)?,
            Path::Node => self.node_alone()?,
            Path::Peers(policies) => self.peers(policies)?,
            Path::Selected(count) => self.selected(count)?,
            Path::Unselected(count) => self.unselected(count)?,
        };
        Ok(Way { path, pod, seen_as })
    }

    /// As a cluster of its own, with so many Egresses and Pods.
    fn world(&mut self, count: usize) -> World {
        let number = self.next_number;
        self.next_number += 1;
        World {
            number,
            count,
            pods: count,
        }
    }

    fn node(&self, name: &str, address: Ipv4Addr) -> anyhow::Result<Netns> {
        let node = Netns::new(name)?;
        let outside = self.outside.name();
        shell(&format!(
            "ip link add to-{name} netns {outside} type veth peer name eth0 netns {name}; \
             ip -n {outside} link set to-{name} master br0 up; \
             ip -n {name} addr add {address}/{PREFIX} dev eth0; ip -n {name} link set eth0 up"
        ))?;
        // Flows that were reset are forgotten soon: else each sample would find more of them than the one before.
        node.run(
            "echo 1 > /proc/sys/net/ipv4/ip_forward; \
             echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close",
        )?;
        Ok(node)
    }

    fn source(&self, world: World) -> anyhow::Result<Netns> {
        self.node(&format!("s{}", world.number), world.source())
    }

    fn gateway(&self, world: World) -> anyhow::Result<Netns> {
        let gateway = self.node(&format!("g{}", world.number), world.gateway())?;
        let (pods, source) = (world.pod_cidr(), world.source());
        gateway.run(&format!("ip route add {pods} via {source}"))?;
        Ok(gateway)
    }

    fn node_alone(&mut self) -> anyhow::Result<(Netns, Ipv4Addr)> {
        let world = self.world(0);
        let node = self.source(world)?;
        masquerade(&node, world)?;
        let pod = pod(&node, "p", world.unselected_pod(), MTU)?;
        Ok((pod, world.source()))
    }

    fn bare(&mut self, is_tracked: bool) -> anyhow::Result<(Netns, Ipv4Addr)> {
        let world = self.world(1);
        let (source, gateway) = (self.source(world)?, self.gateway(world)?);
        tunnel(&source, &gateway, world)?;
        source.run(&format!(
            "ip rule add pref 160 from {} lookup 77",
            world.pod(0)
        ))?;
        masquerade(&gateway, world)?;
        if is_tracked {
            masquerade(&source, world)?;
        }
        let pod = pod(&source, "p", world.pod(0), TUNNEL_MTU)?;
        Ok((pod, world.gateway()))
    }

    fn peers(&mut self, policies: usize) -> anyhow::Result<(Netns, Ipv4Addr)> {
        let world = self.world(policies);
        let (source, gateway) = (self.source(world)?, self.gateway(world)?);
        tunnel(&source, &gateway, world)?;
        peers::rules(&source, &gateway, world)?;
        let last = policies.saturating_sub(1);
        let pod = pod(&source, "p", world.pod(last), TUNNEL_MTU)?;
        Ok((pod, world.egress_ip(last)))
    }

    fn selected(&mut self, count: usize) -> anyhow::Result<(Netns, Ipv4Addr)> {
        let world = self.egret(count)?.world;
        let source = Netns::named(&format!("s{}", world.number));
        let last = count.saturating_sub(1);
        let pod = pod(&source, "p", world.pod(last), MTU)?;
        Ok((pod, world.egress_ip(last)))
    }

    fn unselected(&mut self, count: usize) -> anyhow::Result<(Netns, Ipv4Addr)> {
        let world = self.egret(count)?.world;
        let source = Netns::named(&format!("s{}", world.number));
        let pod = pod(&source, "u", world.unselected_pod(), MTU)?;
        Ok((pod, world.source()))
    }

    /// Two nodes with agents that know so many Egresses, if there are none yet.
    fn egret(&mut self, count: usize) -> anyhow::Result<&Egret> {
        if !self.egrets.contains_key(&count) {
            let egret = self.new_egret(count)?;
            self.egrets.insert(count, egret);
        }
        self.egrets.get(&count).context("it was made just now")
    }

    fn new_egret(&mut self, count: usize) -> anyhow::Result<Egret> {
        let world = self.world(count);
        let (source, gateway) = (self.source(world)?, self.gateway(world)?);
        masquerade(&source, world)?;
        masquerade(&gateway, world)?;
        let cluster = || world.surroundings().into_iter();
        let of_gateway: Vec<_> = cluster().chain(world.egresses()).collect();
        let of_source: Vec<_> = cluster()
            .chain(world.source_pods())
            .chain(world.egresses())
            .collect();
        Ok(Egret {
            world,
            gateway: Agent::start(&gateway, GATEWAY, world.gateway(), &of_gateway)?,
            source: Agent::start(&source, SOURCE, world.source(), &of_source)?,
        })
    }
}

/// What a CNI does: Pods leave with their node's address, but not into a tunnel.
fn masquerade(node: &Netns, world: World) -> anyhow::Result<()> {
    let pods = world.pod_cidr();
    let rule = format!("oifname != \"vx0\" ip saddr {pods} ip daddr != {pods} masquerade");
    let chain = format!(
        "table ip cni {{ chain post {{ type nat hook postrouting priority 100; {rule}; }}; }}"
    );
    node.feed(&["nft", "-f", "-"], &chain)
}

/// A Pod behind a veth, with permanent neighbours, as many CNIs have it.
fn pod(node: &Netns, letter: &str, address: Ipv4Addr, mtu: u32) -> anyhow::Result<Netns> {
    let name = format!("{letter}{}", node.name());
    let pod = Netns::new(&name)?;
    let node = node.name();
    shell(&format!(
        "ip link add {name} netns {node} address 02:00:00:00:00:01 mtu {mtu} type veth \
             peer name eth0 netns {name} address 02:00:00:00:00:02 mtu {mtu}; \
         ip -n {node} link set {name} up; ip -n {name} link set eth0 up; \
         ip -n {name} addr add {address}/32 dev eth0; \
         ip -n {name} route add 169.254.1.1 dev eth0; \
         ip -n {name} route add default via 169.254.1.1; \
         ip -n {name} neigh replace 169.254.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent; \
         ip -n {node} addr add 169.254.1.1/32 dev {name}; \
         ip -n {node} route add {address}/32 dev {name}; \
         ip -n {node} neigh replace {address} lladdr 02:00:00:00:00:02 dev {name} nud permanent"
    ))?;
    Ok(pod)
}

/// A tunnel without Egret: table 77 of the source leads into it, to the gateway.
fn tunnel(source: &Netns, gateway: &Netns, world: World) -> anyhow::Result<()> {
    let ends = [(source, world.source(), 1), (gateway, world.gateway(), 2)];
    for (node, local, end) in ends {
        node.run(&format!(
            "ip link add vx0 address 02:aa:00:00:00:0{end} type vxlan id 99 dstport 6100 local {local} \
                 dev eth0 nolearning ttl 64; \
             ip link set vx0 mtu {TUNNEL_MTU} up; ip addr add 10.9.9.{end}/24 dev vx0; \
             echo 0 > /proc/sys/net/ipv4/conf/vx0/rp_filter"
        ))?;
    }
    let gateway = world.gateway();
    source.run(&format!(
        "bridge fdb append 02:aa:00:00:00:02 dev vx0 dst {gateway} self static; \
         ip neigh add 10.9.9.2 lladdr 02:aa:00:00:00:02 dev vx0; \
         ip route add default via 10.9.9.2 table 77"
    ))
}
