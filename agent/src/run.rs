//! Wiring: which task feeds which.
//!
//! Owns the start of the process. Never does any of the work.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use egret_domain::name::NodeName;
use egret_domain::node::{Fact, Index};
use egret_runtime::process::{self, Process};
use egret_runtime::{Failure, client};
use kube::Client;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::args::Args;
use crate::feed::{self, Message, Sink, Source};
use crate::kernel::linux::Linux;
use crate::membership::seal::Seal;
use crate::membership::{self, Alive, Membership};
use crate::metrics::Metrics;
use crate::reconcile::{Outlets, Reconciler};
use crate::report::NodeReport;
use crate::status::Statuses;
use crate::{kernel, local, report, status};

/// Messages that may wait for the reconciler; who sends more waits.
const MESSAGES: usize = 4096;

/// Why the agent does not start.
#[derive(Debug, Error)]
pub enum Error {
    /// No API server.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The gossip's key is not there.
    #[error("cannot read the gossip key from {path}: it is in the Secret that the operator makes")]
    Key {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// No gossip.
    #[error(transparent)]
    Membership(#[from] membership::Error),
    /// No netlink.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

/// Runs the agent.
pub fn run(args: Args) -> ExitCode {
    let common = args.common.clone();
    process::run(&common, async move |process: &mut Process| {
        start(&args, process).await.map_err(Failure::from)
    })
}

async fn start(args: &Args, process: &mut Process) -> Result<(), Error> {
    let me = NodeName::from(args.node_name.as_str());
    let client = client::connect().await?;
    let (sink, messages) = mpsc::channel(MESSAGES);
    let (peers, peers_seen) = watch::channel(None);
    let (told, alive) = watch::channel(Alive::default());
    let (report, reports) = watch::channel(NodeReport::default());
    let statuses = Statuses::default();
    let metrics = Metrics::registered(&mut process.metrics);

    let gossip = SocketAddr::new(args.node_address, args.gossip_port);
    let seal = read_seal(args).await?;
    let membership = Membership::open(&me, gossip, seal, peers_seen, told).await?;
    let kernel = Linux::new(args.settings, args.node_address)?;
    let outlets = Outlets {
        peers,
        statuses: statuses.clone(),
        report,
        metrics: metrics.clone(),
    };
    let index = Index::new(me.clone(), kernel::FAMILIES, args.except_cidrs.clone());
    let ready = process.readiness.wait_for("datapath");
    let pulse = |name| process.liveness.pulse(name);
    let reconciler = Reconciler::new(index, kernel, outlets, ready, pulse("reconciler"));
    let membership = membership.run(pulse("membership"));

    let tasks = &mut process.tasks;
    tasks.spawn_until_shutdown("membership", membership);
    tasks.spawn_until_shutdown("reconciler", reconciler.run(messages, alive));
    let write = status::write(client.clone(), me.clone(), statuses, metrics.clone());
    tasks.spawn_until_shutdown("status writer", write);
    let write = report::write(
        client.clone(),
        me.clone(),
        args.node_address,
        reports,
        metrics,
    );
    tasks.spawn_until_shutdown("report writer", write);
    feed_all(process, &client, &me, &sink);
    Ok(())
}

async fn read_seal(args: &Args) -> Result<Seal, Error> {
    let path = &args.gossip_key_file;
    let key = tokio::fs::read(path).await;
    let key = key.map_err(|source| Error::Key {
        path: path.clone(),
        source,
    })?;
    Ok(Seal::new(&key).map_err(membership::Error::from)?)
}

fn feed_all(process: &mut Process, client: &Client, me: &NodeName, sink: &Sink) {
    let tasks = &mut process.tasks;
    let (client, sink) = (|| client.clone(), || sink.clone());
    tasks.spawn_until_shutdown("egresses", feed::egresses(client(), sink()));
    tasks.spawn_until_shutdown("pools", feed::pools(client(), sink()));
    tasks.spawn_until_shutdown("pods", feed::pods(client(), me.clone(), sink()));
    tasks.spawn_until_shutdown("namespaces", feed::namespaces(client(), sink()));
    tasks.spawn_until_shutdown("nodes", feed::nodes(client(), sink()));
    tasks.spawn_until_shutdown("service networks", feed::service_cidrs(client(), sink()));
    let (addresses, seen) = mpsc::channel(16);
    tasks.spawn_until_shutdown("address watch", local::watch(addresses));
    tasks.spawn_until_shutdown("local addresses", local_addresses(seen, sink()));
}

async fn local_addresses(
    mut seen: mpsc::Receiver<std::collections::BTreeSet<std::net::IpAddr>>,
    sink: Sink,
) {
    while let Some(addresses) = seen.recv().await {
        let told = Message::Fact(Fact::LocalAddresses(addresses));
        for message in [told, Message::Synced(Source::LocalAddresses)] {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }
}
