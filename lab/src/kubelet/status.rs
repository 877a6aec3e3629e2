//! What the kubelet writes: a running Pod's status, that of Egret's own Pods as it changes, and the end of a deletion.
//!
//! Owns the writes and their retries. A write that came too late for its Pod is no error.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::Running;
use super::decision::PodFacts;
use crate::family::Addresses;
use crate::topology::PodKey;

const ATTEMPTS: u32 = 60;
const CONDITIONS: [&str; 5] = [
    "PodScheduled",
    "PodReadyToStartContainers",
    "Initialized",
    "ContainersReady",
    "Ready",
];
const AT_ONCE: usize = 16;
const WRITE_LIMIT: Duration = Duration::from_secs(3);
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// One write to the API.
#[derive(Debug)]
pub(super) enum Write {
    /// The Pod runs at these addresses.
    Running(PodFacts, Addresses),
    /// The Pod's deletion is complete.
    Gone(PodFacts),
}

/// Writes until the kubelet is gone.
pub(super) async fn write_all(
    client: Client,
    inbox: mpsc::Receiver<Write>,
    running: watch::Sender<Running>,
) {
    let writes = futures::stream::unfold(inbox, |mut inbox| async {
        inbox.recv().await.map(|write| (write, inbox))
    });
    let (client, running) = (&client, &running);
    writes
        .for_each_concurrent(AT_ONCE, |write| async move {
            persist(client, write, running).await;
        })
        .await;
}

/// Tries for about a minute: the API server may be away on purpose.
async fn persist(client: &Client, write: Write, running: &watch::Sender<Running>) {
    for _ in 0..ATTEMPTS {
        match send(client, &write).await {
            Ok(()) => {
                if let Write::Running(facts, addresses) = &write {
                    running.send_modify(|all| {
                        all.insert(facts.key.clone(), (facts.uid.clone(), *addresses));
                    });
                }
                return;
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                return;
            }
            Err(error) => eprintln!("a Pod's status was not written: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn send(client: &Client, write: &Write) -> Result<(), kube::Error> {
    match write {
        Write::Running(facts, addresses) => {
            let patch = Patch::Merge(running_status(facts, *addresses));
            let api = api(client, facts);
            api.patch_status(&facts.key.name, &PatchParams::default(), &patch)
                .await?;
        }
        Write::Gone(facts) => {
            let only_this = Preconditions {
                uid: Some(facts.uid.clone()),
                resource_version: None,
            };
            let params = DeleteParams::default()
                .grace_period(0)
                .preconditions(only_this);
            api(client, facts).delete(&facts.key.name, &params).await?;
        }
    }
    Ok(())
}

/// Writes the status of one of Egret's Pods, the latest only, until the Pod is gone.
pub(super) async fn write_own(
    client: Client,
    key: PodKey,
    uid: String,
    mut status: watch::Receiver<Value>,
) {
    let api: Api<Pod> = Api::namespaced(client, &key.namespace);
    while status.changed().await.is_ok() {
        loop {
            let latest = status.borrow_and_update().clone();
            let patch = json!({"metadata": {"uid": uid}, "status": latest});
            let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
            let write = api.patch_status(&key.name, &params, &patch);
            match tokio::time::timeout(WRITE_LIMIT, write).await {
                Ok(Ok(_)) => break,
                Ok(Err(kube::Error::Api(status)))
                    if status.is_not_found() || status.is_conflict() =>
                {
                    return;
                }
                // The API server may be away on purpose.
                Ok(Err(error)) => eprintln!("the status of {key} was not written: {error}"),
                Err(_) => eprintln!("the status of {key} was not written in time"),
            }
            tokio::time::sleep(WRITE_AGAIN_AFTER).await;
        }
    }
}

fn api(client: &Client, facts: &PodFacts) -> Api<Pod> {
    Api::namespaced(client.clone(), &facts.key.namespace)
}

fn running_status(facts: &PodFacts, addresses: Addresses) -> Value {
    let now = format!("{:.0}", Timestamp::now());
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let container = |(name, image): &(String, String)| {
        json!({
            "name": name, "image": image, "imageID": image, "ready": true, "started": true,
            "restartCount": 0, "state": {"running": {"startedAt": now}},
        })
    };
    let hosts = facts.node.addresses(addresses.families());
    json!({
        "metadata": {"uid": facts.uid},
        "status": {
            "phase": "Running",
            "hostIP": hosts.first.to_string(),
            "hostIPs": hosts.listed(),
            "podIP": addresses.first.to_string(),
            "podIPs": addresses.listed(),
            "startTime": now,
            "conditions": CONDITIONS.map(condition),
            "containerStatuses": facts.containers.iter().map(container).collect::<Vec<_>>(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::decision::Phase;

    #[test]
    fn a_running_status_is_one_that_kubernetes_reads() {
        let facts = PodFacts {
            key: "default/web".parse().unwrap(),
            uid: "1".to_owned(),
            node: "node-1".parse().unwrap(),
            host_network: false,
            is_deleting: false,
            grace: Duration::ZERO,
            own: None,
            phase: Phase::Pending,
            containers: vec![("main".to_owned(), "image".to_owned())],
        };
        let first = "10.244.1.2".parse().unwrap();
        let addresses = Addresses {
            first,
            second: None,
        };
        let pod: Pod = serde_json::from_value(running_status(&facts, addresses)).unwrap();
        let status = pod.status.unwrap();
        assert_eq!(status.pod_ip.as_deref(), Some("10.244.1.2"));
        assert_eq!(status.host_ip.as_deref(), Some("10.10.0.101"));
        assert!(
            status
                .container_statuses
                .unwrap()
                .iter()
                .all(|one| one.ready)
        );
    }
}
