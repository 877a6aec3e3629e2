//! The underlay: the bridge, the nodes' uplinks, the external host, and what a CNI does to a node.
//!
//! Batches are pure text; the functions that run them are few. Never touches a Pod.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use futures::future::join_all;

use crate::family::Family;
use crate::netns::{CommandError, Netns};
use crate::partition::Partition;
use crate::spec::{LabSpec, Masquerade};
use crate::topology::{
    BRIDGE, EXT_PORT, Endpoint, NodeId, api_address, ext_address, link_local, pod_network,
    underlay_prefix,
};

/// The nft table in which the external host notes every source address it sees.
pub const SEEN_TABLE: &str = "lab";

/// Makes the bridge, with the lab's own address on it.
pub async fn lay(spec: &LabSpec) -> Result<(), CommandError> {
    let root = Netns::Root;
    root.ip(&format!(
        "link set lo up\nlink add {BRIDGE} mtu {mtu} type bridge\n\
         link set {BRIDGE} addrgenmode none\nlink set {BRIDGE} up\n{addresses}",
        mtu = spec.mtu,
        addresses = addresses(spec, BRIDGE, api_address)
    ))
    .await?;
    forward(&root, spec).await?;
    // Frames between nodes are not this machine's business, whatever its iptables says.
    root.sysctl(&[
        "-e",
        "net.bridge.bridge-nf-call-iptables=0",
        "net.bridge.bridge-nf-call-ip6tables=0",
    ])
    .await
}

/// Makes the external host: one uplink, no route to any Pod, a note of every source it sees.
pub async fn attach_ext(spec: &LabSpec) -> Result<(), CommandError> {
    Netns::Root
        .ip(&port_batch("ext", "02:00:0a:0a:00:c8", spec.mtu))
        .await?;
    let ext = Netns::Named("ext".to_owned());
    let nowhere = spec.families.each().map(|family| match family {
        Family::V4 => "route add blackhole default\n",
        Family::V6 => "route add blackhole ::/0\n",
    });
    let nowhere: String = nowhere.collect();
    ext.ip(&format!(
        "{UPLINK_UP}{}{nowhere}",
        addresses(spec, "eth0", ext_address)
    ))
    .await?;
    ext.nft(&(seen_table(Family::V4) + &seen_table(Family::V6)))
        .await
}

/// Makes a node: its uplink, its routes to the others' Pods and the masquerade of a CNI. The API server finds its Pods.
pub async fn attach_node(spec: &LabSpec, node: NodeId) -> Result<(), CommandError> {
    let port = port_batch(&node.to_string(), &node.mac(), spec.mtu);
    Netns::Root.ip(&(port + &routes_to(spec, node))).await?;
    let netns = Netns::Named(node.to_string());
    netns.ip(&node_batch(spec, node)).await?;
    forward(&netns, spec).await?;
    for family in spec.families.each() {
        masquerade(&netns, spec.masquerade, family).await?;
    }
    Ok(())
}

/// Cuts the power: the port goes dark at once, the node's state stays as it is.
pub async fn unplug(node: NodeId) -> Result<(), CommandError> {
    Netns::Root.ip(&format!("link set {node} down\n")).await
}

/// Forgets a node's kernel state, as a boot does.
pub async fn detach_node(node: NodeId) {
    Netns::Root
        .ip_best_effort(&format!("link del {node}\nnetns del {node}\n"))
        .await;
}

/// Makes the cables what `partition` says.
pub async fn set_partition(partition: &Partition) -> Result<(), CommandError> {
    Netns::Root.nft(&partition.render()).await
}

/// Lets endpoints whose cable was plugged in try again at once to find those whom they did not find without it. A real
/// one sees its carrier come and forgets its neighbours; a bridge's ports notice nothing.
pub async fn notice_cables(endpoints: &BTreeSet<Endpoint>) {
    let each = endpoints.iter().map(|endpoint| async {
        let (netns, link) = match endpoint.port() {
            Some(port) => (Netns::Named(port), "eth0"),
            None => (Netns::Root, BRIDGE),
        };
        let forget = format!("neigh flush dev {link} nud failed nud incomplete\n");
        netns.ip_best_effort(&forget).await;
    });
    join_all(each).await;
}

const UPLINK_UP: &str = "link set lo up\nlink set eth0 addrgenmode none\nlink set eth0 up\n";

