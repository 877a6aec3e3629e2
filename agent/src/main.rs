//! `egret-agent`.

use std::process::ExitCode;

use clap::Parser;
use egret_agent::args::Args;

fn main() -> ExitCode {
    egret_agent::run::run(Args::parse())
}
