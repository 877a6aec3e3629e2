//! A Pod's network: a namespace, a veth pair, a host route, permanent neighbours on both ends.
//!
//! Owns the batches for many Pods at once and their address book. Permanent neighbours are no
//! luxury: the kernel's neighbour table is one for the whole machine and holds 1,024 others.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures::future::try_join_all;

use crate::family::{Addresses, Families, Family};
use crate::netns::{CommandError, Netns};
use crate::topology::{NodeId, PodKey, pod_gateway};

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
    /// Its number among its node's Pods, by which it has its addresses.
    pub number: u8,
    /// What these are of.
    pub families: Families,
}

impl Sandbox {
    /// The node's end of the veth.
    fn link(&self) -> String {
        format!("veth{}", self.number)
    }

    /// The Pod's addresses.
    pub fn addresses(&self) -> Addresses {
        let address = |family| self.node.pod_address(self.number, family);
        Addresses::of(self.families, address)
    }

    fn mac(&self, side: &str) -> String {
        format!("{side}:{}", self.node.pod_mac(self.number))
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

/// The lowest free Pod number of `node`; none when all 253 are taken.
pub fn free_number(node: NodeId, taken: &BTreeSet<(NodeId, u8)>) -> Option<u8> {
    NodeId::pod_numbers().find(|number| !taken.contains(&(node, *number)))
}

/// The highest free Pod number of `node`: for Egret's own Pods, so that users' begin with the lowest.
pub fn last_free_number(node: NodeId, taken: &BTreeSet<(NodeId, u8)>) -> Option<u8> {
    let mut numbers = NodeId::pod_numbers().rev();
    numbers.find(|number| !taken.contains(&(node, *number)))
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
        let (link, mac) = (one.link(), one.pod_mac());
        let up = format!("link set {link} addrgenmode none\nlink set {link} up");
        one.addresses().all().fold(up, |batch, address| {
            format!(
                "{batch}\nneigh replace {address} lladdr {mac} dev {link} nud permanent\n\
                 route replace {address} dev {link} scope link"
            )
        })
    })
}

fn pod_batch(sandbox: &Sandbox) -> String {
    let up = "link set lo up\nlink set eth0 addrgenmode none\nlink set eth0 up\n".to_owned();
    sandbox.families.each().fold(up, |mut batch, family| {
        let address = sandbox.node.pod_address(sandbox.number, family);
        let (own, gateway) = match family {
            Family::V4 => (format!("{address}/32 dev eth0"), pod_gateway(family)),
            Family::V6 => (format!("{address}/128 dev eth0 nodad"), pod_gateway(family)),
        };
        let mac = sandbox.node_mac();
        let _ = write!(
            batch,
            "addr add {own}\nneigh replace {gateway} lladdr {mac} dev eth0 nud permanent\n\
             route add {gateway} dev eth0 scope link\nroute add default via {gateway} dev eth0\n"
        );
        batch
    })
}
