//! What a kubelet does about one Pod: a pure function of what the API says, what runs and power.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::credentials::EGRET_NAMESPACE;
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
#[derive(Debug, Clone, PartialEq)]
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
    /// How long its end may take.
    pub grace: Duration,
    /// The Pod itself, if it is one of Egret's own: its containers are run.
    pub own: Option<Arc<Pod>>,
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
        let grace_s = pod.metadata.deletion_grace_period_seconds;
        let grace_s = u64::try_from(grace_s.unwrap_or_default());
        let is_own = pod.metadata.namespace.as_deref() == Some(EGRET_NAMESPACE);
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
            grace: Duration::from_secs(grace_s.unwrap_or_default()),
            own: is_own.then(|| Arc::new(pod.clone())),
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

/// What there is of a Pod.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remains<'a> {
    /// Its network.
    pub sandbox: Option<&'a Sandbox>,
    /// Which of that name has its containers run, if they are.
    pub life: Option<&'a str>,
}

impl Remains<'_> {
    fn is_any(&self) -> bool {
        self.sandbox.is_some() || self.life.is_some()
    }

    fn is_of(&self, uid: &str) -> bool {
        self.sandbox.is_none_or(|sandbox| sandbox.uid == uid)
            && self.life.is_none_or(|life| life == uid)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All is as it should be, or nothing can be done now.
    Nothing,
    /// Make its network, then say that it runs, or run its containers.
    Start,
    /// Run its containers.
    Run,
    /// It runs; say so.
    Report,
    /// Let its containers end.
    End,
    /// Remove what there is of it; its object is gone or over.
    Remove,
    /// Remove its network, then finish its deletion.
    Finish,
    /// The name came again: remove what there is of the old one, then start.
    Replace,
}

/// Decides about one Pod. A node without power does nothing, except that what the API has forgotten
/// is forgotten there too.
pub fn decide(facts: Option<&PodFacts>, remains: Remains, has_power: bool) -> Step {
    let Some(facts) = facts else {
        return if remains.is_any() {
            Step::Remove
        } else {
            Step::Nothing
        };
    };
    match remains {
        _ if !has_power => Step::Nothing,
        _ if facts.is_deleting && remains.life == Some(&facts.uid) => Step::End,
        _ if facts.is_deleting => Step::Finish,
        _ if facts.phase == Phase::Over && remains.is_any() => Step::Remove,
        _ if facts.phase == Phase::Over => Step::Nothing,
        _ if !remains.is_of(&facts.uid) => Step::Replace,
        _ if facts.own.is_some() => run(facts, remains),
        Remains { sandbox: None, .. } if !facts.host_network => Step::Start,
        _ if facts.phase == Phase::Running => Step::Nothing,
        _ => Step::Report,
    }
}

/// A Pod of Egret's says itself how it is, once it lives.
fn run(facts: &PodFacts, remains: Remains) -> Step {
    match remains {
        Remains { life: Some(_), .. } => Step::Nothing,
        Remains { sandbox: None, .. } if !facts.host_network => Step::Start,
        _ => Step::Run,
    }
}
