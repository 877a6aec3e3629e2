//! Pods, what they send, and what the external host sees of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Lab, start};
use crate::patience::wait_until;
use crate::stream::Stream;

/// A Pod to be made.
#[derive(Debug, Clone, Serialize)]
pub struct PodSpec {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Lab {
    /// Makes a Pod, `NAMESPACE/NAME`, with labels `k=v,…`, and its namespace if there is none; it runs now.
    pub fn pod(&self, pod: &str, node: &str, labels: &str) -> Result<()> {
        let (namespace, name) = pod.split_once('/').context("a Pod is NAMESPACE/NAME")?;
        let mut args = vec!["pod", name, "--node", node, "-n", namespace];
        if !labels.is_empty() {
            args.extend(["-l", labels]);
        }
        self.ask(&args).map(drop)
    }

    /// The same for a Pod that an Egress in force selects: from the first on, its packets leave with the egress IP or
    /// not at all.
    pub fn served_pod(&self, pod: &str, node: &str, labels: &str) -> Result<()> {
        self.until_served(node, || self.pod(pod, node, labels))
    }

    /// Lets `make` make one Pod on this node that an Egress in force selects, and waits until the node says that it
    /// serves one more. What a Pod sends earlier is masqueraded by its node, and answered later: a connection that
    /// began there may show packets of the node's at any time afterwards.
    pub fn until_served(&self, node: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
        let look = || Ok(self.egress_node(node)?.status.pods);
        let before = look()?;
        make()?;
        let what = format!("{node} serves the new Pod");
        wait_until(&what, look, |pods| *pods > before).map(drop)
    }

    /// Makes many Pods.
    pub fn pods(&self, pods: &[PodSpec]) -> Result<()> {
        let lines = pods.iter().map(serde_json::to_string);
        let lines: Vec<_> = lines.collect::<Result<_, _>>()?;
        self.ask_with(&["pods", "apply", "-"], &lines.join("\n"))
            .map(drop)
    }

    /// Sends one request from a Pod to the external host; the source address that it saw.
    pub fn source_of(&self, pod: &str) -> Result<String> {
        Ok(self.ask(&["curl", pod])?.trim().to_owned())
    }

    /// The same over IPv6, in a lab of both families.
    pub fn source_over_ipv6_of(&self, pod: &str) -> Result<String> {
        Ok(self.ask(&["curl", "-6", pod])?.trim().to_owned())
    }

    /// Waits until a Pod's requests over IPv6 arrive from this address, in a lab of both families.
    pub fn wait_for_source_over_ipv6(&self, pod: &str, source: &str) -> Result<()> {
        let what = format!("{pod} leaves as {source} over IPv6");
        let look = || self.source_over_ipv6_of(pod);
        wait_until(&what, look, |seen| seen == source).map(drop)
    }

    /// Waits until a Pod's requests arrive from this address.
    pub fn wait_for_source(&self, pod: &str, source: &str) -> Result<()> {
        let what = format!("{pod} leaves as {source}");
        wait_until(&what, || self.source_of(pod), |seen| seen == source).map(drop)
    }

    /// Waits until a Pod's requests arrive from its node's address: no Egress applies to it.
    pub fn wait_for_node_source(&self, pod: &str, node: &str) -> Result<()> {
        self.wait_for_source(pod, &self.address_of(node)?.to_string())
    }

    /// Begins to send a hundred requests per second from a Pod to the external host.
    pub fn stream(&self, pod: &str, seconds: u32) -> Result<Stream> {
        self.stream_with(&[], pod, seconds)
    }

    /// The same over IPv6, in a lab of both families.
    pub fn stream_over_ipv6(&self, pod: &str, seconds: u32) -> Result<Stream> {
        self.stream_with(&["-6"], pod, seconds)
    }

    fn stream_with(&self, options: &[&str], pod: &str, seconds: u32) -> Result<Stream> {
        let seconds = seconds.to_string();
        let args = ["stream", pod, "--rate", "100", "--seconds", &seconds];
        // It ends by itself.
        Ok(Stream::new(start(
            self.command(&[&args[..], options].concat()),
        )?))
    }

    /// Every source address from which a packet has reached the external host, with the number of packets.
    pub fn seen(&self) -> Result<BTreeMap<String, u64>> {
        let lines = self.ask(&["seen"])?;
        let entry = |line: &str| {
            let (address, packets) = line.split_once(' ').context("ADDRESS PACKETS")?;
            Ok((address.to_owned(), packets.parse()?))
        };
        lines.lines().map(entry).collect()
    }

    /// Lets the external host forget what it has seen.
    pub fn forget_seen(&self) -> Result<()> {
        self.ask(&["seen", "--reset"]).map(drop)
    }
}
