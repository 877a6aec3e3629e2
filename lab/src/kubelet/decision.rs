//! What a kubelet does about one Pod: a pure function of what the API says, what runs and power.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::sandbox::Sandbox;
use crate::topology::{NodeId, PodKey};

#[cfg(test)]
mod tests;

/// How far a Pod has come by its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does not run yet, or has no address.
    Pending,
    /// It runs and has an address.
    Running,
    /// It succeeded or failed.
    Over,
}

/// What the API says about a Pod that has a node of this lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Which Pod.
    pub key: PodKey,
    /// Which of that name.
    pub uid: String,
    /// Its node.
    pub node: NodeId,
    /// Whether it lives in its node's own network.
    pub host_network: bool,
    /// Whether somebody asked for its deletion.
    pub is_deleting: bool,
    /// What its status says.
    pub phase: Phase,
    /// The names and images of its containers.
    pub containers: Vec<(String, String)>,
}

impl PodFacts {
    /// The facts of a Pod, unless its node is not one of this lab.
    pub fn of(pod: &Pod) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        let node = spec.node_name.as_ref()?.parse().ok()?;
        let status = pod.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        let image = |image: &Option<String>| image.clone().unwrap_or_default();
        Some(Self {
            key: PodKey {
                namespace: pod.namespace()?,
                name: pod.name_any(),
            },
            uid: pod.uid()?,
            node,
            host_network: spec.host_network.unwrap_or_default(),
            is_deleting: pod.metadata.deletion_timestamp.is_some(),
            phase: match phase.as_str() {
                "Running" if status.pod_ip.is_some() => Phase::Running,
                "Succeeded" | "Failed" => Phase::Over,
                _ => Phase::Pending,
            },
            containers: spec
                .containers
                .iter()
                .map(|one| (one.name.clone(), image(&one.image)))
                .collect(),
        })
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All is as it should be, or nothing can be done now.
    Nothing,
    /// Make its network, then say that it runs.
    Start,
    /// It runs; say so.
    Report,
    /// Remove its network; its object is gone or over.
    Remove,
    /// Remove its network, then finish its deletion.
    Finish,
    /// The name came again: remove the old network, then start.
    Replace,
}

/// Decides about one Pod. A node without power does nothing, except that what the API has forgotten
/// is forgotten there too.
pub fn decide(facts: Option<&PodFacts>, sandbox: Option<&Sandbox>, has_power: bool) -> Step {
    let Some(facts) = facts else {
        return if sandbox.is_some() {
            Step::Remove
        } else {
            Step::Nothing
        };
    };
    let is_same = sandbox.is_none_or(|sandbox| sandbox.uid == facts.uid);
    match sandbox {
        _ if !has_power => Step::Nothing,
        _ if facts.is_deleting => Step::Finish,
        Some(_) if facts.phase == Phase::Over => Step::Remove,
        None if facts.phase == Phase::Over => Step::Nothing,
        Some(_) if !is_same => Step::Replace,
        None if facts.host_network && facts.phase == Phase::Running => Step::Nothing,
        None if facts.host_network => Step::Report,
        None => Step::Start,
        Some(_) if facts.phase == Phase::Running => Step::Nothing,
        Some(_) => Step::Report,
    }
}
