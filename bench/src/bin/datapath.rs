//! `hack/bench datapath`.

use clap::Parser;
use egret_bench::datapath::{Args, isolation, run};

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    isolation::enter()?;
    run(&args)
}
