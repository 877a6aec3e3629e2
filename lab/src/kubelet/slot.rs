//! The names under which commands know Egret's Pods: `operator/1`, `webhook/2`, `agent/node-3`.
//!
//! Owns who gets which. A name outlives its Pod: the next one of its kind gets it, and its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::sync::watch;

use crate::family::Addresses;
use crate::process::Process;
use crate::topology::NodeId;

/// The label that says what a Pod of Egret's is.
const COMPONENT: &str = "app.kubernetes.io/component";
/// The component of which each node has one.
const AGENT: &str = "agent";

/// A Pod of Egret's, as commands see it.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its node.
    pub node: NodeId,
    /// Its address.
    pub addresses: Addresses,
    /// Its process; none while it waits for something.
    pub process: Option<Process>,
    /// Whether its Service shall forget it, since it is about to be restarted.
    pub leaving: Arc<watch::Sender<bool>>,
}

/// All of them, by name.
pub type Slots = BTreeMap<String, Slot>;

/// The name of a node's agent.
pub fn of_agent(node: NodeId) -> String {
    format!("{AGENT}/{node}")
}

/// The name of a new Pod: its node's for an agent, else the lowest free number.
pub fn name(pod: &Pod, node: NodeId, is_taken: impl Fn(&str) -> bool) -> String {
    let component = pod.labels().get(COMPONENT).cloned();
    let component = component.unwrap_or_else(|| pod.name_any());
    let agent = of_agent(node);
    if component == AGENT && !is_taken(&agent) {
        return agent;
    }
    let stem = if component == AGENT { agent } else { component };
    let mut numbered = (1_u32..).map(|number| format!("{stem}/{number}"));
    numbered.find(|name| !is_taken(name)).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn named(component: &str, taken: &[&str]) -> String {
        let pod = json!({"metadata": {"name": "p", "labels": {COMPONENT: component}}});
        let pod = serde_json::from_value(pod).unwrap();
        let taken: BTreeSet<&str> = taken.iter().copied().collect();
        name(&pod, "node-2".parse().unwrap(), |name| taken.contains(name))
    }

    #[test]
    fn a_replica_gets_the_lowest_free_number() {
        assert_eq!(named("webhook", &[]), "webhook/1");
        assert_eq!(named("webhook", &["webhook/1", "webhook/3"]), "webhook/2");
        assert_eq!(named("operator", &["webhook/1"]), "operator/1");
    }

    #[test]
    fn an_agent_is_called_by_its_node() {
        assert_eq!(named("agent", &["agent/node-1"]), "agent/node-2");
        // The former one is still ending.
        assert_eq!(named("agent", &["agent/node-2"]), "agent/node-2/1");
    }

    #[test]
    fn a_pod_of_no_component_is_called_by_its_own_name() {
        let pod = serde_json::from_value(json!({"metadata": {"name": "p"}})).unwrap();
        assert_eq!(name(&pod, "node-1".parse().unwrap(), |_| false), "p/1");
    }
}
