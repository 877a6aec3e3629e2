//! That something has changed which the agents hang on.
//!
//! Owns what is watched. Never tells what it has become: whoever is told reads anew.

use std::fmt::Debug;
use std::future::ready;

use egret_runtime::watch::{Event, Guarded, Key, watch};
use futures::stream::{BoxStream, select, select_all};
use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::daemon_set::{GOSSIP, NAME};
use super::store::{ANTREA_NAMESPACE, ANTREA_PREFIX};

/// Tells of every change of what is made for the agents, for ever.
pub fn of_agents(
    client: &Client,
    namespace: &str,
) -> impl Stream<Item = ()> + Send + Unpin + use<> {
    let config_map = Api::<Guarded<ConfigMap>>::namespaced(client.clone(), namespace);
    let secret = Api::<Guarded<Secret>>::namespaced(client.clone(), namespace);
    let daemon_set = Api::<Guarded<DaemonSet>>::namespaced(client.clone(), namespace);
    select_all([
        told(config_map, named(NAME), |_| true),
        told(secret, named(GOSSIP), |_| true),
        told(daemon_set, named(NAME), |_| true),
    ])
}

/// Tells of every change of what may be the configuration, for ever.
pub fn of_configuration(
    client: &Client,
    place: &Key,
) -> impl Stream<Item = ()> + Send + Unpin + use<> {
    let namespace = place.namespace.as_deref().unwrap_or_default();
    let own = Api::<Guarded<ConfigMap>>::namespaced(client.clone(), namespace);
    let antreas = Api::<Guarded<ConfigMap>>::namespaced(client.clone(), ANTREA_NAMESPACE);
    // Others change all the time there.
    let is_antreas = |name: &str| name.starts_with(ANTREA_PREFIX);
    select(
        told(own, named(&place.name), |_| true),
        told(antreas, Config::default(), is_antreas),
    )
}

/// One object of this name: what the operator's role allows.
fn named(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

fn told<K>(
    api: Api<Guarded<K>>,
    config: Config,
    concerns: fn(&str) -> bool,
) -> BoxStream<'static, ()>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let events = watch::<K>(api, config);
    let concerning = events.filter(move |event| ready(concerns_us(event, concerns)));
    concerning.map(|_| ()).boxed()
}

fn concerns_us<K: Resource>(event: &Event<K>, concerns: fn(&str) -> bool) -> bool {
    match event {
        Event::Applied(object) => concerns(object.meta().name.as_deref().unwrap_or_default()),
        Event::Deleted(key) | Event::Undecodable { key, .. } => concerns(&key.name),
        Event::Synced => false,
    }
}
