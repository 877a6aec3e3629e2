//! `hack/chaos`: faults and edits at random for a while, then a look at what must be so.
//!
//! Owns the arguments and the exit code: 0 only if nothing is wrong in the end.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use egret_e2e::chaos::{NODES, run};
use egret_e2e::lab::Lab;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Kills and stops replicas of the operator, the API server, agents and nodes at random, while users edit Egresses and
/// pools; then heals everything and checks: no address twice, none outside its pool, usage exact, every Egress held by the
/// node that its status names or with a condition that is true.
#[derive(Debug, Parser)]
#[command(name = "hack/chaos")]
struct Args {
    /// How long things happen.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The seed of an earlier run, for the same events in the same order. It is printed at the start.
    #[arg(long)]
    seed: Option<u64>,
    /// The lab's name.
    #[arg(long, env = "EGRET_LAB", default_value = "chaos")]
    lab: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    eprintln!("chaos: --seed {seed}");
    let lab = Lab::start(&args.lab, NODES)?;
    let started = Instant::now();
    let mut random = StdRng::seed_from_u64(seed);
    let tell = |event: &_| eprintln!("{:6.1} s  {event:?}", started.elapsed().as_secs_f32());
    let summary = run(&lab, &mut random, Duration::from_mins(args.minutes), tell)?;
    println!(
        "ok: seed {seed}, {} events, {} of them refused or unheard, {} Egresses in the end, nothing wrong",
        summary.events, summary.refused, summary.egresses
    );
    Ok(())
}
