//! Wiring: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::process::ExitCode;

use egret_domain::leadership::OPERATOR;
use egret_runtime::client::{self, connect, connect_under};
use egret_runtime::fence::Permit;
use egret_runtime::process::{self, Process};
use futures::FutureExt;
use kube::Client;
use tokio::sync::{mpsc, oneshot, watch};

use crate::agents::{self, configure::Configuration, configure::Follower};
use crate::args::Args;
use crate::certificate::changes::changes;
use crate::certificate::keeper::Keeper;
use crate::certificate::registration::NAMESPACE;
use crate::certificate::store::Store;
use crate::certificate::{Real, Settings};
use crate::events;
use crate::feed;
use crate::lease::Elector;
use crate::liveness::{self, Reported};
use crate::metrics::Metrics;
use crate::reconcile::{Reconciler, Seen};
use crate::teardown::{guard::Guard, leave::leave};
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
    let permit = Permit::none(OPERATOR.in_flight);
    // All that writes, but for the Lease itself, goes through this one.
    let writing = connect_under(&permit).await?;
    let (sink, messages) = mpsc::channel(MESSAGES);
    let metrics = Metrics::registered(&mut process.metrics);
    let ready = process.readiness.wait_for("the first lists of all watches");
    let (able, is_able) = oneshot::channel();
    let (elector, lead) = Elector::new(&client, identity(args), permit, is_able, metrics.clone());
    let pulse = process.liveness.pulse("reconciler");
    let (events, happenings) = events::queue(metrics.clone());
    let writer = Writer::new(writing.clone(), events);
    let seen = Seen { ready, able };
    let reconciler = Reconciler::new(writer, metrics.clone(), lead.clone(), seen, pulse);
    let publisher = events::publish(writing.clone(), happenings, metrics.clone());
    let keeper = Keeper::new(
        Store::new(&writing, NAMESPACE),
        settings(args),
        Real,
        metrics.clone(),
    );

    process.parting = Some(leave(client.clone()).boxed());
    let tasks = &mut process.tasks;
    let end = || tasks.shutdown().cancelled_owned();
    let (end_of_lead, end_of_writes) = (end(), end());
    let (end_of_certificates, end_of_agents, end_of_guard) = (end(), end(), end());
    tasks.spawn_to_end("leadership", elector.run(end_of_lead));
    tasks.spawn_to_end("reconciler", reconciler.run(messages, end_of_writes));
    let changes = changes(&client, NAMESPACE);
    let keeping = keeper.run(changes, lead.clone(), end_of_certificates);
    tasks.spawn_to_end("webhook certificates", keeping);
    tasks.spawn_until_shutdown("events", publisher);
    tasks.spawn_until_shutdown("egresses", feed::egresses(client.clone(), sink.clone()));
    tasks.spawn_until_shutdown("pools", feed::pools(client.clone(), sink.clone()));
    let reported = Reported::default();
    let reports = feed::egress_nodes(client.clone(), reported.clone(), sink.clone());
    tasks.spawn_until_shutdown("egress nodes", reports);
    let looks = liveness::watch_over(client.clone(), reported, sink.clone());
    tasks.spawn_until_shutdown("liveness", looks);
    let (told, configuration) = watch::channel(Configuration::default());
    let store = agents::store::Store::new(&client, NAMESPACE);
    let follower = Follower::new(store, args.config.clone(), told, metrics.clone());
    let changes = agents::changes::of_configuration(&client, &args.config);
    tasks.spawn_until_shutdown("configuration", follower.run(changes));
    let keeper = agents_keeper(args, &writing, &metrics, configuration.clone());
    let changes = agents::changes::of_agents(&client, NAMESPACE);
    let keeping = keeper.run(changes, lead.clone(), end_of_agents);
    tasks.spawn_to_end("agents", keeping);
    let guarding = Guard::new(&writing).run(lead, end_of_guard);
    tasks.spawn_to_end("guard", guarding);
    tasks.spawn_until_shutdown("nodes", feed::nodes(client, configuration, sink));
    Ok(())
}

/// Keeps what the agents are run from.
fn agents_keeper(
    args: &Args,
    writing: &Client,
    metrics: &Metrics,
    configuration: watch::Receiver<Configuration>,
) -> agents::keeper::Keeper<agents::Real> {
    let wish = agents::store::Wish {
        image: args.agent_image.clone().filter(|image| !image.is_empty()),
        max_unavailable: args.agent_max_unavailable,
    };
    agents::keeper::Keeper::new(
        writing,
        agents::store::Store::new(writing, NAMESPACE),
        wish,
        args.gossip_key_lifetime,
        agents::Real,
        metrics.clone(),
        configuration,
    )
}

/// Another one in every life of every replica: one that was killed does not take itself for its successor.
fn identity(args: &Args) -> String {
    format!("{}_{:016x}", args.name, rand::random::<u64>())
}

fn settings(args: &Args) -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        lifetime: args.certificate_lifetime,
    }
}
