//! What the Egresses say at this moment.
//!
//! Owns a watch on them, and knows when one says all that an operator has to say. Never changes one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, ensure};
use egret_crds::Egress;
use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Ends a run that would hang.
const PATIENCE: Duration = Duration::from_mins(10);

/// All Egresses.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    egresses: BTreeMap<String, Said>,
    /// Kept, for who looks at all of them at each event slows down what is measured.
    settled: usize,
}

impl Seen {
    /// What this one says.
    pub fn get(&self, name: &str) -> Option<&Said> {
        self.egresses.get(name)
    }

    /// How many list this node.
    pub fn listing(&self, node: &str) -> usize {
        let lists = |said: &&Said| said.candidates.iter().any(|one| one == node);
        self.egresses.values().filter(lists).count()
    }

    fn note(&mut self, name: String, said: Option<Said>) {
        let is_settled = |said: &Said| usize::from(said.is_settled());
        self.settled += said.as_ref().map_or(0, is_settled);
        let before = match said {
            Some(said) => self.egresses.insert(name, said),
            None => self.egresses.remove(&name),
        };
        self.settled -= before.as_ref().map_or(0, is_settled);
    }
}

/// What an Egress says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// `spec.egressIP`.
    pub address: Option<String>,
    /// `status.candidates`.
    pub candidates: Vec<String>,
    /// Whether its conditions tell of the spec as it is now, and that it has an address.
    pub is_allocated: bool,
}

impl Said {
    fn by(egress: &Egress) -> Self {
        let status = egress.status.clone().unwrap_or_default();
        let allocated = status.conditions.iter().any(|condition| {
            condition.type_ == "IPAllocated"
                && condition.status == "True"
                && condition.observed_generation == egress.metadata.generation
        });
        Self {
            address: egress.spec.egress_ip.clone(),
            candidates: status.candidates,
            is_allocated: allocated,
        }
    }

    /// Whether the operator has nothing more to say of it.
    pub fn is_settled(&self) -> bool {
        self.is_allocated && self.address.is_some() && !self.candidates.is_empty()
    }
}

/// A watch on all Egresses.
#[derive(Debug)]
pub struct Follower {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Starts to watch.
    pub fn start(client: &Client) -> Self {
        let (sink, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(follow(Api::all(client.clone()), sink));
        Self { seen, task }
    }

    /// Waits until this is so.
    pub async fn until(&mut self, is_so: impl FnMut(&Seen) -> bool) -> anyhow::Result<Seen> {
        let seen = timeout(PATIENCE, self.seen.wait_for(is_so)).await;
        Ok(seen.context("it never came to that")??.clone())
    }

    /// Waits until so many Egresses have all they need, and checks that no two have the same address.
    pub async fn until_settled(&mut self, count: usize) -> anyhow::Result<()> {
        let seen = self.until(|seen| seen.settled == count).await?;
        let addresses: BTreeSet<_> = seen.egresses.values().map(|said| &said.address).collect();
        ensure!(addresses.len() == count, "an address was given twice");
        Ok(())
    }
}

async fn follow(api: Api<Egress>, sink: watch::Sender<Seen>) {
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(egress) | watcher::Event::InitApply(egress)) => {
                sink.send_modify(|seen| seen.note(egress.name_any(), Some(Said::by(&egress))));
            }
            Ok(watcher::Event::Delete(egress)) => {
                sink.send_modify(|seen| seen.note(egress.name_any(), None));
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => eprintln!("allocation: the watch was interrupted: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use egret_crds::EgressStatus;
    use serde_json::json;

    use super::super::world;
    use super::*;

    #[test]
    fn an_egress_is_settled_once_its_status_tells_of_its_latest_spec() {
        let mut egress = world::egress(0);
        egress.metadata.generation = Some(2);
        assert!(!Said::by(&egress).is_settled());
        egress.spec.egress_ip = Some("10.200.0.1".to_owned());
        let status = |generation: i64| -> EgressStatus {
            let condition = json!({
                "type": "IPAllocated", "status": "True", "reason": "Allocated", "message": "",
                "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            serde_json::from_value(json!({"candidates": ["node-1"], "conditions": [condition]}))
                .unwrap()
        };
        egress.status = Some(status(1));
        assert!(!Said::by(&egress).is_settled());
        egress.status = Some(status(2));
        assert!(Said::by(&egress).is_settled());
    }
}
