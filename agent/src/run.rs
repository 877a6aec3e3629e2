//! Wiring of the agent: which task feeds which, where Egress is on and where it is off.
//!
//! Owns the start of the process. Never does any of the work.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use egret_crds::keyring::Keyring;
use egret_crds::settings;
use egret_domain::name::NodeName;
use egret_domain::node::Index;
use egret_runtime::process::{self, Process};
use egret_runtime::{Failure, client};
use kube::Client;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::args::Args;
use crate::feed::{self, Sink};
use crate::kernel::linux::Linux;
use crate::kernel::settings::Settings;
use crate::membership::{self, Alive, Membership, keys};
use crate::metrics::Metrics;
use crate::off::Cleaner;
use crate::reconcile::{Outlets, Reconciler};
use crate::report::{self, NodeReport};
use crate::status::Statuses;
use crate::{configuration, kernel, lease, local, status, uninstall};

/// Messages that may wait for the reconciler; who sends more waits.
const MESSAGES: usize = 4096;

/// Why the agent does not start.
#[derive(Debug, Error)]
pub enum Error {
    /// No API server.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// No configuration.
    #[error(transparent)]
    Configuration(#[from] configuration::Error),
    /// The gossip's keys are not there.
    #[error(transparent)]
    Keys(#[from] keys::Error),
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
    let configured = configuration::from(&args.config).await?.settings;
    info!(?configured, "configuration read");
    let numbers = Settings {
        random_ports: configured.snat_fully_random_ports,
        ..args.settings
    };
    let client = client::connect().await?;
    let parting = uninstall::leave(client.clone(), numbers, args.node_address);
    process.parting = Some(Box::pin(parting));
    let kernel = Linux::new(numbers, args.node_address)?;
    let keys = keys::from(&args.gossip_keys).await?;
    let (new_keys, keys) = watch::channel(keys);
    let pulse = process.liveness.pulse("gossip keys");
    let follow = keys::follow(args.gossip_keys.clone(), new_keys, pulse);
    process.tasks.spawn_until_shutdown("gossip keys", follow);
    let parts = Parts {
        me: NodeName::from(args.node_name.as_str()),
        client,
        kernel,
        keys,
    };
    if configured.enabled {
        serve(args, &configured, parts, process).await
    } else {
        clean_up(args, parts, process);
        Ok(())
    }
}

/// What every agent has, whatever it does.
struct Parts {
    me: NodeName,
    client: Client,
    kernel: Linux,
    keys: watch::Receiver<Keyring>,
}

async fn serve(
    args: &Args,
    configured: &settings::Settings,
    parts: Parts,
    process: &mut Process,
) -> Result<(), Error> {
    let Parts {
        me,
        client,
        kernel,
        keys,
    } = parts;
    let (sink, messages) = mpsc::channel(MESSAGES);
    let (peers, peers_seen) = watch::channel(None);
    let (told, alive) = watch::channel(Alive::default());
    let (report, reports) = watch::channel(NodeReport::default());
    let statuses = Statuses::default();
    let metrics = Metrics::registered(&mut process.metrics);

    let gossip = SocketAddr::new(args.node_address, args.gossip_port);
    let membership = Membership::open(&me, gossip, keys.clone(), peers_seen, told).await?;
    let outlets = Outlets {
        peers,
        statuses: statuses.clone(),
        report,
        metrics: metrics.clone(),
    };
    let except = configured.except_cidrs.iter().copied().collect();
    let index = Index::new(me.clone(), kernel.families(), except);
    let ready = process.readiness.wait_for("datapath");
    let pulse = |name| process.liveness.pulse(name);
    let reconciler = Reconciler::new(index, kernel, outlets, ready, pulse("reconciler"));
    let membership = membership.run(pulse("membership"));

    let tasks = &mut process.tasks;
    tasks.spawn_until_shutdown("membership", membership);
    tasks.spawn_until_shutdown("reconciler", reconciler.run(messages, alive));
    let speaker = Speaker {
        client: client.clone(),
        me: me.clone(),
        metrics,
        address: args.node_address,
    };
    speaker.speak(statuses, reports, keys, process);
    let max_egress_ips = configured.max_egress_ips_per_node.into();
    feed_all(process, &client, &me, &sink, max_egress_ips);
    let (addresses, seen) = mpsc::channel(16);
    let pulse = process.liveness.pulse("address watch");
    let watch = local::watch(addresses, args.settings.route_protocol, pulse);
    let tasks = &mut process.tasks;
    tasks.spawn_until_shutdown("address watch", watch);
    tasks.spawn_until_shutdown("local addresses", local::tell(seen, sink));
    Ok(())
}

/// Egress is off.
fn clean_up(args: &Args, parts: Parts, process: &mut Process) {
    let Parts {
        me,
        client,
        kernel,
        keys,
    } = parts;
    let (sink, messages) = mpsc::channel(MESSAGES);
    let (report, reports) = watch::channel(NodeReport::default());
    let statuses = Statuses::default();
    let cleaner = Cleaner {
        me: me.clone(),
        kernel,
        statuses: statuses.clone(),
        report,
        pulse: process.liveness.pulse("cleaner"),
    };
    let tasks = &mut process.tasks;
    tasks.spawn_until_shutdown("cleaner", cleaner.run(messages));
    tasks.spawn_until_shutdown("egresses", feed::egresses(client.clone(), sink));
    let speaker = Speaker {
        client,
        me,
        metrics: Metrics::registered(&mut process.metrics),
        address: args.node_address,
    };
    speaker.speak(statuses, reports, keys, process);
}

/// Who tells the API server of this node, whatever the agent does.
struct Speaker {
    client: Client,
    me: NodeName,
    metrics: Metrics,
    address: IpAddr,
}

impl Speaker {
    /// Starts what writes statuses, the report and the Lease.
    fn speak(
        self,
        statuses: Statuses,
        reports: watch::Receiver<NodeReport>,
        keys: watch::Receiver<Keyring>,
        process: &mut Process,
    ) {
        let Self {
            client,
            me,
            metrics,
            address,
        } = self;
        let (tasks, liveness) = (&mut process.tasks, &process.liveness);
        let pulse = liveness.pulse("status writer");
        let write = status::write(client.clone(), me.clone(), statuses, metrics.clone(), pulse);
        tasks.spawn_until_shutdown("status writer", write);
        let renew = lease::renew(client.clone(), me.clone(), liveness.pulse("lease"));
        tasks.spawn_until_shutdown("lease", renew);
        let writer = report::Writer {
            client,
            me,
            address,
            metrics,
        };
        let write = writer.run(reports, keys, liveness.pulse("report writer"));
        tasks.spawn_until_shutdown("report writer", write);
    }
}

fn feed_all(
    process: &mut Process,
    client: &Client,
    me: &NodeName,
    sink: &Sink,
    max_egress_ips: usize,
) {
    let tasks = &mut process.tasks;
    let (client, sink) = (|| client.clone(), || sink.clone());
    tasks.spawn_until_shutdown("egresses", feed::egresses(client(), sink()));
    tasks.spawn_until_shutdown("pools", feed::pools(client(), sink()));
    tasks.spawn_until_shutdown("pods", feed::pods(client(), me.clone(), sink()));
    tasks.spawn_until_shutdown("namespaces", feed::namespaces(client(), sink()));
    tasks.spawn_until_shutdown("nodes", feed::nodes(client(), max_egress_ips, sink()));
    tasks.spawn_until_shutdown("service networks", feed::service_cidrs(client(), sink()));
}
