//! The webhook that is measured.
//!
//! Owns its start: it follows the API server of a [`World`] and answers when it has seen all, as the process does. Never
//! measures.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use egret_runtime::ready::Readiness;
use egret_webhook::body::Room;
use egret_webhook::cache::Cache;
use egret_webhook::metrics::Metrics;
use egret_webhook::server::{Sources, router};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::api;
use super::world::World;

/// Ends a run that would hang.
const LIST_LIMIT: Duration = Duration::from_mins(2);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A webhook, with all that keeps it up to date.
#[derive(Debug)]
pub struct Subject {
    /// Where it is asked.
    pub router: Router,
    /// Ends with it.
    _following: JoinSet<()>,
}

impl Subject {
    /// A webhook that knows this world.
    pub async fn of(world: World) -> anyhow::Result<Self> {
        let readiness = Readiness::default();
        let client = api::client(world);
        let cache = Cache::default();
        let following = follow(&cache, &client, &readiness);
        let is_ready = async {
            while !readiness.awaited().is_empty() {
                sleep(LOOK_AGAIN_AFTER).await;
            }
        };
        timeout(LIST_LIMIT, is_ready)
            .await
            .context("the webhook has not read its lists")?;
        let sources = Sources {
            cache,
            readiness,
            client,
            room: Room::default(),
            metrics: Metrics::registered(&mut Registry::default()),
        };
        Ok(Self {
            router: router(sources),
            _following: following,
        })
    }
}

fn follow(cache: &Cache, client: &Client, readiness: &Readiness) -> JoinSet<()> {
    let both = || (cache.clone(), client.clone());
    let mut tasks = JoinSet::new();
    let (egresses, client) = both();
    tasks.spawn(egresses.follow_egresses(client, readiness.wait_for("Egresses")));
    let (pools, client) = both();
    tasks.spawn(pools.follow_pools(client, readiness.wait_for("pools")));
    let (nodes, client) = both();
    tasks.spawn(nodes.follow_nodes(client, readiness.wait_for("nodes")));
    let (reports, client) = both();
    tasks.spawn(reports.follow_reports(client, readiness.wait_for("reports")));
    tasks
}
