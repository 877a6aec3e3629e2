//! A stream of requests that runs while something happens to the cluster.
//!
//! Owns the running program and the reading of its summary.

use std::collections::BTreeMap;
use std::process::Child;

use anyhow::{Result, ensure};
use serde::Deserialize;

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
}

impl Summary {
    /// Whether there were answers, and all to requests from this address.
    pub fn is_only_from(&self, source: &str) -> bool {
        self.sources.len() == 1 && self.sources.contains_key(source)
    }
}

/// A stream under way. Ends with this value.
#[derive(Debug)]
pub struct Stream(Option<Child>);

impl Stream {
    pub(crate) fn new(child: Child) -> Self {
        Self(Some(child))
    }

    /// Waits for the last answer.
    pub fn finish(mut self) -> Result<Summary> {
        let Some(child) = self.0.take() else {
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
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
