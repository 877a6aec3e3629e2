//! Objects that are offered to the API server, to see what it says of them.
//!
//! Owns the three things that a user gets to see: whether an object is taken, as what, and which words come with it.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Lab, start};
use crate::offers::Offers;

/// What kubectl says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whether the object is taken.
    pub is_taken: bool,
    /// The object as it would be stored; null if it is not taken.
    pub object: Value,
    /// Errors and warnings.
    pub words: String,
}

impl Answer {
    /// The warnings among the words.
    pub fn warnings(&self) -> Vec<&str> {
        let lines = self.words.lines();
        lines
            .filter_map(|line| line.strip_prefix("Warning: "))
            .collect()
    }
}

impl Lab {
    /// Applies one object without storing it.
    pub fn offer(&self, manifest: &str) -> Result<Answer> {
        let args = ["apply", "--dry-run=server", "-o", "json", "-f", "-"];
        self.tell(&args, manifest)
    }

    /// Begins to offer an Egress, in JSON, so many times per second.
    pub fn offers(&self, egress: &Value, rate: u32, seconds: u32) -> Result<Offers> {
        let (rate, seconds) = (rate.to_string(), seconds.to_string());
        let args = ["offer", "--rate", &rate, "--seconds", &seconds];
        let mut child = start(self.command(&args))?;
        let mut stdin = child.stdin.take().context("it takes no Egress")?;
        stdin.write_all(egress.to_string().as_bytes())?;
        Ok(Offers::new(child))
    }

    /// Deletes one object without doing it.
    pub fn offer_deletion(&self, kind: &str, name: &str) -> Result<Answer> {
        self.tell(&["delete", "--dry-run=server", kind, name], "")
    }

    /// Runs kubectl for all that it says.
    pub fn tell(&self, args: &[&str], input: &str) -> Result<Answer> {
        let output = self.give(&[&["kubectl"], args].concat(), input)?;
        Ok(Answer {
            is_taken: output.status.success(),
            object: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            words: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
