//! `status` and `logs`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use egret_lab::control::{Control, Reply, Request, Status};
use egret_lab::home::Home;
use egret_lab::isolation::exit_code;
use egret_lab::kubelet::slot;
use egret_lab::process::State;

/// Prints nodes and processes.
pub(crate) fn status(home: &Home) -> Result<i32> {
    match Control::connect(home)?.ask(&Request::Status)? {
        Reply::Status(status) => {
            print!("{}", table(&status));
            Ok(0)
        }
        other => bail!("the lab's supervisor answered something else: {other:?}"),
    }
}

fn table(status: &Status) -> String {
    let nodes = status.nodes.iter().map(|node| {
        let power = if node.powered { "on" } else { "off" };
        format!(
            "{:<22} {:<14} {power:<6} {}\n",
            node.name.to_string(),
            node.addresses.to_string(),
            node.pods
        )
    });
    let processes = status
        .processes
        .iter()
        .map(|(name, state)| format!("{name:<22} {}\n", state.map_or_else(waiting, words)));
    let heads = [format!(
        "{:<22} {:<14} {:<6} PODS\n",
        "NODE", "ADDRESS", "POWER"
    )];
    let second = [format!("\n{:<22} STATE\n", "PROCESS")];
    heads
        .into_iter()
        .chain(nodes)
        .chain(second)
        .chain(processes)
        .collect()
}

fn waiting() -> String {
    "waiting".to_owned()
}

fn words(state: State) -> String {
    match state {
        State::Running(pid) => format!("running ({pid})"),
        State::Stopped(pid) => format!("stopped ({pid})"),
        State::BackingOff => "backing off".to_owned(),
        State::Down => "down".to_owned(),
    }
}

/// Prints a log, and what follows if wanted.
pub(crate) fn logs(home: &Home, process: &str, follow: bool) -> Result<i32> {
    let logs = logs_of(home, process);
    if logs.is_empty() && !is_known(home, process) {
        bail!("no log of {process:?} in this lab: `hack/lab status` lists its processes");
    }
    if follow {
        let status = Command::new("tail")
            .args(["-n", "+1", "-F"])
            .args(&logs)
            .status()?;
        return Ok(exit_code(status));
    }
    for log in logs {
        let text = fs::read(&log).with_context(|| log.display().to_string())?;
        std::io::stdout().write_all(&text)?;
    }
    Ok(0)
}

/// The logs there are of a process; of all its replicas if it has some and none is named.
fn logs_of(home: &Home, process: &str) -> Vec<PathBuf> {
    let one = home.log(process);
    if process.contains("..") {
        return Vec::new();
    }
    if one.is_file() {
        return vec![one];
    }
    let replicas = (1_u32..).map(|replica| home.log(&format!("{process}/{replica}")));
    replicas.take_while(|log| log.is_file()).collect()
}

/// Whether there is such a process, or will be, though it has said nothing yet.
fn is_known(home: &Home, process: &str) -> bool {
    let Ok(spec) = home.read_spec() else {
        return false;
    };
    let is_agent = |process: &str| spec.node_ids().any(|node| slot::of_agent(node) == process);
    spec.egret.is_some() && (["operator", "webhook"].contains(&process) || is_agent(process))
        || is_listed(home, process)
}

fn is_listed(home: &Home, process: &str) -> bool {
    let status = Control::connect(home).and_then(|control| control.ask(&Request::Status));
    match status {
        Ok(Reply::Status(status)) => status.processes.iter().any(|(name, _)| name == process),
        _ => false,
    }
}
