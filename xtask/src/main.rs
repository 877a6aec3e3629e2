//! `cargo xtask`: the chores on the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use egret_xtask::{generate, root, stats, tidy, tree};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write the definitions of Egret's kinds to config/crd.
    Generate {
        /// Write nothing; fail if a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Check the rules about the code that no compiler checks.
    Tidy,
    /// Measure the code without its tests.
    Stats,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes and without a backtrace: it is for whoever runs the chore.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let root = root();
    match Arguments::parse().chore {
        Chore::Generate { check: false } => generate::write(&generate::folder())?,
        Chore::Generate { check: true } => generate::check(&generate::folder())?,
        Chore::Tidy => tidy::check(&root)?,
        Chore::Stats => print!("{}", stats::report(&tree::read(&root)?)),
    }
    Ok(())
}
