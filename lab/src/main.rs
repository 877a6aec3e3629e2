//! `egret-lab`: the lab's commands. `hack/lab` finds the binaries and runs this.
//!
//! Owns the arguments and the exit code: that of the command for `exec`, `kubectl` and `shell`.

mod arguments;
mod command;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    // An error means that a provider is there already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command::run(Arguments::parse()) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("egret-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
