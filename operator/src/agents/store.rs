//! What the agents are run from: a `ConfigMap`, a Secret and a `DaemonSet`; the configuration that is read for it; and what
//! the agents report, as far as that decides about these.
//!
//! Owns how they are read and written. Each is written and deleted only if it is still as it was read, so of two operators
//! one reads anew. Never decides.

use std::collections::BTreeSet;

use egret_crds::EgressNode;
use egret_crds::keyring::{ENTRY, Keyring};
use egret_crds::node::DISABLED;
use egret_crds::settings::{Documents, Settings};
use egret_runtime::apply::{Error, How, Part, amend, apply, is_as_wanted, within_limit};
use egret_runtime::watch::Key;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use kube::api::{
    DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Api, Client, Resource};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::daemon_set::{GOSSIP, MaxUnavailable, NAME, configuration, daemon_set};
use super::plan::{self, Agent, Agents, Version};
use super::rotation::Kept;
use crate::write::MANAGER;

/// On the Secret: since when its keys are these.
const SINCE: &str = "egret.dev/keys-since";
/// Where Antrea keeps its configuration.
pub const ANTREA_NAMESPACE: &str = "kube-system";
/// How the names of its objects begin.
pub const ANTREA_PREFIX: &str = "antrea-config-";

/// Whatever somebody else has put there has to go, but not before it has been read.
const OURS: How = How {
    manager: MANAGER,
    part: Part::Object,
    force: true,
    if_unchanged: true,
};

/// Reports that are deleted at the same time.
const AT_ONCE: usize = 16;

/// Reads and writes.
#[derive(Clone)]
pub struct Store {
    client: Client,
    config_maps: Api<ConfigMap>,
    secrets: Api<Secret>,
    daemon_sets: Api<DaemonSet>,
    reports: Api<EgressNode>,
    nodes: Api<Node>,
}

/// Everything as it was read at one time.
#[derive(Debug, Clone)]
pub struct Stored {
    config_map: Option<ConfigMap>,
    secret: Option<Secret>,
    daemon_set: Option<DaemonSet>,
}

/// How the agents are to be run.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Their image; without one, somebody else runs them.
    pub image: Option<String>,
    /// How many may be away at once while a change rolls out.
    pub max_unavailable: MaxUnavailable,
}

impl Store {
    /// For agents in this namespace.
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self {
            client: client.clone(),
            config_maps: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client.clone(), namespace),
            daemon_sets: Api::namespaced(client.clone(), namespace),
            reports: Api::all(client.clone()),
            nodes: Api::all(client.clone()),
        }
    }

    /// The `ConfigMap` of this name or, if there is none, Antrea's newest.
    pub async fn source(&self, at: &Key) -> Result<Option<ConfigMap>, Error> {
        let namespace = at.namespace.as_deref().unwrap_or_default();
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        if let Some(found) = within_limit(api.get_opt(&at.name)).await? {
            return Ok(Some(found));
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), ANTREA_NAMESPACE);
        let all = within_limit(api.list(&ListParams::default())).await?;
        Ok(newest(all.items))
    }

    /// The settings that were written for agents last.
    pub async fn former(&self) -> Result<Option<Documents>, Error> {
        let found = within_limit(self.config_maps.get_opt(NAME)).await?;
        Ok(found.and_then(|config_map| config_map.data))
    }

    /// Reads everything.
    pub async fn read(&self) -> Result<Stored, Error> {
        Ok(Stored {
            config_map: within_limit(self.config_maps.get_opt(NAME)).await?,
            secret: within_limit(self.secrets.get_opt(GOSSIP)).await?,
            daemon_set: within_limit(self.daemon_sets.get_opt(NAME)).await?,
        })
    }

    /// Reads what the agents report, and which nodes there are.
    pub async fn agents(&self, now: Timestamp) -> Result<Agents, Error> {
        let params = ListParams::default();
        let reports = within_limit(self.reports.list(&params)).await?;
        let nodes = within_limit(self.nodes.list_metadata(&params)).await?;
        let nodes: BTreeSet<_> = nodes
            .items
            .into_iter()
            .filter_map(|node| node.metadata.name)
            .collect();
        let all = reports
            .items
            .into_iter()
            .map(|report| agent(report, &nodes));
        Ok(Agents {
            asked_at: now,
            all: all.collect(),
        })
    }

    /// Writes the settings for the agents, and takes away what others have put beside them: agents would read it.
    pub async fn write_configuration(
        &self,
        stored: &Stored,
        settings: &Settings,
    ) -> Result<(), Error> {
        let (api, current) = (&self.config_maps, stored.config_map.as_ref());
        let applied = apply(api, NAME, current, &configuration(settings), OURS).await?;
        let Some(now) = applied.as_ref().or(current) else {
            return Ok(());
        };
        let ours = settings.documents();
        let foreign = now.data.iter().flatten();
        let foreign: Map<_, _> = foreign
            .filter(|(name, _)| !ours.contains_key(*name))
            .map(|(name, _)| (name.clone(), Value::Null))
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        amend(api, now, &json!({"data": foreign}), MANAGER, Part::Object).await
    }

    /// Writes the keys. Fails with a conflict if the Secret is not as it was read.
    pub async fn write_keys(
        &self,
        stored: &Stored,
        ring: &Keyring,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut secret = stored.secret.clone().unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(GOSSIP.to_owned()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        });
        let entry = ByteString(ring.text().into_bytes());
        secret
            .data
            .get_or_insert_default()
            .insert(ENTRY.to_owned(), entry);
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(SINCE.to_owned(), now.to_string());
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        if stored.secret.is_some() {
            within_limit(self.secrets.replace(GOSSIP, &params, &secret)).await?;
        } else {
            within_limit(self.secrets.create(&params, &secret)).await?;
        }
        Ok(())
    }

    /// Writes the `DaemonSet`, if it is the operator's to write.
    pub async fn write_daemon_set(
        &self,
        stored: &Stored,
        wish: &Wish,
        settings: &Settings,
    ) -> Result<(), Error> {
        let Some(wanted) = wish.daemon_set(settings) else {
            return Ok(());
        };
        apply(
            &self.daemon_sets,
            NAME,
            stored.daemon_set.as_ref(),
            &wanted,
            OURS,
        )
        .await
        .map(drop)
    }

    /// Deletes the `DaemonSet`, if it is still as it was read. Its Pods go too; on a node that is dead nobody waits for that.
    pub async fn delete_daemon_set(&self, stored: &Stored) -> Result<(), Error> {
        let Some(found) = &stored.daemon_set else {
            return Ok(());
        };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..as_read(Version::of(&found.metadata))
        };
        gone(
            within_limit(self.daemon_sets.delete(NAME, &params))
                .await
                .map(drop),
        )
    }

    /// Deletes what agents have reported, as far as each report is still the same.
    pub async fn delete_reports(&self, agents: Vec<Agent>) -> Result<(), Error> {
        let deletions = stream::iter(agents).map(async |agent| {
            let params = as_read(agent.report);
            let deleted = within_limit(self.reports.delete(&agent.node, &params)).await;
            gone(deleted.map(drop))
        });
        deletions.buffer_unordered(AT_ONCE).try_collect().await
    }
}

