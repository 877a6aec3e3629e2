//! The underlay: the bridge, the nodes' uplinks, the external host, and what a CNI does to a node.
//!
//! Batches are pure text; the functions that run them are few. Never touches a Pod.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures::future::join_all;

use crate::netns::{CommandError, Netns};
use crate::partition::Partition;
use crate::spec::{LabSpec, Masquerade};
use crate::topology::{API_ADDRESS, BRIDGE, EXT_ADDRESS, EXT_PORT, Endpoint, NodeId, POD_CIDR};

/// The nft table in which the external host notes every source address it sees.
pub const SEEN_TABLE: &str = "lab";

/// Makes the bridge, with the lab's own address on it.
pub async fn lay(spec: &LabSpec) -> Result<(), CommandError> {
    let root = Netns::Root;
    root.ip(&format!(
        "link set lo up\nlink add {BRIDGE} mtu {mtu} type bridge\n\
         link set {BRIDGE} addrgenmode none\nlink set {BRIDGE} up\n\
         addr add {API_ADDRESS}/16 dev {BRIDGE}\n",
        mtu = spec.mtu
    ))
    .await?;
    root.sysctl(&["net.ipv4.ip_forward=1"]).await?;
    // Frames between nodes are not this machine's business, whatever its iptables says.
    root.sysctl(&["-e", "net.bridge.bridge-nf-call-iptables=0"])
        .await
}

/// Makes the external host: one uplink, no route to any Pod, a note of every source it sees.
pub async fn attach_ext(spec: &LabSpec) -> Result<(), CommandError> {
    Netns::Root
        .ip(&port_batch("ext", "02:00:0a:0a:00:c8", spec.mtu))
        .await?;
    let ext = Netns::Named("ext".to_owned());
    ext.ip(&format!(
        "{UPLINK_UP}addr add {EXT_ADDRESS}/16 dev eth0\nroute add blackhole default\n"
    ))
    .await?;
    ext.nft(&seen_table()).await
}

/// Makes a node: its uplink, its routes to the others' Pods and the masquerade of a CNI. The API server finds its Pods.
pub async fn attach_node(spec: &LabSpec, node: NodeId) -> Result<(), CommandError> {
    let port = port_batch(&node.to_string(), &node.mac(), spec.mtu);
    let route = format!("route replace {} via {}\n", node.pod_cidr(), node.address());
    Netns::Root.ip(&(port + &route)).await?;
    let netns = Netns::Named(node.to_string());
    netns.ip(&node_batch(spec, node)).await?;
    netns.sysctl(&["net.ipv4.ip_forward=1"]).await?;
    masquerade(&netns, spec.masquerade).await
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
    let mut batch = format!(
        "{UPLINK_UP}addr add {}/16 dev eth0\nroute add default via {API_ADDRESS}\n",
        node.address()
    );
    for other in spec.node_ids().filter(|other| *other != node) {
        let _ = writeln!(
            batch,
            "route add {} via {}",
            other.pod_cidr(),
            other.address()
        );
    }
    batch
}

async fn masquerade(netns: &Netns, how: Masquerade) -> Result<(), CommandError> {
    let program = match how {
        Masquerade::IptablesNft => "iptables-nft",
        Masquerade::IptablesLegacy => "iptables-legacy",
        Masquerade::Nft => return netns.nft(&masquerade_table()).await,
    };
    let rule = [
        "-t",
        "nat",
        "-A",
        "POSTROUTING",
        "-s",
        POD_CIDR,
        "!",
        "-d",
        POD_CIDR,
    ];
    let args: Vec<&str> = rule.into_iter().chain(["-j", "MASQUERADE"]).collect();
    netns.run(program, &args, "").await
}

fn masquerade_table() -> String {
    format!(
        "table ip cni {{\n chain postrouting {{\n  type nat hook postrouting priority 100; policy accept;\n  \
         ip saddr {POD_CIDR} ip daddr != {POD_CIDR} masquerade\n }}\n}}\n"
    )
}

/// Before connection tracking and the reverse-path filter: what arrived, not what was let in.
fn seen_table() -> String {
    format!(
        "table ip {SEEN_TABLE} {{\n \
         set seen {{ type ipv4_addr; size 65536; flags dynamic; }}\n \
         chain arrivals {{\n  type filter hook prerouting priority -400; policy accept;\n  \
         iifname != \"eth0\" accept\n  \
         tcp dport {EXT_PORT} update @seen {{ ip saddr counter }}\n  \
         meta l4proto {{ udp, icmp }} update @seen {{ ip saddr counter }}\n }}\n}}\n"
    )
}
