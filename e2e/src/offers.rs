//! Offers of an Egress that run while something happens to those who answer them.
//!
//! Owns the running program and the reading of its summary.

use std::collections::BTreeMap;
use std::process::Child;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// How the offers were answered.
#[derive(Debug, Clone, Deserialize)]
pub struct Answers {
    /// Offers made.
    pub sent: usize,
    /// Those that would have been stored.
    pub taken: usize,
    /// Those that would not, by what was said.
    pub refused: BTreeMap<String, usize>,
    /// Those that were not answered, by what was said.
    pub failed: BTreeMap<String, usize>,
}

/// Offers under way.
#[derive(Debug)]
pub struct Offers(Child);

impl Offers {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    /// Waits for the last answer.
    pub fn finish(self) -> Result<Answers> {
        let output = self.0.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the offers broke off: {errors}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
