//! The manifests of the agents: `DaemonSet` and `ConfigMap`.
//!
//! Owns every field of them that Egret cares for, and the form of `--agent-max-unavailable`, which is one; what others add
//! stays. Each right that the Pods have stands here with its reason. Never reads or writes an object.

use std::fmt;
use std::str::FromStr;

use egret_crds::settings::Settings;
use egret_runtime::home::LONGEST_END;
use serde_json::{Value, json};

/// The name of the `DaemonSet`, of the `ConfigMap` that it mounts, and of the `ServiceAccount` that it runs as.
pub const NAME: &str = "egret-agent";
/// The Secret with the keys of the gossip.
pub const GOSSIP: &str = "egret-gossip";

/// On the Pods' template: what tells the settings that they run with. A change rolls out by itself.
const DIGEST: &str = "egret.dev/configuration";
/// An agent stops within this time, also at an uninstall.
pub(crate) const GRACE_S: u64 = 24;
/// For the start of the end, and for a node that is busy.
const RESERVE_S: u64 = 3;
const _: () = assert!(GRACE_S >= LONGEST_END.as_secs() + RESERVE_S);
const ADMIN_PORT: u16 = 6090;

/// How many agents may be away at the same time while a change rolls out: a number, or a share of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// So many.
    Count(u32),
    /// So many of a hundred, but one at least.
    Percent(u32),
}

impl FromStr for MaxUnavailable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .parse::<u32>()
                .ok()
                .filter(|number| is_number && *number > 0)
        };
        let read = match text.strip_suffix('%') {
            Some(digits) => number(digits)
                .filter(|share| *share <= 100)
                .map(Self::Percent),
            None => number(text).map(Self::Count),
        };
        read.ok_or_else(|| "say a number from 1 on, or a share from 1% to 100%".to_owned())
    }
}

impl fmt::Display for MaxUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl MaxUnavailable {
    fn value(self) -> Value {
        match self {
            Self::Count(count) => json!(count),
            Self::Percent(_) => json!(self.to_string()),
        }
    }
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": "egret", "app.kubernetes.io/component": "agent"})
}

/// The fields of the `ConfigMap`.
pub fn configuration(settings: &Settings) -> Value {
    json!({"metadata": {"labels": labels()}, "data": settings.documents()})
}

/// The fields of the `DaemonSet`.
///
/// It has no owner: with the operator's Deployment as one, whoever makes that anew would take every egress IP off its node.
/// It goes with its namespace.
pub fn daemon_set(image: &str, max_unavailable: MaxUnavailable, settings: &Settings) -> Value {
    // Where Egress is off all agents clean up at once: one that is away must not keep the others from it.
    let max_unavailable = if settings.enabled {
        max_unavailable
    } else {
        MaxUnavailable::Percent(100)
    };
    json!({
        "metadata": {"labels": labels()},
        "spec": {
            "selector": {"matchLabels": labels()},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": max_unavailable.value()},
            },
            "template": {
                "metadata": {"labels": labels(), "annotations": {DIGEST: settings.digest()}},
                "spec": pod(image),
            },
        },
    })
}

fn pod(image: &str) -> Value {
    json!({
        "serviceAccountName": NAME,
        // It is the node's network that agents change.
        "hostNetwork": true,
        // An agent asks for no name of the cluster, and must come up before what answers for them.
        "dnsPolicy": "Default",
        "enableServiceLinks": false,
        "priorityClassName": "system-node-critical",
        // Whatever keeps others off a node, its Pods need their egress IP.
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container(image)],
        "volumes": [
            {"name": "config", "configMap": {"name": NAME}},
            {"name": "gossip", "secret": {"secretName": GOSSIP, "defaultMode": 0o400}},
            // Settings of the agent's own tunnel link. A container that is not privileged has /proc/sys read-only.
            {"name": "sysctl", "hostPath": {"path": "/proc/sys/net", "type": "Directory"}},
        ],
    })
}

fn container(image: &str) -> Value {
    let from = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "admin"}});
    json!({
        "name": "agent",
        // How it is pulled is left to the API server, which knows a tag that moves from one that does not.
        "image": image,
        "args": ["--log-format", "json"],
        "env": [
            from("NODE_NAME", "spec.nodeName"),
            from("HOST_IP", "status.hostIP"),
            from("POD_NAME", "metadata.name"),
            from("POD_NAMESPACE", "metadata.namespace"),
        ],
        "ports": [{"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"}],
        "livenessProbe": probe("/live"),
        "readinessProbe": probe("/ready"),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/run/egret/config", "readOnly": true},
            {"name": "gossip", "mountPath": "/run/egret/gossip", "readOnly": true},
            {"name": "sysctl", "mountPath": "/run/egret/sysctl"},
        ],
        "securityContext": {
            // Kubernetes gives capabilities to the superuser only. Without others it may do little more than anybody.
            "runAsUser": 0,
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {
                "drop": ["ALL"],
                "add": [
                    // nftables, links, addresses, routes, rules, forwarding entries, and settings of the tunnel's link.
                    "NET_ADMIN",
                    // A packet socket, for announcing an egress IP by ARP.
                    "NET_RAW",
                ],
            },
        },
    })
}

#[cfg(test)]
mod tests;