fn port_batch(name: &str, mac: &str, mtu: u16) -> String {
    format!(
        "netns add {name}\n\
         link add name {name} mtu {mtu} type veth peer name eth0 mtu {mtu} address {mac} netns {name}\n\
         link set {name} addrgenmode none\nlink set {name} master {BRIDGE} up\n"
    )
}

fn node_batch(spec: &LabSpec, node: NodeId) -> String {
    let mut batch = UPLINK_UP.to_owned() + &addresses(spec, "eth0", |family| node.address(family));
    for family in spec.families.each() {
        let _ = writeln!(batch, "route add default via {}", api_address(family));
    }
    let others = spec.node_ids().filter(|other| *other != node);
    others.fold(batch, |batch, other| batch + &routes_to(spec, other))
}

/// Addresses on the underlay. Nobody else has them: they are usable at once. Without a link-local one too the kernel asks
/// for no neighbour on behalf of a packet that it forwards.
fn addresses(spec: &LabSpec, link: &str, of: impl Fn(Family) -> IpAddr) -> String {
    let mut batch = String::new();
    for family in spec.families.each() {
        let (address, prefix) = (of(family), underlay_prefix(family));
        let _ = match address {
            IpAddr::V4(_) => writeln!(batch, "addr add {address}/{prefix} dev {link}"),
            IpAddr::V6(global) => {
                let local = link_local(global);
                writeln!(
                    batch,
                    "addr add {address}/{prefix} dev {link} nodad\naddr add {local}/64 dev {link} nodad"
                )
            }
        };
    }
    batch
}

/// The ways to a node's Pods.
fn routes_to(spec: &LabSpec, node: NodeId) -> String {
    spec.families
        .each()
        .fold(String::new(), |mut batch, family| {
            let (pods, address) = (node.pod_cidr(family), node.address(family));
            let _ = writeln!(batch, "route replace {pods} via {address}");
            batch
        })
}

async fn forward(netns: &Netns, spec: &LabSpec) -> Result<(), CommandError> {
    let settings = spec.families.each().map(|family| match family {
        Family::V4 => "net.ipv4.ip_forward=1",
        Family::V6 => "net.ipv6.conf.all.forwarding=1",
    });
    netns.sysctl(&settings.collect::<Vec<_>>()).await
}

async fn masquerade(netns: &Netns, how: Masquerade, family: Family) -> Result<(), CommandError> {
    let program = match (how, family) {
        (Masquerade::IptablesNft, Family::V4) => "iptables-nft",
        (Masquerade::IptablesNft, Family::V6) => "ip6tables-nft",
        (Masquerade::IptablesLegacy, Family::V4) => "iptables-legacy",
        (Masquerade::IptablesLegacy, Family::V6) => "ip6tables-legacy",
        (Masquerade::Nft, _) => return netns.nft(&masquerade_table(family)).await,
    };
    let pods = pod_network(family);
    let rule = [
        "-t",
        "nat",
        "-A",
        "POSTROUTING",
        "-s",
        pods,
        "!",
        "-d",
        pods,
    ];
    let args: Vec<&str> = rule.into_iter().chain(["-j", "MASQUERADE"]).collect();
    netns.run(program, &args, "").await
}

/// As nft calls a family's tables and headers.
fn header(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn masquerade_table(family: Family) -> String {
    let (ip, pods) = (header(family), pod_network(family));
    format!(
        "table {ip} cni {{\n chain postrouting {{\n  type nat hook postrouting priority 100; policy accept;\n  \
         {ip} saddr {pods} {ip} daddr != {pods} masquerade\n }}\n}}\n"
    )
}

/// Before connection tracking and the reverse-path filter: what arrived, not what was let in.
fn seen_table(family: Family) -> String {
    let ip = header(family);
    // What neighbours say to each other has the most hops or one.
    let (address, others) = match family {
        Family::V4 => ("ipv4_addr", "meta l4proto { udp, icmp }"),
        Family::V6 => (
            "ipv6_addr",
            "meta l4proto . ip6 hoplimit != { ipv6-icmp . 255, ipv6-icmp . 1 } meta l4proto { udp, ipv6-icmp }",
        ),
    };
    format!(
        "table {ip} {SEEN_TABLE} {{\n \
         set seen {{ type {address}; size 65536; flags dynamic; }}\n \
         chain arrivals {{\n  type filter hook prerouting priority -400; policy accept;\n  \
         iifname != \"eth0\" accept\n  \
         tcp dport {EXT_PORT} update @seen {{ {ip} saddr counter }}\n  \
         {others} update @seen {{ {ip} saddr counter }}\n }}\n}}\n"
    )
}
