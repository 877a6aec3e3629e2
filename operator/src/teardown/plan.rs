//! What the end of Egret takes, decided from what was read.
//!
//! Owns two decisions: which finalizers an object should have, and which Pods nobody ends any more. Never reads
//! nor writes.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::FINALIZER;

/// Beyond the time that a Pod is given for its end: a kubelet that works says within it that the Pod has ended.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The finalizers that a guarded object should have, if they are others than it has. One that somebody deletes while its
/// namespace stays is let go: it goes as it would have without Egret.
pub fn guarded(object: &ObjectMeta) -> Option<Vec<String>> {
    let is_going = object.deletion_timestamp.is_some();
    let has = object.finalizers.iter().flatten();
    let mut wanted: Vec<_> = has.filter(|one| *one != FINALIZER).cloned().collect();
    if !is_going {
        wanted.push(FINALIZER.to_owned());
    }
    let has_it = object
        .finalizers
        .iter()
        .flatten()
        .any(|one| one == FINALIZER);
    (has_it == is_going).then_some(wanted)
}

/// The finalizers of an object without this one, if it has it.
pub fn released(object: &ObjectMeta, finalizer: &str) -> Option<Vec<String>> {
    let has = object.finalizers.as_deref()?;
    let others = has.iter().filter(|one| *one != finalizer);
    let others: Vec<_> = others.cloned().collect();
    (others.len() < has.len()).then_some(others)
}

/// How far the Pods of Egret's namespace have come.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    /// The nodes whose agents have not ended yet.
    pub agents_on: BTreeSet<String>,
    /// Pods that nobody ends: those of nodes whose kubelet is silent, as one without power is. The agents are the last, for
    /// by them such a node is known.
    pub stranded: Vec<String>,
}

/// What these Pods say this long after the namespace was deleted. An agent is asked to end at that time, as all Pods are.
pub fn progress(pods: &[Pod], elapsed: Duration) -> Progress {
    let agents = || pods.iter().filter(|pod| is_agent(pod));
    let silent: BTreeSet<_> = agents()
        .filter(|pod| is_overdue(pod, elapsed))
        .filter_map(node)
        .collect();
    let on_silent = |pod: &&Pod| node(pod).is_some_and(|node| silent.contains(node));
    let mut stranded: Vec<_> = pods.iter().filter(on_silent).collect();
    stranded.sort_by_key(|pod| is_agent(pod));
    Progress {
        agents_on: agents().filter_map(node).map(str::to_owned).collect(),
        stranded: stranded
            .into_iter()
            .filter_map(|pod| pod.metadata.name.clone())
            .collect(),
    }
}

fn is_agent(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let component = labels.and_then(|labels| labels.get("app.kubernetes.io/component"));
    component.is_some_and(|component| component == "agent")
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// By this process's own clock: that of the API server may be another.
fn is_overdue(pod: &Pod, elapsed: Duration) -> bool {
    let grace = pod.metadata.deletion_grace_period_seconds;
    let grace = grace.and_then(|seconds| u64::try_from(seconds).ok());
    pod.metadata.deletion_timestamp.is_some()
        && grace.is_some_and(|grace| elapsed > Duration::from_secs(grace) + SILENCE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(finalizers: &[&str], is_going: bool) -> ObjectMeta {
        let mut object = json!({ "finalizers": finalizers });
        if is_going {
            object["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(object).unwrap()
    }

    fn pod(name: &str, component: &str, node: &str, grace: Option<u64>) -> Pod {
        let mut pod = json!({
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": component}},
            "spec": {"nodeName": node, "containers": []},
        });
        if let Some(grace) = grace {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn an_object_is_guarded_beside_what_others_have_put_on_it() {
        let wanted = guarded(&object(&["example.com/other"], false)).unwrap();
        assert_eq!(wanted, ["example.com/other", FINALIZER]);
        assert_eq!(guarded(&object(&[FINALIZER], false)), None);
    }

    #[test]
    fn what_somebody_deletes_alone_is_let_go() {
        let left = guarded(&object(&["example.com/other", FINALIZER], true));
        assert_eq!(left.unwrap(), ["example.com/other"]);
        assert_eq!(guarded(&object(&["example.com/other"], true)), None);
    }

    #[test]
    fn a_finalizer_is_taken_away_only_where_it_is() {
        let left = released(&object(&["a", "b"], false), "a");
        assert_eq!(left.unwrap(), ["b"]);
        assert_eq!(released(&object(&["b"], true), "a"), None);
        assert_eq!(released(&ObjectMeta::default(), "a"), None);
    }

    #[test]
    fn agents_are_waited_for_until_they_have_ended() {
        let pods = [
            pod("agent-1", "agent", "node-1", Some(15)),
            pod("operator", "operator", "node-2", Some(60)),
        ];
        let now = progress(&pods, Duration::from_secs(10));
        assert_eq!(now.agents_on, ["node-1".to_owned()].into());
        assert_eq!(now.stranded, Vec::<String>::new());
    }

    #[test]
    fn nothing_on_a_node_that_does_not_end_its_agent_is_waited_for() {
        let pods = [
            pod("agent-1", "agent", "node-1", Some(15)),
            pod("operator-1", "operator", "node-1", Some(60)),
            pod("operator-2", "operator", "node-2", Some(60)),
        ];
        let now = progress(&pods, Duration::from_secs(21));
        assert_eq!(now.stranded, ["operator-1", "agent-1"]);
    }

    #[test]
    fn an_agent_that_nobody_has_asked_to_end_is_not_taken_for_silent() {
        let pods = [pod("agent-1", "agent", "node-1", None)];
        let now = progress(&pods, Duration::from_mins(5));
        assert_eq!(now.stranded, Vec::<String>::new());
    }
}
