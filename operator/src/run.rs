//! Wiring: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::process::ExitCode;

use egret_domain::leadership::OPERATOR;
use egret_runtime::client::{self, connect, connect_under};
use egret_runtime::fence::Permit;
use egret_runtime::home::NAMESPACE;
use egret_runtime::process::{self, Process};
use futures::stream::select;
use futures::{FutureExt, Stream, StreamExt};
use kube::Client;
use tokio::sync::{mpsc, oneshot, watch};

use crate::agents::{self, configure::Configuration, configure::Follower};
use crate::args::Args;
use crate::certificate::changes::changes;
use crate::certificate::store::Store;
use crate::certificate::{self, Real, Settings};
use crate::events::{self, Events};
use crate::feed;
use crate::keeper::{Keeper, Kept};
use crate::lease::{Elector, Lead, Others, Standing};
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
    let metrics = Metrics::registered(&mut process.metrics);
    let (events, happenings) = events::queue(metrics.clone());
    let pulse = process.liveness.pulse("events");
    let replica = args.name.clone();
    let publisher = events::publish(writing.clone(), replica, happenings, metrics.clone(), pulse);
    process.tasks.spawn_until_shutdown("events", publisher);
    let (able, is_able) = oneshot::channel();
    let pulse = process.liveness.pulse("leadership");
    let others = Others::default();
    let standing = Standing {
        identity: identity(args),
        able: is_able,
        others: others.clone(),
    };
    let (elector, lead) = Elector::new(&client, standing, permit, metrics.clone(), pulse);
    process
        .tasks
        .spawn_to_end("leadership", |end| elector.run(end));
    process.parting = Some(leave(client.clone()).boxed());
    let parts = Parts {
        client,
        writing,
        metrics,
        events,
        lead,
    };
    let (told, configuration) = watch::channel(Configuration::default());
    reconcile(&parts, configuration.clone(), (able, others), process);
    follow_configuration(args, &parts, told, process);
    keep_certificates(args, &parts, process);
    keep_agents(args, &parts, configuration, process);
    let guard = Guard::new(&parts.writing, process.liveness.pulse("guard"));
    process
        .tasks
        .spawn_to_end("guard", |end| guard.run(parts.lead, end));
    Ok(())
}

/// What many tasks need.
struct Parts {
    client: Client,
    /// The client that is for writing.
    writing: Client,
    metrics: Metrics,
    events: Events,
    lead: Lead,
}

/// From what there is to what follows for Egresses and pools.
fn reconcile(
    parts: &Parts,
    configuration: watch::Receiver<Configuration>,
    (able, others): (oneshot::Sender<()>, Others),
    process: &mut Process,
) {
    let Parts {
        client,
        writing,
        metrics,
        events,
        lead,
    } = parts;
    let (sink, messages) = mpsc::channel(MESSAGES);
    let ready = process.readiness.wait_for("the first lists of all watches");
    let seen = Seen { ready, able };
    let pulse = process.liveness.pulse("reconciler");
    let writer = Writer::new(writing.clone(), events.clone());
    let lead = (lead.clone(), others);
    let reconciler = Reconciler::new(writer, metrics.clone(), lead, seen, pulse);
    let tasks = &mut process.tasks;
    tasks.spawn_to_end("reconciler", |end| reconciler.run(messages, end));
    let (client, sink) = (|| client.clone(), || sink.clone());
    tasks.spawn_until_shutdown("egresses", feed::egresses(client(), sink()));
    tasks.spawn_until_shutdown("pools", feed::pools(client(), sink()));
    let reported = Reported::default();
    let reports = feed::egress_nodes(client(), reported.clone(), sink());
    tasks.spawn_until_shutdown("egress nodes", reports);
    let pulse = process.liveness.pulse("liveness");
    let looks = liveness::watch_over(client(), reported, sink(), pulse);
    tasks.spawn_until_shutdown("liveness", looks);
    tasks.spawn_until_shutdown("nodes", feed::nodes(client(), configuration, sink()));
}

fn follow_configuration(
    args: &Args,
    parts: &Parts,
    told: watch::Sender<Configuration>,
    process: &mut Process,
) {
    let store = agents::store::Store::new(&parts.client, NAMESPACE);
    let follower = Follower::new(store, args.config.clone(), told, parts.metrics.clone());
    let changes = agents::changes::of_configuration(&parts.client, &args.config);
    let pulse = process.liveness.pulse("configuration");
    let following = follower.run(changes, pulse);
    process
        .tasks
        .spawn_until_shutdown("configuration", following);
}

fn keep_certificates(args: &Args, parts: &Parts, process: &mut Process) {
    let kept = certificate::keeper::Keeper::new(
        Store::new(&parts.writing, NAMESPACE),
        settings(args),
        Real,
        parts.metrics.clone(),
    );
    let changes = changes(&parts.client, NAMESPACE);
    keep("webhook certificates", kept, changes, parts, process);
}

fn keep_agents(
    args: &Args,
    parts: &Parts,
    configuration: watch::Receiver<Configuration>,
    process: &mut Process,
) {
    let wish = agents::store::Wish {
        image: args.agent_image.clone().filter(|image| !image.is_empty()),
        max_unavailable: args.agent_max_unavailable,
    };
    let kept = agents::keeper::Keeper::new(
        parts.events.clone(),
        agents::store::Store::new(&parts.writing, NAMESPACE),
        wish,
        args.gossip_key_lifetime,
        agents::Real,
        configuration,
    );
    let changes = select(
        agents::changes::of_agents(&parts.client, NAMESPACE),
        kept.changes().boxed(),
    );
    keep("agents", kept, changes, parts, process);
}

fn keep<K: Kept + 'static>(
    name: &'static str,
    kept: K,
    changes: impl Stream<Item = K::Change> + Send + Unpin + 'static,
    parts: &Parts,
    process: &mut Process,
) {
    let pulse = process.liveness.pulse(name);
    let keeper = Keeper::new(kept, parts.lead.clone(), parts.metrics.clone(), pulse);
    process
        .tasks
        .spawn_to_end(name, |end| keeper.run(changes, end));
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
