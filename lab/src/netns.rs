//! Commands of the system (`ip`, `nft`, `sysctl`, iptables) in one of the lab's network namespaces.
//!
//! Owns how such a command is started and how its failure is told, and sockets that live there. Decides nothing:
//! callers bring finished batches. `ip` and `nft` get their input as one batch, so that one process does it all.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;

use nix::sched::{CloneFlags, setns};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::process::Command;

/// Where `ip netns` keeps its names; the lab has a private /run.
pub const FOLDER: &str = "/run/netns";

/// A network namespace of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Netns {
    /// Where the bridge and the API server are.
    Root,
    /// One made with `ip netns add`.
    Named(String),
}

/// A command of the system that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("{program} could not be started: {source}; is it installed?")]
    Start {
        /// Which program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ran and failed.
    #[error("{command} failed: {stderr}")]
    Failed {
        /// The command line, without its input.
        command: String,
        /// What it said.
        stderr: String,
    },
}

impl Netns {
    /// The command line prefix that enters this namespace.
    pub fn entry(&self) -> Vec<OsString> {
        match self {
            Self::Root => Vec::new(),
            Self::Named(name) => {
                vec![
                    "nsenter".into(),
                    format!("--net={FOLDER}/{name}").into(),
                    "--".into(),
                ]
            }
        }
    }

    /// Whether `ip netns` knows this namespace.
    pub fn exists(&self) -> bool {
        match self {
            Self::Root => true,
            Self::Named(name) => Path::new(FOLDER).join(name).exists(),
        }
    }

    /// A socket to an address that lives here: it is made by a thread that enters this namespace and ends there.
    pub async fn socket(&self, to: IpAddr) -> io::Result<TcpSocket> {
        let socket = move || {
            if to.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }
        };
        let Self::Named(name) = self else {
            return socket();
        };
        let path = Path::new(FOLDER).join(name);
        let enter = move || {
            setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
            socket()
        };
        let made = tokio::task::spawn_blocking(|| std::thread::spawn(enter).join()).await;
        made.map_err(io::Error::other)?
            .map_err(|_| io::Error::other("the thread that makes it panicked"))?
    }

    /// Runs `ip -batch` with these lines; the first that fails ends it.
    pub async fn ip(&self, lines: &str) -> Result<(), CommandError> {
        self.ip_with(&[], lines).await
    }

    /// Runs `ip -batch` with these lines; all are tried, for what may be gone already.
    pub async fn ip_best_effort(&self, lines: &str) {
        // What is already gone is what was wanted; anything else shows when it is made again.
        let _ = self.ip_with(&["-force"], lines).await;
    }

    async fn ip_with(&self, options: &[&str], lines: &str) -> Result<(), CommandError> {
        let mut args: Vec<&str> = Vec::new();
        if let Self::Named(name) = self {
            args.extend(["-n", name]);
        }
        args.extend(options);
        args.extend(["-batch", "-"]);
        Self::Root.run("ip", &args, lines).await
    }

    /// Runs `nft` with this script as one transaction.
    pub async fn nft(&self, script: &str) -> Result<(), CommandError> {
        self.run("nft", &["-f", "-"], script).await
    }

    /// Sets kernel parameters, each as `name=value`.
    pub async fn sysctl(&self, settings: &[&str]) -> Result<(), CommandError> {
        let args: Vec<&str> = ["-qw"].iter().chain(settings).copied().collect();
        self.run("sysctl", &args, "").await
    }

    /// Runs a program here with `input` on its standard input.
    pub async fn run(&self, program: &str, args: &[&str], input: &str) -> Result<(), CommandError> {
        let mut line = self.entry();
        line.push(program.into());
        line.extend(args.iter().map(OsString::from));
        let output = output_of(&line, input)
            .await
            .map_err(|source| CommandError::Start {
                program: program.to_owned(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(CommandError::Failed {
            command: format!("{program} {}", args.join(" ")),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

async fn output_of(line: &[OsString], input: &str) -> std::io::Result<std::process::Output> {
    let (program, args) = line.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read all says why on its standard error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}
