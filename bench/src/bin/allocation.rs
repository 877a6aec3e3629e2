//! `hack/bench allocation`.

use clap::Parser;
use egret_bench::allocation::{Args, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(&Args::parse()).await
}
