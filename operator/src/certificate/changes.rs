//! That something has changed which the certificates hang on.
//!
//! Owns what is watched. Never tells what it has become: whoever is told reads anew.

use std::fmt::Debug;

use egret_runtime::watch::{Guarded, watch};
use futures::stream::{BoxStream, select_all};
use futures::{Stream, StreamExt};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::registration::{NAME, SERVICE};
use super::store::{AUTHORITY, LEAF};

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A Secret or a configuration.
    Object,
    /// Which replicas there are.
    Replicas,
}

/// Tells of every change, for ever.
pub fn changes(
    client: &Client,
    namespace: &str,
) -> impl Stream<Item = Change> + Send + Unpin + use<> {
    let secret = |name| {
        let api = Api::<Guarded<Secret>>::namespaced(client.clone(), namespace);
        told(api, named(name), Change::Object)
    };
    let mutating = Api::<Guarded<MutatingWebhookConfiguration>>::all(client.clone());
    let validating = Api::<Guarded<ValidatingWebhookConfiguration>>::all(client.clone());
    let slices = Api::<Guarded<EndpointSlice>>::namespaced(client.clone(), namespace);
    let of_service = format!("kubernetes.io/service-name={SERVICE}");
    select_all([
        secret(AUTHORITY),
        secret(LEAF),
        told(mutating, named(NAME), Change::Object),
        told(validating, named(NAME), Change::Object),
        told(
            slices,
            Config::default().labels(&of_service),
            Change::Replicas,
        ),
    ])
}

/// One object of this name: what the operator's role allows.
fn named(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

fn told<K>(api: Api<Guarded<K>>, config: Config, change: Change) -> BoxStream<'static, Change>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    watch::<K>(api, config).map(move |_| change).boxed()
}
