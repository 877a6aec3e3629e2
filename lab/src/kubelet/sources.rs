//! What volumes are made of: every `ConfigMap` and every Secret of Egret's namespace, followed.
//!
//! Owns the watches. Knows nothing of Pods.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use super::Soon;
use crate::credentials::EGRET_NAMESPACE;

/// Contents by key, or by path.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// What there is, by name; none while it has not been listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// `ConfigMaps`.
    pub config_maps: Option<BTreeMap<String, Entries>>,
    /// Secrets.
    pub secrets: Option<BTreeMap<String, Entries>>,
}

/// Which kind of object.
type Part = fn(&mut Sources) -> &mut Option<BTreeMap<String, Entries>>;

/// Starts to follow them.
pub(super) fn follow(client: &Client) -> watch::Receiver<Sources> {
    let (publish, sources) = watch::channel(Sources::default());
    let config_maps = events(Api::<ConfigMap>::namespaced(
        client.clone(),
        EGRET_NAMESPACE,
    ));
    let config_maps = config_maps.map(|event| event.map(|event| named(event, of_config_map)));
    tokio::spawn(note(config_maps, publish.clone(), |sources| {
        &mut sources.config_maps
    }));
    let secrets = events(Api::<Secret>::namespaced(client.clone(), EGRET_NAMESPACE));
    let secrets = secrets.map(|event| event.map(|event| named(event, of_secret)));
    tokio::spawn(note(secrets, publish, |sources| &mut sources.secrets));
    sources
}

type Event<T> = watcher::Event<T>;

fn events<K>(api: Api<K>) -> impl Stream<Item = Result<Event<K>, watcher::Error>>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    watcher(api, watcher::Config::default()).backoff(Soon)
}

fn named<K: ResourceExt>(event: Event<K>, entries: fn(K) -> Entries) -> Event<(String, Entries)> {
    let pair = |object: K| (object.name_any(), entries(object));
    match event {
        Event::Apply(object) => Event::Apply(pair(object)),
        Event::Delete(object) => Event::Delete(pair(object)),
        Event::InitApply(object) => Event::InitApply(pair(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

fn of_config_map(object: ConfigMap) -> Entries {
    let texts = object.data.unwrap_or_default().into_iter();
    let bytes = object.binary_data.unwrap_or_default().into_iter();
    texts
        .map(|(key, text)| (key, text.into_bytes()))
        .chain(bytes.map(|(key, bytes)| (key, bytes.0)))
        .collect()
}

fn of_secret(object: Secret) -> Entries {
    let bytes = object.data.unwrap_or_default().into_iter();
    bytes.map(|(key, bytes)| (key, bytes.0)).collect()
}

async fn note(
    events: impl Stream<Item = Result<Event<(String, Entries)>, watcher::Error>>,
    publish: watch::Sender<Sources>,
    part: Part,
) {
    let mut events = std::pin::pin!(events);
    let mut fresh = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => fresh = BTreeMap::new(),
            Ok(Event::InitApply((name, entries))) => _ = fresh.insert(name, entries),
            Ok(Event::InitDone) => {
                let all = std::mem::take(&mut fresh);
                publish.send_modify(|sources| *part(sources) = Some(all));
            }
            Ok(Event::Apply((name, entries))) => publish.send_modify(|sources| {
                _ = part(sources).get_or_insert_default().insert(name, entries);
            }),
            Ok(Event::Delete((name, _))) => publish.send_modify(|sources| {
                _ = part(sources).get_or_insert_default().remove(&name);
            }),
            Err(error) => eprintln!("the watch on volumes' sources was interrupted: {error}"),
        }
    }
}
