//! `egret-webhook`.

use std::process::ExitCode;

use clap::Parser;
use egret_webhook::args::Args;

fn main() -> ExitCode {
    egret_webhook::run::run(&Args::parse())
}
