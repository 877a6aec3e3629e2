//! Chores of the repository: `cargo xtask generate` writes what is derived from the code.
//!
//! Owns no logic of its own beyond files; what is written comes from the crates that own it.
#![forbid(unsafe_code)]

mod generate;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Generate { check: false } => generate::write(&crd_folder())?,
        Chore::Generate { check: true } => generate::check(&crd_folder())?,
    }
    Ok(())
}

fn crd_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/crd")
}
