//! Wiring: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::process::ExitCode;
use std::sync::Arc;

use egret_runtime::client::{self, connect};
use egret_runtime::process::{self, Process};
use kube::Client;
use thiserror::Error;

use crate::args::Args;
use crate::cache::Cache;
use crate::certificate::{self, Served};
use crate::metrics::Metrics;
use crate::serve::{self, serve};
use crate::server::{Sources, router};

/// Why the process cannot start.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no API server to ask.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The address cannot be used.
    #[error(transparent)]
    Listen(#[from] serve::Error),
}

/// Runs the webhook.
pub fn run(args: &Args) -> ExitCode {
    process::run(&args.common, async |process: &mut Process| {
        start(args, process).await
    })
}

async fn start(args: &Args, process: &mut Process) -> Result<(), Error> {
    let client = connect().await?;
    let listener = serve::listen(args.address).await?;
    let served = Served::default();
    let tls = Arc::new(served.server_config()?);
    let sources = Sources {
        cache: Cache::default(),
        readiness: process.readiness.clone(),
        client: client.clone(),
        metrics: Metrics::registered(&mut process.metrics),
    };
    follow(process, &client, &sources.cache);
    follow_certificate(process, client, args.namespace.clone(), served);
    let shutdown = process.tasks.shutdown();
    let serving = serve(listener, router(sources), tls, shutdown);
    process.tasks.spawn("server", serving);
    Ok(())
}

fn follow(process: &mut Process, client: &Client, cache: &Cache) {
    let (tasks, readiness) = (&mut process.tasks, &process.readiness);
    let cache = || (cache.clone(), client.clone());
    let ((egresses, client), ready) = (cache(), readiness.wait_for("the list of Egresses"));
    tasks.spawn_until_shutdown("egresses", egresses.follow_egresses(client, ready));
    let ((pools, client), ready) = (cache(), readiness.wait_for("the list of pools"));
    tasks.spawn_until_shutdown("pools", pools.follow_pools(client, ready));
    let ((nodes, client), ready) = (cache(), readiness.wait_for("the list of nodes"));
    tasks.spawn_until_shutdown("nodes", nodes.follow_nodes(client, ready));
    let ((reports, client), ready) = (cache(), readiness.wait_for("the list of nodes' reports"));
    tasks.spawn_until_shutdown("reports", reports.follow_reports(client, ready));
}

fn follow_certificate(process: &mut Process, client: Client, namespace: String, served: Served) {
    let ready = process.readiness.wait_for("a certificate");
    process
        .tasks
        .spawn_until_shutdown("certificate", async move {
            certificate::follow(client, &namespace, served, ready).await;
        });
}
