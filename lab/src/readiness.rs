//! When Egret is ready, as far as the API says: its kinds, its Deployments, its agents, and the registration of its webhook.
//!
//! Owns what of it a lab waits for: what its manifests have, no more.

use std::time::Duration;

use futures::future::try_join;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use crate::credentials::EGRET_NAMESPACE;

#[cfg(test)]
mod tests;

/// How long Egret may take.
const PATIENCE: Duration = Duration::from_mins(1);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The webhook's Deployment and Service.
const WEBHOOK: &str = "egret-webhook";
/// The agents' `ServiceAccount` and `DaemonSet`.
const AGENT: &str = "egret-agent";
/// The operator's registration of the webhook.
const REGISTRATION: &str = "egret";

/// Egret was not ready in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "Egret was not ready within {PATIENCE:?}, {0}: the logs of operator, webhook and agents may say why"
)]
pub struct NotReady(String);

/// Waits until Egret is ready on so many nodes.
pub async fn await_egret(client: &Client, nodes: u8) -> Result<(), NotReady> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reason = match look(client).await.map(|seen| seen.lacks(nodes)) {
            Ok(None) => return Ok(()),
            Ok(Some(reason)) => reason,
            Err(error) => format!("the API server did not say how it is: {error}"),
        };
        if Instant::now() > deadline {
            return Err(NotReady(reason));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What there is of Egret.
#[derive(Debug, Default)]
struct Seen {
    kinds: Vec<CustomResourceDefinition>,
    deployments: Vec<Deployment>,
    daemon_sets: Vec<DaemonSet>,
    /// Whether there shall be agents; who makes their `DaemonSet` may take a moment.
    has_agents: bool,
    has_service: bool,
    is_registered: bool,
}

impl Seen {
    /// The first thing that it lacks.
    fn lacks(&self, nodes: u8) -> Option<String> {
        let mut unserved = self.kinds.iter().filter(|kind| !is_served(kind));
        if let Some(kind) = unserved.next() {
            return Some(format!("{} are not served", kind.name_any()));
        }
        let deployments = self.deployments.iter();
        let unready = deployments.filter(|one| !is_available(one));
        if let Some(name) = unready.map(ResourceExt::name_any).next() {
            return Some(format!("not all replicas of {name} are ready"));
        }
        let sets = self.daemon_sets.iter();
        let mut unready = sets.filter(|one| !is_everywhere(one, nodes));
        if let Some(set) = unready.next() {
            return Some(format!("not all Pods of {} are ready", set.name_any()));
        }
        let mut sets = self.daemon_sets.iter();
        if self.has_agents && !sets.any(|set| set.name_any() == AGENT) {
            return Some(format!("there is no DaemonSet {AGENT}"));
        }
        let is_webhook = |one: &Deployment| one.name_any() == WEBHOOK && replicas(one) > 0;
        let has_webhook = self.has_service && self.deployments.iter().any(is_webhook);
        let is_unknown = has_webhook && !self.is_registered;
        is_unknown.then(|| "the API server does not ask the webhook yet".to_owned())
    }
}

fn is_served(kind: &CustomResourceDefinition) -> bool {
    let status = kind.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one.type_ == "Established" && one.status == "True")
}

fn replicas(one: &Deployment) -> i32 {
    let spec = one.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}

fn is_available(one: &Deployment) -> bool {
    let status = one.status.clone().unwrap_or_default();
    status.observed_generation >= one.metadata.generation
        && status.ready_replicas.unwrap_or_default() == replicas(one)
}

fn is_everywhere(one: &DaemonSet, nodes: u8) -> bool {
    let status = one.status.clone().unwrap_or_default();
    status.observed_generation >= one.metadata.generation
        && status.desired_number_scheduled == i32::from(nodes)
        && status.number_ready == i32::from(nodes)
}

async fn look(client: &Client) -> Result<Seen, kube::Error> {
    let all = ListParams::default();
    let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let daemon_sets: Api<DaemonSet> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let services: Api<Service> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let (deployments, daemon_sets) =
        try_join(deployments.list(&all), daemon_sets.list(&all)).await?;
    let (account, service) = try_join(accounts.get_opt(AGENT), services.get_opt(WEBHOOK)).await?;
    Ok(Seen {
        kinds: kinds.list(&all).await?.items,
        deployments: deployments.items,
        daemon_sets: daemon_sets.items,
        has_agents: account.is_some(),
        has_service: service.is_some(),
        is_registered: is_registered(client).await?,
    })
}

/// Whether the API server has been told to ask the webhook, which the operator does when a replica serves.
async fn is_registered(client: &Client) -> Result<bool, kube::Error> {
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let (Some(mutating), Some(validating)) = try_join(
        mutating.get_opt(REGISTRATION),
        validating.get_opt(REGISTRATION),
    )
    .await?
    else {
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