impl Wish {
    fn daemon_set(&self, settings: &Settings) -> Option<Value> {
        let image = self.image.as_deref()?;
        Some(daemon_set(image, self.max_unavailable, settings))
    }
}

impl Stored {
    /// Whether the agents' `ConfigMap` says this and nothing else.
    pub fn is_configuration_right(&self, settings: &Settings) -> Result<bool, Error> {
        let Some(config_map) = &self.config_map else {
            return Ok(false);
        };
        let is_alone = config_map.data.as_ref() == Some(&settings.documents());
        Ok(is_alone && is_as_wanted(config_map, &configuration(settings), OURS)?)
    }

    /// The keys, if there are any that can be read.
    pub fn keys(&self) -> Option<Kept> {
        let secret = self.secret.as_ref()?;
        let entry = secret.data.as_ref().and_then(|data| data.get(ENTRY))?;
        let ring = match Keyring::read(&entry.0) {
            Ok(ring) => ring,
            Err(error) => {
                let error = egret_runtime::describe(&error);
                warn!(error, "the Secret {GOSSIP} has no gossip keys");
                return None;
            }
        };
        let meta = &secret.metadata;
        let since = meta
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(SINCE));
        let since = since.and_then(|since| since.parse().ok());
        let created = meta.creation_timestamp.as_ref().map(|time| time.0);
        Some(Kept {
            ring,
            since: since.or(created).unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }

    /// The `DaemonSet`, compared with what it should be.
    pub fn daemon_set(&self, wish: &Wish, settings: &Settings) -> Result<plan::DaemonSet, Error> {
        let Some(wanted) = wish.daemon_set(settings) else {
            return Ok(plan::DaemonSet::Foreign);
        };
        Ok(match &self.daemon_set {
            None => plan::DaemonSet::Absent,
            Some(found) if found.meta().deletion_timestamp.is_some() => plan::DaemonSet::Going,
            Some(found) => plan::DaemonSet::Present {
                is_right: is_as_wanted(found, &wanted, OURS)?,
            },
        })
    }
}

/// The newest of Antrea's; of two of the same second, the last by name.
fn newest(all: Vec<ConfigMap>) -> Option<ConfigMap> {
    let name = |config_map: &ConfigMap| config_map.metadata.name.clone().unwrap_or_default();
    let antreas = all
        .into_iter()
        .filter(|one| name(one).starts_with(ANTREA_PREFIX));
    antreas.max_by_key(|one| {
        let created = one.metadata.creation_timestamp.as_ref();
        (created.map(|time| time.0), name(one))
    })
}

fn agent(report: EgressNode, nodes: &BTreeSet<String>) -> Agent {
    let version = Version::of(&report.metadata);
    let node = report.metadata.name.unwrap_or_default();
    let status = report.status.unwrap_or_default();
    let mut conditions = status.conditions.iter();
    Agent {
        is_clean: conditions
            .any(|condition| condition.type_ == "Ready" && condition.reason == DISABLED),
        has_node: nodes.contains(&node),
        keys: status.gossip_keys,
        report: version,
        node,
    }
}

/// Only what is still in this version is deleted; else it is a conflict.
fn as_read(Version { uid, version }: Version) -> DeleteParams {
    DeleteParams::default().preconditions(Preconditions {
        uid,
        resource_version: version,
    })
}

/// What is gone already need not be deleted.
fn gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(name: &str, created: i64) -> ConfigMap {
        let time = Timestamp::from_second(created).unwrap();
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                creation_timestamp: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                    time,
                )),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    #[test]
    fn of_antreas_configurations_the_newest_counts_and_nobody_elses() {
        let all = vec![
            config_map("antrea-config-b", 10),
            config_map("antrea-config-a", 20),
            config_map("antrea-config-old", 5),
            config_map("coredns", 99),
        ];
        let name = newest(all).and_then(|found| found.metadata.name);
        assert_eq!(name.as_deref(), Some("antrea-config-a"));
        assert_eq!(newest(vec![config_map("coredns", 1)]), None);
    }
}
