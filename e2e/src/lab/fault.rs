//! What can happen to a cluster, and a look at a node from inside.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::Result;

use super::Lab;

impl Lab {
    /// Cuts a node's power.
    pub fn power_off(&self, node: &str) -> Result<()> {
        self.ask(&["node", "off", node]).map(drop)
    }

    /// Lets a node boot.
    pub fn power_on(&self, node: &str) -> Result<()> {
        self.ask(&["node", "on", node]).map(drop)
    }

    /// Takes the API server away.
    pub fn stop_api(&self) -> Result<()> {
        self.ask(&["apiserver", "stop"]).map(drop)
    }

    /// Brings the API server back; it answers now.
    pub fn start_api(&self) -> Result<()> {
        self.ask(&["apiserver", "start"]).map(drop)
    }

    /// Kills the operator; it is started again.
    pub fn kill_operator(&self) -> Result<()> {
        self.ask(&["operator", "kill"]).map(drop)
    }

    /// Kills a node's agent; it is started again.
    pub fn kill_agent(&self, node: &str) -> Result<()> {
        self.ask(&["agent", "kill", node]).map(drop)
    }

    /// Kills a node's agent and keeps it down until it is restarted.
    pub fn keep_agent_down(&self, node: &str) -> Result<()> {
        self.ask(&["agent", "kill", node, "--stay"]).map(drop)
    }

    /// Stops a node's agent in the middle of whatever it does.
    pub fn pause_agent(&self, node: &str) -> Result<()> {
        self.ask(&["agent", "stop", node]).map(drop)
    }

    /// Lets a stopped agent go on.
    pub fn continue_agent(&self, node: &str) -> Result<()> {
        self.ask(&["agent", "cont", node]).map(drop)
    }

    /// Asks a node's agent to end, and starts it again.
    pub fn restart_agent(&self, node: &str) -> Result<()> {
        self.ask(&["agent", "restart", node]).map(drop)
    }

    /// Asks the operator and all agents to end, and starts them again: they read everything anew.
    pub fn restart_everything(&self) -> Result<()> {
        self.ask(&["operator", "restart"])?;
        self.nodes()
            .iter()
            .try_for_each(|node| self.restart_agent(node))
    }

    /// Runs a command, its words separated by spaces, on a node as root; its output.
    pub fn on_node(&self, node: &str, command: &str) -> Result<String> {
        let target = format!("node/{node}");
        let words: Vec<_> = command.split(' ').collect();
        self.ask(&[&["exec", &target, "--"], &words[..]].concat())
    }
    /// The addresses that a node has on its links.
    pub fn addresses_on(&self, node: &str) -> Result<BTreeSet<Ipv4Addr>> {
        Ok(addresses(&self.on_node(node, "ip -o -4 addr")?))
    }

    /// The nodes that have this address on a link.
    pub fn nodes_with(&self, address: &str) -> Result<Vec<String>> {
        let address = address.parse()?;
        let mut found = Vec::new();
        for node in self.nodes() {
            if self.addresses_on(&node)?.contains(&address) {
                found.push(node);
            }
        }
        Ok(found)
    }
}

/// The addresses in what `ip -o addr` prints.
fn addresses(listing: &str) -> BTreeSet<Ipv4Addr> {
    let addresses = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3));
    let addresses = addresses.filter_map(|address| address.split('/').next());
    addresses
        .filter_map(|address| address.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_ips_listing() {
        let listing = "1: lo    inet 127.0.0.1/8 scope host lo\n\
                       5: egret-ips    inet 10.10.3.7/32 scope global egret-ips\n";
        let expected = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 10, 3, 7)];
        assert_eq!(addresses(listing), BTreeSet::from(expected));
    }
}
