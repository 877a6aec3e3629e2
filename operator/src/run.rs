//! Wiring: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::process::ExitCode;

use egret_runtime::client::{self, connect};
use egret_runtime::process::{self, Process};
use kube::Client;
use tokio::sync::{mpsc, watch};

use crate::agents::{self, configure::Configuration, configure::Follower};
use crate::args::Args;
use crate::certificate::changes::changes;
use crate::certificate::keeper::Keeper;
use crate::certificate::registration::NAMESPACE;
use crate::certificate::store::Store;
use crate::certificate::{Real, Settings};
use crate::feed;
use crate::metrics::Metrics;
use crate::reconcile::Reconciler;
use crate::write::Writer;

/// Messages that may wait for the reconciler; who sends more waits.
const MESSAGES: usize = 4096;

/// Runs the operator.
pub fn run(args: &Args) -> ExitCode {
    process::run(&args.common, async |process: &mut Process| {
        start(args, process).await
    })
}

async fn start(args: &Args, process: &mut Process) -> Result<(), client::Error> {
    let client = connect().await?;
    let (sink, messages) = mpsc::channel(MESSAGES);
    let metrics = Metrics::registered(&mut process.metrics);
    let ready = process.readiness.wait_for("the first lists of all watches");
    let reconciler = Reconciler::new(Writer::new(client.clone()), metrics.clone(), ready);
    let keeper = Keeper::new(
        Store::new(&client, NAMESPACE),
        settings(args),
        Real,
        metrics.clone(),
    );

    let tasks = &mut process.tasks;
    tasks.spawn_until_shutdown("reconciler", reconciler.run(messages));
    tasks.spawn_until_shutdown("egresses", feed::egresses(client.clone(), sink.clone()));
    tasks.spawn_until_shutdown("pools", feed::pools(client.clone(), sink.clone()));
    let changes = changes(&client, NAMESPACE);
    tasks.spawn_until_shutdown("webhook certificates", keeper.run(changes));
    let reports = feed::egress_nodes(client.clone(), sink.clone());
    tasks.spawn_until_shutdown("egress nodes", reports);
    let configuration = keep_agents(args, &client, &metrics, process);
    let nodes = feed::nodes(client, configuration, sink);
    process.tasks.spawn_until_shutdown("nodes", nodes);
    Ok(())
}

/// Follows the configuration, which it gives, and keeps the agents' objects.
fn keep_agents(
    args: &Args,
    client: &Client,
    metrics: &Metrics,
    process: &mut Process,
) -> watch::Receiver<Configuration> {
    let (told, configuration) = watch::channel(Configuration::default());
    let store = agents::store::Store::new(client, NAMESPACE);
    let follower = Follower::new(store.clone(), args.config.clone(), told, metrics.clone());
    let wish = agents::store::Wish {
        image: args.agent_image.clone().filter(|image| !image.is_empty()),
        max_unavailable: args.agent_max_unavailable,
    };
    let keeper = agents::keeper::Keeper::new(
        client,
        store,
        wish,
        args.gossip_key_lifetime,
        agents::Real,
        metrics.clone(),
        configuration.clone(),
    );
    let tasks = &mut process.tasks;
    let changes = agents::changes::of_configuration(client, &args.config);
    tasks.spawn_until_shutdown("configuration", follower.run(changes));
    let changes = agents::changes::of_agents(client, NAMESPACE);
    tasks.spawn_until_shutdown("agents", keeper.run(changes));
    configuration
}

fn settings(args: &Args) -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        lifetime: args.certificate_lifetime,
    }
}
