//! The operator that is measured, as a process.
//!
//! Owns its start, and reads what it has used: processor time and memory from the kernel, writes from its own metrics.
//! Never changes an object.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::body::{Body, to_bytes};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, free_port, spawn};
use crate::machine::Resident;

/// How long it may take to see what there is.
const PATIENCE: Duration = Duration::from_mins(2);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// In bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Child,
    admin: u16,
}

/// What it has used since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Processor time of all its threads.
    pub processor: Duration,
    /// Requests that changed an object, or meant to.
    pub writes: u64,
}

impl Used {
    /// What was used since then.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            processor: self.processor.saturating_sub(before.processor),
            writes: self.writes.saturating_sub(before.writes),
        }
    }
}

impl Operator {
    /// Starts one and waits until it has seen what there is.
    pub async fn start(program: &Path, cluster: &Cluster) -> anyhow::Result<Self> {
        let admin = free_port()?;
        let mut command = Command::new(program);
        command
            .arg(format!("--admin-address=127.0.0.1:{admin}"))
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("POD_NAMESPACE", "egret-system")
            .env("POD_NAME", "egret-operator-1");
        let process = spawn(command, cluster.folder(), "egret-operator")?;
        let operator = Self { process, admin };
        let ready = async {
            while operator.ask("ready").await.is_err() {
                sleep(ASK_AGAIN_AFTER).await;
            }
        };
        timeout(PATIENCE, ready)
            .await
            .context("the operator is not ready")?;
        Ok(operator)
    }

    /// What it has used since its start.
    pub async fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            processor: processor(self.pid()?)?,
            writes: writes(&self.ask("metrics").await?),
        })
    }

    /// Its memory.
    pub fn resident(&self) -> anyhow::Result<Resident> {
        Resident::of(&self.pid()?.to_string())
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.process.id().context("the operator has ended")
    }

    async fn ask(&self, path: &str) -> anyhow::Result<String> {
        let uri = format!("http://127.0.0.1:{}/{path}", self.admin).parse()?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let answer = client.get(uri).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        let text = to_bytes(Body::new(answer.into_body()), LONGEST_ANSWER).await?;
        Ok(String::from_utf8(text.to_vec())?)
    }
}

/// In nanoseconds, for a change costs less than a tick of the clock that `stat` counts.
fn processor(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path().join("schedstat");
        // A thread may end meanwhile.
        let text = fs::read_to_string(path).unwrap_or_default();
        let running = text
            .split(' ')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        sum += running.unwrap_or_default();
    }
    Ok(Duration::from_nanos(sum))
}

/// The sum of all kinds and outcomes.
fn writes(metrics: &str) -> u64 {
    let lines = metrics.lines();
    let counts = lines.filter(|line| line.starts_with("egret_operator_writes_total"));
    let numbers = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_summed_over_kinds_and_outcomes() {
        let metrics = "# TYPE egret_operator_writes counter\n\
            egret_operator_writes_total{what=\"a\",outcome=\"ok\"} 3\n\
            egret_operator_writes_total{what=\"b\",outcome=\"conflict\"} 2\n\
            egret_operator_queued_objects 7\n";
        assert_eq!(writes(metrics), 5);
    }

    #[test]
    fn the_time_of_a_process_is_that_of_its_threads() {
        assert!(processor(std::process::id()).unwrap() > Duration::ZERO);
    }
}
