//! A stream of requests that runs while something happens to the cluster.
//!
//! Owns the running program and the reading of its summary.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Deserialize;

/// Some times what a failover takes on a busy machine.
const STUCK_MS: u64 = 5_000;

/// What became of the requests of a stream.
#[derive(Debug, Clone, Deserialize)]
pub struct Summary {
    /// Requests sent.
    pub sent: usize,
    /// Requests answered within their second.
    pub answered: usize,
    /// Answers by the source address that the external host saw.
    pub sources: BTreeMap<String, usize>,
    /// The longest time between two answered requests, by when they were sent, in milliseconds.
    pub longest_gap_ms: u64,
    /// When the last answered request was sent, in milliseconds since the stream began; none without any answer.
    pub last_answered_ms: Option<u64>,
}

impl Summary {
    /// Whether there were answers, and all to requests from this address.
    pub fn is_only_from(&self, source: &str) -> bool {
        self.sources.len() == 1 && self.sources.contains_key(source)
    }

    /// Whether answers stayed away for so long that something else than Egret may have brought them back.
    pub fn is_stuck(&self) -> bool {
        self.longest_gap_ms >= STUCK_MS
    }

    /// Whether a request was answered that was sent when the stream had run for longer than this.
    pub fn is_answered_after(&self, moment: Duration) -> bool {
        let last = self.last_answered_ms.map(Duration::from_millis);
        last.is_some_and(|last| last > moment)
    }
}

/// A stream under way. Ends with this value.
#[derive(Debug)]
pub struct Stream {
    child: Option<Child>,
    started: Instant,
}

impl Stream {
    pub(crate) fn new(child: Child) -> Self {
        Self {
            child: Some(child),
            started: Instant::now(),
        }
    }

    /// For how long it has run, at most: its first request is sent a little after this begins to count.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for the last answer.
    pub fn finish(mut self) -> Result<Summary> {
        let Some(child) = self.child.take() else {
            anyhow::bail!("the stream has ended before");
        };
        let output = child.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the stream broke off: {errors}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
