//! One lab: a cluster of its own for one test or one demonstration.
//!
//! Owns its life, and the form of every command that is given to it: each is one that a person can give with
//! `hack/lab`. Never waits for anything but the command's end.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::binaries::{Binaries, binaries, root};
use crate::object::EgressNode;
use crate::patience::wait_until;

mod fault;
mod object;
mod offer;
mod replica;
mod traffic;

pub use offer::Answer;
pub use traffic::PodSpec;

/// No single command takes longer than this; one that does is ended. The lab gives up sooner, and says why.
const COMMAND_LIMIT_S: &str = "240";

/// A running lab. It ends with this value, unless it is kept.
#[derive(Debug)]
pub struct Lab {
    name: String,
    nodes: u8,
    binaries: &'static Binaries,
    is_kept: bool,
}

impl Lab {
    /// Starts a lab, tests in it, ends it. When the test fails, what the lab says about it goes to standard error.
    pub fn run(nodes: u8, test: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        Self::run_with(nodes, |_| (), test)
    }

    /// The same with addresses of these families: `ipv6`, or `dual`.
    pub fn run_in(families: &str, nodes: u8, test: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let of_families = |up: &mut Command| {
            up.args(["--family", families]);
        };
        Self::run_with(nodes, of_families, test)
    }

    /// The same where nothing keeps a wrong object from being stored.
    pub fn run_without_webhook(nodes: u8, test: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let without = |up: &mut Command| {
            up.arg("--without-webhook");
        };
        Self::run_with(nodes, without, test)
    }

    /// The same where the webhook's certificates live as short as they can: half a minute.
    pub fn run_with_short_certificates(
        nodes: u8,
        test: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let short = |up: &mut Command| {
            up.env("EGRET_CERTIFICATE_LIFETIME", "30s");
        };
        Self::run_with(nodes, short, test)
    }

    fn run_with(
        nodes: u8,
        prepare: impl FnOnce(&mut Command),
        test: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("e2e-{}-{number}", std::process::id());
        let lab = Self::up(&name, nodes, prepare, Stdio::piped())?;
        let result = lab.wait_until_ready().and_then(|()| test(&lab));
        if let Err(error) = &result {
            eprintln!("--- {name}: {error:#}");
            lab.tell_what_is_so();
        }
        result
    }

    /// Starts a lab of this name (lower-case letters, digits, dashes) with nodes `node-1` to `node-N`, all ready. Its
    /// progress goes to standard error.
    pub fn start(name: &str, nodes: u8) -> Result<Self> {
        let lab = Self::up(name, nodes, |_| (), Stdio::inherit())?;
        lab.wait_until_ready()?;
        Ok(lab)
    }

    fn up(
        name: &str,
        nodes: u8,
        prepare: impl FnOnce(&mut Command),
        progress: Stdio,
    ) -> Result<Self> {
        let mut lab = Self {
            name: name.to_owned(),
            nodes,
            binaries: binaries()?,
            is_kept: true,
        };
        let args = ["up", "--nodes", &nodes.to_string()];
        // One of this name that is up already is somebody else's, and is not ended when this fails.
        let mut command = lab.limited(&args);
        command.stderr(progress);
        prepare(&mut command);
        said(&args, start(command)?.wait_with_output()?)?;
        lab.is_kept = false;
        Ok(lab)
    }

    /// Waits until every node's report on itself says that it is ready.
    pub fn wait_until_ready(&self) -> Result<()> {
        let look = || self.list::<EgressNode>("egressnodes");
        let all = |seen: &Vec<EgressNode>| {
            seen.len() == usize::from(self.nodes) && seen.iter().all(EgressNode::is_ready)
        };
        wait_until("all nodes are ready", look, all).map(drop)
    }

    /// Leaves the lab running when this value ends.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// The nodes' names.
    pub fn nodes(&self) -> Vec<String> {
        (1..=self.nodes)
            .map(|number| format!("node-{number}"))
            .collect()
    }

    /// The first node that is none of these.
    pub fn node_except(&self, others: &[&str]) -> Result<String> {
        let mut nodes = self.nodes().into_iter();
        nodes
            .find(|node| !others.contains(&node.as_str()))
            .context("there is no other node")
    }

    /// Runs a command of the lab; its standard output, or what it says on standard error as an error.
    pub fn ask(&self, args: &[&str]) -> Result<String> {
        self.ask_with(args, "")
    }

    /// The same with something on standard input.
    pub fn ask_with(&self, args: &[&str], input: &str) -> Result<String> {
        said(args, self.give(args, input)?)
    }

    /// Runs a command of the lab to its end, whatever that is.
    fn give(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut child = start(self.limited(args))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends early says itself why.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }

    /// A command of the lab that is ended when it takes too long.
    fn limited(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", COMMAND_LIMIT_S])
            .arg(&self.binaries.lab)
            .args(args);
        self.about_this_lab(command)
    }

    /// A command of the lab.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binaries.lab);
        command.args(args);
        self.about_this_lab(command)
    }

    fn about_this_lab(&self, mut command: Command) -> Command {
        command
            .current_dir(root())
            .env("EGRET_LAB", &self.name)
            .env("EGRET_LAB_CONFIG", &self.binaries.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(assets) = &self.binaries.assets {
            command.env("KUBEBUILDER_ASSETS", assets);
        }
        command
    }

    /// What a person would look at first; its own failures are part of it.
    fn tell_what_is_so(&self) {
        let mut looks: Vec<Vec<String>> = [
            "status",
            "kubectl get egress,externalippools,egressnodes -o wide",
            "kubectl get pods -A -o wide",
            "seen",
            "exec ext -- ss -tan",
            "logs operator",
            "logs webhook",
        ]
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .into();
        looks.extend(
            self.nodes()
                .iter()
                .map(|node| vec!["logs".into(), format!("agent/{node}")]),
        );
        for look in looks {
            let args: Vec<_> = look.iter().map(String::as_str).collect();
            let text = self.ask(&args).unwrap_or_else(|error| format!("{error:#}"));
            eprintln!(
                "--- {}: {}\n{}",
                self.name,
                args.join(" "),
                last_lines(&text)
            );
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell_what_is_so();
        }
        if self.is_kept {
            return;
        }
        if let Err(error) = self.ask(&["down"]) {
            eprintln!("lab {} was not ended: {error:#}", self.name);
        }
    }
}

fn start(mut command: Command) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .spawn()
        .with_context(|| format!("{name} could not be started"))
}

/// A command's standard output, or what it says on standard error as an error.
fn said(args: &[&str], output: Output) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!("hack/lab {}: {status}: {}", args.join(" "), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

const LINES: usize = 60;

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(LINES);
    lines
        .iter()
        .skip(first)
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}
