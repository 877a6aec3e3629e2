//! A network namespace.
//!
//! Owns how something is done in there. Never knows what a node is.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

/// A named network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns(String);

impl Netns {
    /// Makes one.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        shell(&format!("ip netns add {name}; ip -n {name} link set lo up"))?;
        Ok(Self(name.to_owned()))
    }

    /// One that was made before.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.0)
    }

    /// Runs commands of a shell in here.
    pub fn run(&self, script: &str) -> anyhow::Result<()> {
        self.feed(&["sh", "-ec", script], "")
    }

    /// Runs a program in here that reads `input`.
    pub fn feed(&self, command: &[&str], input: &str) -> anyhow::Result<()> {
        let net = format!("--net={}", self.path());
        output(
            Command::new("nsenter")
                .args([net.as_str(), "--"])
                .args(command),
            input,
        )
    }

    /// Does something in here, on a thread of its own. A socket that is opened there stays there.
    pub fn enter<T: Send>(
        &self,
        what: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let there = || {
            let file = File::open(self.path()).with_context(|| self.path())?;
            setns(file, CloneFlags::CLONE_NEWNET)?;
            what()
        };
        let done = thread::scope(|scope| scope.spawn(there).join());
        done.map_err(|_| anyhow!("a thread in {} panicked", self.0))?
    }
}

/// Runs commands of a shell.
pub fn shell(script: &str) -> anyhow::Result<()> {
    output(Command::new("sh").args(["-ec", script]), "")
}

fn output(command: &mut Command, input: &str) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read all says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let result = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&result.stderr);
    ensure!(result.status.success(), "{command:?}: {}", errors.trim());
    Ok(())
}
