//! The endpoints of the webhook's Service.
//!
//! Plays kubelet and endpoint controller for the webhook's replicas, which are processes and no Pods: asks each whether it
//! is ready, and lists those that say so. Never starts or ends one.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use http::Uri;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::credentials::EGRET_NAMESPACE;
use crate::node::Powered;
use crate::request::{self, Family};
use crate::topology::NodeId;
use crate::workload::WEBHOOK_ADMIN_PORT;

/// The webhook's Service.
const SERVICE: &str = "egret-webhook";
/// The list of its replicas.
const SLICE: &str = "egret-webhook-lab";
/// The port of a replica, and its name in the Service.
const PORT: u16 = 9443;
const PORT_NAME: &str = "webhook";
/// The operator's registration of the webhook.
const REGISTRATION: &str = "egret";

const ASK_EVERY: Duration = Duration::from_millis(200);
/// A replica that is stopped or cut off does not answer.
const LIMIT: Duration = Duration::from_millis(500);
const WRITE_LIMIT: Duration = Duration::from_secs(3);
/// How long a replica may take to leave the list, or to come back.
const PATIENCE: Duration = Duration::from_secs(10);
const MANAGER: &str = "egret-lab";

/// The nodes whose replica is listed.
type Listed = BTreeSet<NodeId>;

/// A handle on the list.
#[derive(Debug)]
pub struct Endpoints {
    leaving: watch::Sender<Listed>,
    listed: watch::Receiver<Listed>,
}

impl Endpoints {
    /// Starts to list the replicas on these nodes that are ready. Over the underlay, as the API server calls them: one that
    /// is cut off from it is not ready for it.
    pub fn start(client: Client, nodes: Vec<NodeId>, powered: watch::Receiver<Powered>) -> Self {
        let (leaving, told) = watch::channel(Listed::new());
        let (publish, listed) = watch::channel(Listed::new());
        let keeper = Lister {
            client,
            nodes,
            powered,
            leaving: told,
            publish,
        };
        tokio::spawn(keeper.run());
        Self { leaving, listed }
    }

    /// Does something that ends a replica, which is taken off the list before, as a Pod is that is deleted, and waits until
    /// it is back.
    pub async fn without<T>(&self, node: NodeId, work: impl Future<Output = T>) -> T {
        if !self.listed.borrow().contains(&node) {
            return work.await;
        }
        self.leaving.send_modify(|leaving| _ = leaving.insert(node));
        self.until(|listed| !listed.contains(&node)).await;
        // The API server has to be told, and to finish what it has begun.
        tokio::time::sleep(ASK_EVERY).await;
        let result = work.await;
        self.leaving
            .send_modify(|leaving| _ = leaving.remove(&node));
        self.until(|listed| listed.contains(&node)).await;
        result
    }

    /// Waits for a list like this, but not for ever: a replica may not come back.
    async fn until(&self, is_so: impl FnMut(&Listed) -> bool) {
        let mut listed = self.listed.clone();
        // Too late or never: it is the replica's turn all the same.
        let _ = tokio::time::timeout(PATIENCE, listed.wait_for(is_so)).await;
    }
}

/// Keeps the list.
struct Lister {
    client: Client,
    nodes: Vec<NodeId>,
    powered: watch::Receiver<Powered>,
    leaving: watch::Receiver<Listed>,
    publish: watch::Sender<Listed>,
}

impl Lister {
    async fn run(self) {
        let mut last = None;
        loop {
            let ready: Listed = join_all(self.candidates().into_iter().map(if_ready))
                .await
                .into_iter()
                .flatten()
                .collect();
            if last.as_ref() != Some(&ready) && self.list(&ready).await {
                self.publish.send_replace(ready.clone());
                last = Some(ready);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn candidates(&self) -> Vec<NodeId> {
        let (powered, leaving) = (self.powered.borrow(), self.leaving.borrow());
        let nodes = self.nodes.iter().copied();
        nodes
            .filter(|node| powered.contains(node) && !leaving.contains(node))
            .collect()
    }

    /// Writes the list; `false` if that has to be tried again.
    async fn list(&self, ready: &Listed) -> bool {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), EGRET_NAMESPACE);
        let params = PatchParams::apply(MANAGER).force();
        let slice = Patch::Apply(slice(ready));
        let write = slices.patch(SLICE, &params, &slice);
        match tokio::time::timeout(WRITE_LIMIT, write).await {
            Ok(Ok(_)) => return true,
            // The API server may be away on purpose.
            Ok(Err(error)) => eprintln!("the webhook's endpoints were not written: {error}"),
            Err(_) => eprintln!("the webhook's endpoints were not written in time"),
        }
        false
    }
}

async fn if_ready(node: NodeId) -> Option<NodeId> {
    let url = format!("http://{}:{WEBHOOK_ADMIN_PORT}/ready", node.address());
    is_ready(&url).await.then_some(node)
}

/// The admin server says `ready`, or what it waits for.
async fn is_ready(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let answer = request::get(&url, Family::Any, LIMIT).await;
    answer.is_ok_and(|body| body.starts_with(b"ready"))
}

fn slice(ready: &Listed) -> Value {
    let endpoint = |node: &NodeId| {
        json!({
            "addresses": [node.address().to_string()],
            "conditions": {"ready": true},
            "nodeName": node.to_string(),
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": SLICE, "labels": {
            "kubernetes.io/service-name": SERVICE,
            // The controllers leave it alone.
            "endpointslice.kubernetes.io/managed-by": MANAGER,
        }},
        "addressType": "IPv4",
        "endpoints": ready.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": PORT_NAME, "port": PORT, "protocol": "TCP"}],
    })
}

/// Waits until the API server has been told to ask the webhook, which the operator does when a replica serves.
pub async fn registered(client: &Client) {
    while !matches!(is_registered(client).await, Ok(true)) {
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn is_registered(client: &Client) -> Result<bool, kube::Error> {
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let (Some(mutating), Some(validating)) = (
        mutating.get_opt(REGISTRATION).await?,
        validating.get_opt(REGISTRATION).await?,
    ) else {
        return Ok(false);
    };
    let mutating = mutating.webhooks.unwrap_or_default();
    let validating = validating.webhooks.unwrap_or_default();
    let mut clients = (mutating.iter().map(|one| &one.client_config))
        .chain(validating.iter().map(|one| &one.client_config));
    Ok(clients.all(is_trusting))
}

fn is_trusting(config: &WebhookClientConfig) -> bool {
    let bundle = config.ca_bundle.as_ref();
    bundle.is_some_and(|bundle| !bundle.0.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    async fn says(answer: (StatusCode, &'static str)) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ready", listener.local_addr().unwrap());
        let router = Router::new().route("/ready", get(move || async move { answer }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn a_replica_is_ready_when_it_says_so() {
        let ready = says((StatusCode::OK, "ready\n")).await;
        let waiting = says((StatusCode::SERVICE_UNAVAILABLE, "waiting for pools\n")).await;
        assert!(is_ready(&ready).await);
        assert!(!is_ready(&waiting).await);
        assert!(!is_ready("http://127.0.0.1:1/ready").await);
    }

    #[test]
    fn a_slice_is_one_that_kubernetes_reads_and_has_the_services_port() {
        let nodes = NodeId::first(2).collect();
        let slice: EndpointSlice = serde_json::from_value(slice(&nodes)).unwrap();
        let addresses: Vec<_> = slice
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.addresses.clone())
            .collect();
        assert_eq!(addresses, ["10.10.0.101", "10.10.0.102"]);
        assert_eq!(slice.ports.unwrap()[0].name.as_deref(), Some(PORT_NAME));
    }
}
