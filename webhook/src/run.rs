//! Wiring of the webhook: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use egret_runtime::client::{self, connect};
use egret_runtime::process::{self, Process};
use kube::Client;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::body::Room;
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
        room: Room::default(),
        metrics: Metrics::registered(&mut process.metrics),
    };
    // What is answered to the last is answered from what is known by then.
    let answered = CancellationToken::new();
    follow(process, &client, &sources.cache, &answered);
    let ready = process.readiness.wait_for("a certificate");
    let namespace = args.namespace.clone();
    let following = async move { certificate::follow(client, &namespace, served, ready).await };
    let tasks = &mut process.tasks;
    tasks.spawn("certificate", until(&answered, following));
    let pulse = process.liveness.pulse("server");
    let serving = serve(listener, router(sources), tls, tasks.shutdown(), pulse);
    tasks.spawn("server", async move {
        let _last = answered.drop_guard();
        serving.await
    });
    Ok(())
}

fn follow(process: &mut Process, client: &Client, cache: &Cache, end: &CancellationToken) {
    let (tasks, readiness) = (&mut process.tasks, &process.readiness);
    let cache = || (cache.clone(), client.clone());
    let ((egresses, client), ready) = (cache(), readiness.wait_for("the list of Egresses"));
    tasks.spawn(
        "egresses",
        until(end, egresses.follow_egresses(client, ready)),
    );
    let ((pools, client), ready) = (cache(), readiness.wait_for("the list of pools"));
    tasks.spawn("pools", until(end, pools.follow_pools(client, ready)));
    let ((nodes, client), ready) = (cache(), readiness.wait_for("the list of nodes"));
    tasks.spawn("nodes", until(end, nodes.follow_nodes(client, ready)));
    let ((reports, client), ready) = (cache(), readiness.wait_for("the list of nodes' reports"));
    tasks.spawn("reports", until(end, reports.follow_reports(client, ready)));
}

/// A task without an end of its own.
fn until<T: Future<Output = ()> + Send>(
    end: &CancellationToken,
    task: T,
) -> impl Future<Output = Result<(), Infallible>> + Send + use<T> {
    let end = end.clone();
    async move {
        end.run_until_cancelled_owned(task).await;
        Ok(())
    }
}
