//! `hack/demo`: Egret at work, step by step, each with the command that a person would give and a check of its result.
//!
//! Owns the arguments, the lab's name and the exit code: 0 only if every check succeeded.

mod act;
mod cuts;
mod stage;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use egret_e2e::lab::Lab;

use crate::stage::Stage;

const NODES: u8 = 6;

/// Shows Egret in a cluster of six nodes on this machine: source IPs, failover, static IPs.
#[derive(Debug, Parser)]
#[command(name = "hack/demo")]
struct Args {
    /// Leave the lab running at the end.
    #[arg(long)]
    keep: bool,
    /// The lab's name.
    #[arg(long, env = "EGRET_LAB", default_value = "demo")]
    lab: String,
    /// Instead of the demonstration, cut the power of the gateway so many times and list each outage.
    #[arg(long, value_name = "COUNT", hide = true)]
    cuts: Option<u32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut stage = Stage::new();
    if let Err(error) = perform(&args, &mut stage) {
        stage.broke_off(&error);
    }
    stage.end()
}

fn perform(args: &Args, stage: &mut Stage) -> Result<()> {
    stage.title("A cluster of six nodes");
    stage.command(&["up", "--nodes", &NODES.to_string()]);
    let mut lab = stage.check("six nodes are ready", Lab::start(&args.lab, NODES))?;
    if args.keep {
        lab.keep();
        stage.note(&format!(
            "EGRET_LAB={} hack/lab … speaks to it; `down` ends it",
            args.lab
        ));
    }
    match args.cuts {
        Some(count) => cuts::perform(stage, &lab, count),
        None => act::all(stage, &lab),
    }
}
