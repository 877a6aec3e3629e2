//! The life of a process, from its arguments to its exit code.
//!
//! Owns the order of start and end, and the last words. Never knows what the process is for.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use crate::admin::{self, Sources};
use crate::args::Common;
use crate::levels::Levels;
use crate::live::Liveness;
use crate::ready::Readiness;
use crate::tasks::{Fatal, Tasks};
use crate::{Failure, metrics, telemetry};

/// Where the kubelet looks for a container's last words, shown by `kubectl describe pod`.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The kubelet keeps no more of them than this.
const TERMINATION_LOG_BYTES: usize = 4096;
/// The time that tasks have to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// The work is waiting for the API server and the kernel: more threads would only take memory on every node.
const THREADS: usize = 2;

/// What a process is made of while it starts.
#[derive(Default)]
pub struct Process {
    /// Its tasks.
    pub tasks: Tasks,
    /// What it waits for before it is ready.
    pub readiness: Readiness,
    /// The loops that have to go round.
    pub liveness: Liveness,
    /// Its metrics, to be registered during the start.
    pub metrics: Registry,
    /// What it does last, when all tasks have ended because somebody asked it to stop. It bounds its own time.
    pub parting: Option<BoxFuture<'static, ()>>,
}

/// Why a process ends with a failure.
#[derive(Debug, Error)]
pub enum Error {
    /// Logs cannot be written.
    #[error("cannot start logging")]
    Telemetry(#[from] tracing_subscriber::util::TryInitError),
    /// No threads, or no signals.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The process's own start failed.
    #[error("cannot start")]
    Start(#[source] Failure),
    /// The admin server cannot be started.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// A task ended.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Runs a process: `start` spawns its tasks, and they run until SIGTERM or SIGINT, or until one of them ends. A failure
/// is logged and left as the container's last words.
pub fn run<S, E>(args: &Common, start: S) -> ExitCode
where
    S: AsyncFnOnce(&mut Process) -> Result<(), E>,
    E: Into<Failure>,
{
    match try_run(args, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let words = crate::describe(&failure);
            error!(error = %words, "stopped");
            leave_last_words(&words, Path::new(TERMINATION_LOG));
            ExitCode::FAILURE
        }
    }
}

fn try_run<S, E>(args: &Common, start: S) -> Result<(), Error>
where
    S: AsyncFnOnce(&mut Process) -> Result<(), E>,
    E: Into<Failure>,
{
    let levels = telemetry::init(args)?;
    // An error means that a provider has been chosen already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?
        .block_on(live(args, levels, start))
}

async fn live<S, E>(args: &Common, levels: Levels, start: S) -> Result<(), Error>
where
    S: AsyncFnOnce(&mut Process) -> Result<(), E>,
    E: Into<Failure>,
{
    let asked = asked_to_stop().map_err(Error::Runtime)?;
    let listener = admin::listen(args.admin_address).await?;
    let mut process = Process::default();
    metrics::register(&mut process.metrics);
    start(&mut process)
        .await
        .map_err(|error| Error::Start(error.into()))?;
    let Process {
        mut tasks,
        readiness,
        liveness,
        metrics,
        parting,
    } = process;
    let sources = Sources {
        liveness,
        readiness,
        metrics: Arc::new(metrics),
        levels,
    };
    let shutdown = tasks.shutdown();
    tasks.spawn("admin server", admin::serve(listener, sources, shutdown));
    info!(version = env!("CARGO_PKG_VERSION"), admin = %args.admin_address, "started");
    let end = tasks.run(asked, GRACE).await;
    // One that fails is to be started again, and has nobody to take leave of.
    if let (Ok(()) | Err(Fatal::Stuck { .. }), Some(parting)) = (&end, parting) {
        parting.await;
    }
    end?;
    info!("stopped");
    Ok(())
}

/// Listens from now on for SIGTERM and SIGINT; the future ends with the first.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            () = received(&mut term) => "SIGTERM",
            () = received(&mut int) => "SIGINT",
        };
        info!(signal = name, "stopping");
    })
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Only where a kubelet has put the file: elsewhere the log has to do.
fn leave_last_words(words: &str, file: &Path) {
    let end = words.floor_char_boundary(TERMINATION_LOG_BYTES);
    if file.exists()
        && let Some(words) = words.get(..end)
        && let Err(error) = std::fs::write(file, words)
    {
        error!(%error, "cannot write the termination log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_written_only_where_they_are_wanted() {
        let folder = std::env::temp_dir().join(format!("egret-last-words-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (wanted, unwanted) = (folder.join("wanted"), folder.join("unwanted"));
        std::fs::write(&wanted, "").unwrap();
        leave_last_words(&"é".repeat(TERMINATION_LOG_BYTES), &wanted);
        leave_last_words("gone", &unwanted);
        assert_eq!(std::fs::read(&wanted).unwrap().len(), TERMINATION_LOG_BYTES);
        assert!(!unwanted.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
