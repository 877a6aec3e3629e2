//! Objects in, objects out, through kubectl.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use super::Lab;
use crate::object::{Egress, EgressNode, List, Pool};
use crate::patience::wait_until;

impl Lab {
    /// Runs kubectl.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.ask(&[&["kubectl"], args].concat())
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.ask_with(&["kubectl", "apply", "-f", "-"], manifests)
            .map(drop)
    }

    /// Applies a file of the repository, as it is.
    pub fn apply_file(&self, path: &str) -> Result<()> {
        self.kubectl(&["apply", "-f", path]).map(drop)
    }

    /// Puts an object in the place of the one that is there.
    pub fn replace(&self, object: &str) -> Result<()> {
        self.ask_with(&["kubectl", "replace", "-f", "-"], object)
            .map(drop)
    }

    /// Changes an Egress by a merge patch in YAML.
    pub fn patch_egress(&self, name: &str, patch: &str) -> Result<()> {
        self.kubectl(&["patch", "egress", name, "--type=merge", "-p", patch])
            .map(drop)
    }

    /// Deletes Egresses and waits until they are gone.
    pub fn delete_egresses(&self, names: &[&str]) -> Result<()> {
        self.kubectl(&[&["delete", "egress"], names].concat())
            .map(drop)
    }

    /// All objects of a kind.
    pub fn list<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>> {
        let json = self.kubectl(&["get", kind, "-o", "json"])?;
        Ok(serde_json::from_str::<List<T>>(&json)?.items)
    }

    fn get<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Result<T> {
        let json = self.kubectl(&["get", kind, name, "-o", "json"])?;
        serde_json::from_str(&json).with_context(|| format!("{kind} {name}"))
    }

    /// An Egress.
    pub fn egress(&self, name: &str) -> Result<Egress> {
        self.get("egress", name)
    }

    /// A node's report on itself.
    pub fn egress_node(&self, name: &str) -> Result<EgressNode> {
        self.get("egressnode", name)
    }

    /// A pool.
    pub fn pool(&self, name: &str) -> Result<Pool> {
        self.get("externalippool", name)
    }

    /// Waits until an Egress is in force with this egress IP; the gateway.
    pub fn gateway_of(&self, egress: &str, ip: &str) -> Result<String> {
        self.gateway_such_that(egress, ip, "", |_| true)
    }

    /// Waits until an Egress is in force with this egress IP on this node.
    pub fn wait_for_gateway(&self, egress: &str, ip: &str, node: &str) -> Result<()> {
        let where_to = format!(" on {node}");
        self.gateway_such_that(egress, ip, &where_to, |gateway| gateway == node)
            .map(drop)
    }

    /// Waits until an Egress is in force with this egress IP on any node but this; the gateway.
    pub fn wait_for_other_gateway(&self, egress: &str, ip: &str, node: &str) -> Result<String> {
        let where_to = format!(" on another node than {node}");
        self.gateway_such_that(egress, ip, &where_to, |gateway| gateway != node)
    }

    fn gateway_such_that(
        &self,
        egress: &str,
        ip: &str,
        where_to: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let what = format!("{egress} is in force with {ip}{where_to}");
        let is_so = |seen: &Egress| {
            let held = seen.held();
            seen.is_ready() && held.is_some_and(|(held, node)| held == ip && is_wanted(node))
        };
        let egress = wait_until(&what, || self.egress(egress), is_so)?;
        egress
            .status
            .egress_node
            .context("an Egress in force has a node")
    }

    /// A node's addresses, the primary one first.
    pub fn addresses_of(&self, node: &str) -> Result<Vec<String>> {
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        let addresses = self.kubectl(&["get", "node", node, "-o", path])?;
        Ok(addresses.split_whitespace().map(str::to_owned).collect())
    }

    /// A node's address.
    pub fn address_of(&self, node: &str) -> Result<IpAddr> {
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        let address = self.kubectl(&["get", "node", node, "-o", path])?;
        address
            .parse()
            .with_context(|| format!("{node} has address {address:?}"))
    }
}
