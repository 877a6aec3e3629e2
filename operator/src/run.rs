//! Wiring: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::process::ExitCode;

use egret_runtime::client::{self, connect};
use egret_runtime::process::{self, Process};
use tokio::sync::mpsc;

use crate::args::Args;
use crate::certificate::changes::changes;
use crate::certificate::keeper::Keeper;
use crate::certificate::registration::NAMESPACE;
use crate::certificate::store::Store;
use crate::certificate::{Real, Settings};
use crate::feed;
use crate::liveness::{self, Reported};
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
        metrics,
    );

    let tasks = &mut process.tasks;
    tasks.spawn_until_shutdown("reconciler", reconciler.run(messages));
    tasks.spawn_until_shutdown("egresses", feed::egresses(client.clone(), sink.clone()));
    tasks.spawn_until_shutdown("pools", feed::pools(client.clone(), sink.clone()));
    let changes = changes(&client, NAMESPACE);
    tasks.spawn_until_shutdown("webhook certificates", keeper.run(changes));
    let reported = Reported::default();
    let reports = feed::egress_nodes(client.clone(), reported.clone(), sink.clone());
    tasks.spawn_until_shutdown("egress nodes", reports);
    let looks = liveness::watch_over(client.clone(), reported, sink.clone());
    tasks.spawn_until_shutdown("liveness", looks);
    let limit = args.max_egress_ips_per_node;
    tasks.spawn_until_shutdown("nodes", feed::nodes(client, limit, sink));
    Ok(())
}

fn settings(args: &Args) -> Settings {
    Settings {
        namespace: NAMESPACE.to_owned(),
        lifetime: args.certificate_lifetime,
    }
}
