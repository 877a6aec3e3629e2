//! A Pod's network: a namespace, a veth pair, a host route, permanent neighbours on both ends.
//!
//! Owns the batches for many Pods at once and their address book. Permanent neighbours are no
//! luxury: the kernel's neighbour table is one for the whole machine and holds 1,024 others.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use futures::future::try_join_all;

use crate::netns::{CommandError, Netns};
use crate::topology::{NodeId, POD_GATEWAY, PodKey};

#[cfg(test)]
mod tests;

/// One Pod's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Whose it is.
    pub pod: PodKey,
    /// Which Pod of that name: a name can come again.
    pub uid: String,
    /// Where it is.
    pub node: NodeId,
    /// The Pod's address.
    pub address: Ipv4Addr,
}

impl Sandbox {
    /// The node's end of the veth.
    fn link(&self) -> String {
        let [.., host] = self.address.octets();
        format!("veth{host}")
    }

    fn mac(&self, side: &str) -> String {
        let [a, b, c, d] = self.address.octets();
        format!("{side}:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }

    fn pod_mac(&self) -> String {
        self.mac("0a:58")
    }

    fn node_mac(&self) -> String {
        self.mac("0e:58")
    }

    fn netns(&self) -> Netns {
        Netns::Named(self.pod.netns())
    }
}

/// The lowest free Pod address of `node`; none when all 253 are taken.
pub fn free_address(node: NodeId, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    node.pod_addresses()
        .find(|address| !taken.contains(address))
}

/// The highest free Pod address of `node`: for Egret's own Pods, so that users' begin with the lowest.
pub fn last_free_address(node: NodeId, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    node.pod_addresses()
        .filter(|address| !taken.contains(address))
        .last()
}

/// Makes these Pods' networks. After an error some may be there: tear them down before trying again.
pub async fn set_up(sandboxes: &[Sandbox], mtu: u16) -> Result<(), CommandError> {
    Netns::Root.ip(&pairs_batch(sandboxes, mtu)).await?;
    let per_node = by_node(sandboxes)
        .into_iter()
        .map(|(node, members)| async move {
            Netns::Named(node.to_string())
                .ip(&node_batch(&members))
                .await
        });
    try_join_all(per_node).await?;
    for few in sandboxes.chunks(8) {
        let pods = few
            .iter()
            .map(|one| async move { one.netns().ip(&pod_batch(one)).await });
        try_join_all(pods).await?;
    }
    Ok(())
}

/// Removes these Pods' networks, whatever is left of them.
pub async fn tear_down(sandboxes: &[Sandbox]) {
    for (node, members) in by_node(sandboxes) {
        let batch = lines(&members, |one| format!("link del {}", one.link()));
        Netns::Named(node.to_string()).ip_best_effort(&batch).await;
    }
    let all: Vec<&Sandbox> = sandboxes.iter().collect();
    let batch = lines(&all, |one| format!("netns del {}", one.pod.netns()));
    Netns::Root.ip_best_effort(&batch).await;
}

/// Takes these Pods' links down on a node that lost its power; nothing else changes.
pub async fn unplug(node: NodeId, sandboxes: &[Sandbox]) {
    let all: Vec<&Sandbox> = sandboxes.iter().collect();
    let batch = lines(&all, |one| format!("link set {} down", one.link()));
    Netns::Named(node.to_string()).ip_best_effort(&batch).await;
}

fn by_node(sandboxes: &[Sandbox]) -> Vec<(NodeId, Vec<&Sandbox>)> {
    let nodes: BTreeSet<NodeId> = sandboxes.iter().map(|one| one.node).collect();
    let members = |node| sandboxes.iter().filter(|one| one.node == node).collect();
    nodes
        .into_iter()
        .map(|node| (node, members(node)))
        .collect()
}

fn lines(sandboxes: &[&Sandbox], line: impl Fn(&Sandbox) -> String) -> String {
    sandboxes.iter().fold(String::new(), |mut batch, one| {
        let _ = writeln!(batch, "{}", line(one));
        batch
    })
}

fn pairs_batch(sandboxes: &[Sandbox], mtu: u16) -> String {
    let all: Vec<&Sandbox> = sandboxes.iter().collect();
    lines(&all, |one| {
        format!(
            "netns add {netns}\nlink add name eth0 mtu {mtu} address {pod} netns {netns} type veth \
             peer name {link} mtu {mtu} address {node_mac} netns {node}",
            netns = one.pod.netns(),
            pod = one.pod_mac(),
            link = one.link(),
            node_mac = one.node_mac(),
            node = one.node,
        )
    })
}

fn node_batch(sandboxes: &[&Sandbox]) -> String {
    lines(sandboxes, |one| {
        let (link, address) = (one.link(), one.address);
        format!(
            "link set {link} addrgenmode none\nlink set {link} up\n\
             neigh replace {address} lladdr {} dev {link} nud permanent\n\
             route replace {address}/32 dev {link} scope link",
            one.pod_mac()
        )
    })
}

fn pod_batch(sandbox: &Sandbox) -> String {
    format!(
        "link set lo up\nlink set eth0 addrgenmode none\nlink set eth0 up\n\
         addr add {}/32 dev eth0\n\
         neigh replace {POD_GATEWAY} lladdr {} dev eth0 nud permanent\n\
         route add {POD_GATEWAY} dev eth0 scope link\nroute add default via {POD_GATEWAY}\n",
        sandbox.address,
        sandbox.node_mac()
    )
}
