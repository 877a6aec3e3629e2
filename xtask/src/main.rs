//! `cargo xtask`: the chores on the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use egret_xtask::paint::Paint;
use egret_xtask::{generate, measure, root, stats, tidy, tree};

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
    /// Measure the code: how much there is, and where it is long.
    ///
    /// "lines" are all lines, with comments. A function's length is from its `fn` to its closing brace; "p90" is the length
    /// that nine of ten do not exceed. `self` is no parameter. Functions that macros make are not seen.
    ///
    /// Tests are `tests.rs`, what is below a folder `tests`, and what `#[cfg(test)]` stands before.
    ///
    /// On a terminal, what is beyond a limit is red. `cargo xtask tidy` holds the limits of single modules and functions,
    /// and those of median and p90 for all crates together (CONTRIBUTING.md, Size).
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
        Chore::Stats => {
            let files = tree::read(&root)?;
            let modules = measure::modules(&files)?;
            print!(
                "{}",
                stats::report(&modules, stats::packages(&files), Paint::of_stdout())
            );
        }
    }
    Ok(())
}
