//! The scheduler of Egret's own Pods: users' Pods in a lab name their node themselves.
//!
//! Owns the look at nodes and Pods, and the binding. The choice is made by [`placement`].

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::placement::{Place, Placed, Wanted, place};
use crate::credentials::EGRET_NAMESPACE;
use crate::kubelet::Soon;
use crate::node::Powered;

pub mod placement;

/// A Pod for which there is no place is looked at again: power may come back, and nodes get other labels.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The API server may be away on purpose.
const LIMIT: Duration = Duration::from_secs(5);

const UNASSIGNED: &str = "spec.nodeName=";

/// Gives each of Egret's Pods that has none a node, for ever.
pub async fn run(client: Client, powered: watch::Receiver<Powered>) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let unassigned = watcher::Config::default().fields(UNASSIGNED);
    let events = watcher(pods, unassigned).backoff(Soon);
    let mut events = std::pin::pin!(events.ready_chunks(64));
    let mut is_all_placed = true;
    loop {
        tokio::select! {
            batch = events.next() => match batch {
                Some(batch) => for error in batch.into_iter().filter_map(Result::err) {
                    eprintln!("the watch on Pods without a node was interrupted: {error}");
                },
                None => return,
            },
            () = tokio::time::sleep(AGAIN_AFTER), if !is_all_placed => {}
        }
        let round = tokio::time::timeout(LIMIT, place_all(&client, &powered)).await;
        is_all_placed = match round {
            Ok(Ok(is_all_placed)) => is_all_placed,
            Ok(Err(error)) => {
                eprintln!("Pods were not given a node: {error}");
                false
            }
            Err(_) => false,
        };
    }
}

/// Whether all have a node now.
async fn place_all(
    client: &Client,
    powered: &watch::Receiver<Powered>,
) -> Result<bool, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let all = pods.list(&ListParams::default()).await?.items;
    let is_waiting = |pod: &&Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        node.is_none() && pod.metadata.deletion_timestamp.is_none()
    };
    let waiting: Vec<&Pod> = all.iter().filter(is_waiting).collect();
    if waiting.is_empty() {
        return Ok(true);
    }
    let nodes = Api::<Node>::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await?.items;
    let places: Vec<Place> = {
        let powered = powered.borrow();
        nodes
            .iter()
            .filter_map(|node| Place::of(node, &powered))
            .collect()
    };
    let mut others: Vec<Placed> = all.iter().filter_map(Placed::of).collect();
    let mut is_all_placed = true;
    for pod in waiting {
        match place(&Wanted::of(pod), &places, &others) {
            Ok(node) => {
                bind(&pods, pod, &node.to_string()).await?;
                others.push(Placed {
                    node,
                    labels: pod.labels().clone(),
                });
            }
            Err(reason) => {
                eprintln!("{} has no node: {reason}", pod.name_any());
                is_all_placed = false;
            }
        }
    }
    Ok(is_all_placed)
}

async fn bind(pods: &Api<Pod>, pod: &Pod, node: &str) -> Result<(), kube::Error> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name_any(), "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let params = PostParams::default();
    let bound: Result<Value, _> = pods
        .create_subresource("binding", &pod.name_any(), &params, &binding)
        .await;
    match bound {
        // It is gone, or somebody else was faster.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        bound => bound.map(drop),
    }
}
