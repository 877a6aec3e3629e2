//! `hack/bench admission`.

use clap::Parser;
use egret_bench::admission::{Args, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(&Args::parse()).await
}
