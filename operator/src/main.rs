//! `egret-operator`.

use std::process::ExitCode;

use clap::Parser;
use egret_operator::args::Args;

fn main() -> ExitCode {
    egret_operator::run::run(&Args::parse())
}
