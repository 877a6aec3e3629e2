//! Which settings are in force.
//!
//! Owns where they come from, and that a configuration which is wrong changes nothing: what was in force stays so, after a
//! restart too, for it is written in the agents' `ConfigMap`. Never writes: all replicas follow it, one acts on it.

use std::time::Duration;

use egret_crds::settings::{Reading, Settings, read};
use egret_domain::problem::{Problem, Problems};
use egret_runtime::apply::Error;
use egret_runtime::backoff::Limits;
use egret_runtime::describe;
use egret_runtime::live::Pulse;
use egret_runtime::watch::Key;
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::store::Store;
use crate::metrics::Metrics;

/// What changes together is looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Looked at again after this time at the latest.
const LONGEST_REST: Duration = Duration::from_mins(10);
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(500),
    most: Duration::from_secs(30),
};

/// What is configured, and what of it is wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    /// What is in force; `None` while nothing is known that could be.
    pub in_force: Option<Settings>,
    /// The `ConfigMap` that was read last; `None` if there is none, so that the defaults apply.
    pub source: Option<ObjectReference>,
    /// What is wrong with it: something else is in force then.
    pub wrong: Option<Problems>,
}

impl Configuration {
    /// What follows from what was written now, with what was in force before.
    fn after(
        before: Option<Settings>,
        source: Option<&ConfigMap>,
        reading: Result<Reading, Problems>,
    ) -> Self {
        let (in_force, wrong) = match reading {
            Ok(reading) => (Some(reading.settings), None),
            Err(problems) => (before, Some(problems)),
        };
        Self {
            in_force,
            source: source.map(reference),
            wrong,
        }
    }

    /// The source as people call it.
    pub fn source_name(&self) -> String {
        match &self.source {
            Some(ObjectReference {
                namespace, name, ..
            }) => format!(
                "ConfigMap {}/{}",
                namespace.as_deref().unwrap_or_default(),
                name.as_deref().unwrap_or_default()
            ),
            None => "no ConfigMap".to_owned(),
        }
    }
}

fn reference(config_map: &ConfigMap) -> ObjectReference {
    let meta = &config_map.metadata;
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Finds out what is in force, and tells it whenever that changes.
pub struct Follower {
    store: Store,
    at: Key,
    told: watch::Sender<Configuration>,
    metrics: Metrics,
}

impl Follower {
    /// One that has read nothing yet. The configuration is `at` this key or, if there is none, where Antrea has its own.
    pub fn new(
        store: Store,
        at: Key,
        told: watch::Sender<Configuration>,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            at,
            told,
            metrics,
        }
    }

    /// Follows it until nobody tells of changes any more.
    pub async fn run(self, mut changes: impl Stream<Item = ()> + Unpin, pulse: Pulse) {
        let mut failures: u32 = 0;
        loop {
            pulse.beat();
            match self.look().await {
                Ok(()) => {
                    failures = 0;
                    match pulse.through(timeout(LONGEST_REST, changes.next())).await {
                        Ok(None) => return,
                        Ok(Some(())) => sleep(GATHER).await,
                        Err(_) => {}
                    }
                    while let Some(Some(())) = changes.next().now_or_never() {}
                }
                Err(failure) => {
                    failures = failures.saturating_add(1);
                    let delay = BACKOFF.delay(failures);
                    let (category, error) = (failure.category().as_str(), describe(&failure));
                    warn!(
                        category,
                        error,
                        ?delay,
                        "configuration not read, will retry"
                    );
                    pulse.through(sleep(delay)).await;
                }
            }
        }
    }

    /// Reads it once.
    pub async fn look(&self) -> Result<(), Error> {
        let source = self.store.source(&self.at).await?;
        let reading = match &source {
            Some(config_map) => read(
                config_map
                    .data
                    .as_ref()
                    .unwrap_or(&std::collections::BTreeMap::new()),
            ),
            None => Ok(Reading::default()),
        };
        let ignored = reading
            .as_ref()
            .map(|reading| reading.ignored.join(", "))
            .unwrap_or_default();
        let mut before = self.told.borrow().in_force.clone();
        if reading.is_err() && before.is_none() {
            before = self.former().await?;
        }
        let now = Configuration::after(before, source.as_ref(), reading);
        self.metrics.show_configuration(now.wrong.is_none());
        self.told.send_if_modified(|told| {
            let is_news = *told != now;
            if is_news {
                log(&now, &ignored);
            }
            *told = now;
            is_news
        });
        Ok(())
    }

    /// What was in force before this process.
    async fn former(&self) -> Result<Option<Settings>, Error> {
        let former = self.store.former().await?;
        Ok(former
            .and_then(|documents| read(&documents).ok())
            .map(|reading| reading.settings))
    }
}

fn log(now: &Configuration, ignored: &str) {
    let Some(problems) = &now.wrong else {
        let source = now.source_name();
        info!(source, in_force = ?now.in_force, ignored, "configuration read");
        return;
    };
    let all: Vec<_> = problems.as_slice().iter().map(Problem::to_string).collect();
    let (source, all) = (now.source_name(), all.join("; "));
    if let Some(in_force) = &now.in_force {
        error!(
            source,
            problems = all,
            ?in_force,
            "the configuration is wrong: what was in force before stays so"
        );
    } else {
        error!(
            source,
            problems = all,
            "the configuration is wrong, and none was in force before: nothing is decided about Egresses, and no agents are run, until it is mended"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong() -> Result<Reading, Problems> {
        Err(Problems::at("antrea-agent.conf: egres", "is not known"))
    }

    fn reading(max_egress_ips_per_node: u16) -> Reading {
        Reading {
            settings: Settings {
                max_egress_ips_per_node,
                ..Settings::default()
            },
            ignored: Vec::new(),
        }
    }

    #[test]
    fn what_is_wrong_changes_nothing_and_what_is_right_does() {
        let before = Some(reading(7).settings);
        let bad = Configuration::after(before.clone(), None, wrong());
        assert_eq!(bad.in_force, before);
        assert!(bad.wrong.is_some());
        let good = Configuration::after(before, None, Ok(reading(9)));
        assert_eq!(good.in_force, Some(reading(9).settings));
        assert_eq!(good.wrong, None);
    }

    #[test]
    fn a_first_configuration_that_is_wrong_is_no_reason_to_apply_the_defaults() {
        let first = Configuration::after(None, None, wrong());
        assert_eq!(first.in_force, None);
    }
}
