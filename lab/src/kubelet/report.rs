//! The status of one of Egret's Pods: a pure function of what its containers do.
//!
//! Owns when such a Pod is ready. Never writes it.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::field::Fields;
use crate::process::{Course, State};

/// What one container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its process; none while that waits for something.
    pub course: Option<Course>,
    /// Since when it does that.
    pub since: Timestamp,
    /// Whether it has begun.
    pub has_started: bool,
    /// Whether it says that it is ready.
    pub is_ready: bool,
}

/// What there is to say about a Pod.
#[derive(Debug)]
pub struct Report<'a> {
    /// The Pod and its place.
    pub fields: Fields<'a>,
    /// Since when it is here.
    pub since: Timestamp,
    /// What it waits for before it can start.
    pub waits_for: Option<&'a str>,
    /// Its containers.
    pub views: Vec<View>,
    /// Why it is not ready whatever its containers say: its node is not heard of, or it shall not be asked.
    pub unready: Option<&'static str>,
    /// Since when it has been ready, or not.
    pub ready_since: Timestamp,
}

impl Report<'_> {
    /// Whether the Pod is ready.
    pub fn is_ready(&self) -> bool {
        self.unready.is_none() && self.are_containers_ready()
    }

    fn are_containers_ready(&self) -> bool {
        !self.views.is_empty() && self.views.iter().all(|view| view.is_ready)
    }

    /// The status as it is written.
    pub fn status(&self) -> Value {
        let (hosts, addresses) = (self.fields.host(), self.fields.addresses);
        let has_run = |view: &View| view.course.is_some();
        let runs = !self.views.is_empty() && self.views.iter().all(has_run);
        json!({
            "phase": if runs { "Running" } else { "Pending" },
            "hostIP": hosts.first.to_string(),
            "hostIPs": hosts.listed(),
            "podIP": addresses.first.to_string(),
            "podIPs": addresses.listed(),
            "startTime": time(self.since),
            "conditions": self.conditions(),
            "containerStatuses": self.views.iter().map(|view| self.container(view)).collect::<Vec<_>>(),
        })
    }

    fn conditions(&self) -> Value {
        let condition = |kind: &str, is_so: bool, since: Timestamp| {
            json!({
                "type": kind, "status": if is_so { "True" } else { "False" }, "lastProbeTime": null,
                "lastTransitionTime": time(since),
            })
        };
        let ready = self.is_ready();
        let mut all = vec![
            condition("PodScheduled", true, self.since),
            condition("PodReadyToStartContainers", true, self.since),
            condition("Initialized", true, self.since),
            condition("ContainersReady", ready, self.ready_since),
            condition("Ready", ready, self.ready_since),
        ];
        let message = self.waits_for.or(self.unready);
        if let (Some(message), Some(last)) = (message, all.last_mut()) {
            last["reason"] = json!("ContainersNotReady");
            last["message"] = json!(message);
        }
        json!(all)
    }

    fn container(&self, view: &View) -> Value {
        let state = match view.course.map(|course| course.state) {
            Some(State::Running(_) | State::Stopped(_)) => {
                json!({"running": {"startedAt": time(view.since)}})
            }
            Some(State::BackingOff) => json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            Some(State::Down) => json!({"waiting": {"reason": "KeptDown"}}),
            None => json!({"waiting": {"reason": "ContainerCreating", "message": self.waits_for}}),
        };
        let starts = view.course.map_or(0, |course| course.starts);
        json!({
            "name": view.name, "image": view.image, "imageID": view.image, "ready": view.is_ready,
            "started": view.has_started, "restartCount": starts.saturating_sub(1), "state": state,
        })
    }
}

fn time(time: Timestamp) -> String {
    format!("{time:.0}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, PodStatus};

    use super::*;

    fn view(state: Option<State>, is_ready: bool) -> View {
        View {
            name: "c".to_owned(),
            image: "egret-webhook:1".to_owned(),
            course: state.map(|state| Course { state, starts: 3 }),
            since: Timestamp::UNIX_EPOCH,
            has_started: true,
            is_ready,
        }
    }

    fn status(
        views: Vec<View>,
        waits_for: Option<&str>,
        unready: Option<&'static str>,
    ) -> PodStatus {
        let pod = Pod::default();
        let report = Report {
            fields: Fields {
                pod: &pod,
                node: "node-1".parse().unwrap(),
                addresses: crate::family::Addresses {
                    first: "10.244.1.254".parse().unwrap(),
                    second: None,
                },
            },
            since: Timestamp::UNIX_EPOCH,
            waits_for,
            views,
            unready,
            ready_since: Timestamp::UNIX_EPOCH,
        };
        serde_json::from_value(report.status()).unwrap()
    }

    fn is_ready(status: &PodStatus) -> bool {
        let conditions = status.conditions.as_ref().unwrap();
        let ready = conditions.iter().find(|one| one.type_ == "Ready").unwrap();
        ready.status == "True"
    }

    #[test]
    fn a_pod_is_ready_when_all_its_containers_are() {
        let running = Some(State::Running(1));
        let ready = status(vec![view(running, true)], None, None);
        assert!(is_ready(&ready));
        assert_eq!(ready.phase.as_deref(), Some("Running"));
        assert_eq!(ready.pod_ip.as_deref(), Some("10.244.1.254"));
        assert_eq!(ready.container_statuses.unwrap()[0].restart_count, 2);
        let half = status(vec![view(running, true), view(running, false)], None, None);
        assert!(!is_ready(&half));
    }

    #[test]
    fn a_pod_is_not_ready_where_nobody_hears_its_node() {
        let views = vec![view(Some(State::Running(1)), true)];
        assert!(!is_ready(&status(views, None, Some("node-1 is off"))));
    }

    #[test]
    fn a_pod_that_waits_says_for_what() {
        let status = status(vec![view(None, false)], Some("Secret x"), None);
        assert_eq!(status.phase.as_deref(), Some("Pending"));
        let containers = status.container_statuses.unwrap();
        let waiting = containers[0].state.as_ref().unwrap().waiting.as_ref();
        assert_eq!(waiting.unwrap().message.as_deref(), Some("Secret x"));
    }
}
