//! The life of a lab: bring-up, answering commands, the end.
//!
//! Owns the order of bring-up and tells each step on standard output, one line of JSON each, to the
//! `up` that waits. When that one goes away before the lab is ready, the lab ends as well, at once.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use crate::cluster::Cluster;
use crate::control::{LONGEST_LINE, Reply, Request};
use crate::control_plane::{self, ControlPlaneError};
use crate::credentials::{Credentials, CredentialsError};
use crate::echo::{self, SilentError};
use crate::home::{Home, HomeError};
use crate::kubelet::Kubelet;
use crate::manifests::{self, ManifestError};
use crate::netns::{CommandError, Netns};
use crate::node;
use crate::process::{Launch, Process};
use crate::readiness::{self, NotReady};
use crate::spec::LabSpec;
use crate::{scheduler, underlay};

/// Why a lab did not come up.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Its folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its certificates and tokens.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Its control plane.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// Its network.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Its manifests.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its objects.
    #[error("the API server did not take the lab's nodes: {0}")]
    Api(#[from] kube::Error),
    /// Egret itself.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Its external host.
    #[error(transparent)]
    Ext(#[from] SilentError),
    /// Its socket.
    #[error("the control socket cannot be used: {0}; a shorter TMPDIR may help")]
    Socket(#[source] io::Error),
    /// Whoever wanted it has gone.
    #[error("`up` went away: {0}")]
    Abandoned(#[source] io::Error),
}

/// What `up` is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// This is done.
    Step(String),
    /// All is done.
    Ready,
    /// It cannot be done.
    Failed(String),
}

fn tell(progress: &Progress) -> Result<(), SupervisorError> {
    let line = serde_json::to_string(progress).unwrap_or_default();
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(SupervisorError::Abandoned)
}

fn step(text: impl Into<String>) -> Result<(), SupervisorError> {
    tell(&Progress::Step(text.into()))
}

/// Lives until somebody asks for the end.
pub async fn live(home: &Home) -> Result<(), SupervisorError> {
    let result = async {
        let cluster = tokio::select! {
            cluster = bring_up(home) => cluster?,
            reason = abandoned() => return Err(SupervisorError::Abandoned(reason)),
        };
        let listener =
            UnixListener::bind(home.control_socket()).map_err(SupervisorError::Socket)?;
        tell(&Progress::Ready)?;
        Ok((cluster, listener))
    };
    match result.await {
        Ok((cluster, listener)) => {
            serve(Arc::new(cluster), &listener).await;
            Ok(())
        }
        Err(error) => {
            // When nobody listens, the log has it.
            let _ = tell(&Progress::Failed(error.to_string()));
            Err(error)
        }
    }
}

/// Returns when `up` no longer reads what it is told: a pipe whose reader is gone has an error.
async fn abandoned() -> io::Error {
    let gone = async {
        let pipe = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
        pipe.ready(Interest::ERROR).await
    };
    gone.await
        .err()
        .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
}

async fn bring_up(home: &Home) -> Result<Cluster, SupervisorError> {
    let spec = Arc::new(home.read_spec()?);
    let credentials = Credentials::make(home, spec.families)?;
    let audit = control_plane::audit_policy(home)?;
    // The API server listens on the bridge's address from the start.
    underlay::lay(&spec).await?;
    let etcd = Process::keep(control_plane::etcd(&spec, home));
    let apiserver = control_plane::apiserver(&spec, home, &credentials, &audit);
    let apiserver = Process::keep(apiserver);
    let client = control_plane::client(home).await?;
    let outside = async {
        network(&spec).await?;
        Ok::<_, SupervisorError>(serving_ext(&spec, home).await?)
    };
    let api = async { Ok(control_plane::ready(&client, home).await?) };
    let (ext, ()) = tokio::try_join!(outside, api)?;
    step("the API server answers")?;
    let controllers = Process::keep(control_plane::controller_manager(&spec, home, &credentials));
    node::register(&client, &spec).await?;
    let kubelet = Kubelet::start(spec.clone(), home.clone(), client.clone());
    let powered = || kubelet.powered.clone();
    tokio::spawn(node::stay_alive(client.clone(), powered()));
    tokio::spawn(scheduler::run(client.clone(), powered()));
    let mut cluster = Cluster::new(spec.clone(), client.clone(), kubelet);
    cluster.adopt("etcd", etcd);
    cluster.adopt("apiserver", apiserver);
    cluster.adopt("controller-manager", controllers);
    cluster.adopt("ext", ext);
    install(&spec, home, &client).await?;
    Ok(cluster)
}

async fn network(spec: &LabSpec) -> Result<(), SupervisorError> {
    underlay::attach_ext(spec).await?;
    for node in spec.node_ids() {
        underlay::attach_node(spec, node).await?;
    }
    step(format!(
        "{} nodes and the external host are wired",
        spec.nodes
    ))
}

async fn install(spec: &LabSpec, home: &Home, client: &Client) -> Result<(), SupervisorError> {
    manifests::prepare(client).await?;
    let Some(egret) = &spec.egret else {
        return Ok(());
    };
    manifests::apply(spec, egret, home).await?;
    step("the manifests are applied")?;
    readiness::await_egret(client, spec.nodes).await?;
    step("operator, webhook and agents are ready")
}

/// The external host's HTTP server: this program again.
fn ext(spec: &LabSpec, home: &Home) -> Launch {
    Launch {
        name: "ext".to_owned(),
        netns: Netns::Named("ext".to_owned()),
        program: spec.program.clone(),
        args: vec!["echo".into()],
        env: Vec::new(),
        log: home.log("ext"),
        grace: Duration::from_secs(1),
    }
}

/// The external host, once it listens: a request that comes earlier would be refused.
async fn serving_ext(spec: &LabSpec, home: &Home) -> Result<Process, SilentError> {
    let process = Process::keep(ext(spec, home));
    echo::listens(&process).await?;
    Ok(process)
}

async fn serve(cluster: Arc<Cluster>, listener: &UnixListener) {
    let end = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.notified() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(converse(cluster.clone(), stream, end.clone()));
            }
            Err(error) => eprintln!("a command could not connect: {error}"),
        }
    }
}

async fn converse(cluster: Arc<Cluster>, stream: UnixStream, end: Arc<Notify>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    if let Err(error) = BufReader::new(reader.take(LONGEST_LINE))
        .read_line(&mut line)
        .await
    {
        eprintln!("a command broke off: {error}");
        return;
    }
    if line.is_empty() {
        // A command that only wanted to know which process this is, or until when it lives.
        return;
    }
    let request = serde_json::from_str::<Request>(&line);
    let is_end = matches!(request, Ok(Request::Down));
    let reply = match request {
        Ok(request) => cluster.answer(request).await,
        Err(error) => Reply::Failed(format!("not a command of this lab's version: {error}")),
    };
    let mut answer = serde_json::to_vec(&reply).unwrap_or_default();
    answer.push(b'\n');
    // A command that is gone needs no answer.
    let _ = writer.write_all(&answer).await;
    if is_end {
        end.notify_one();
    }
}
