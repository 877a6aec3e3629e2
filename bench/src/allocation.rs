//! How long the operator takes for 10,000 Egresses over 50 pools and 1,000 nodes, and what one change costs it then.
//!
//! Owns the run as a whole. Everything is real but the nodes, which are objects only: etcd, kube-apiserver and the
//! operator as it is released. No agent runs, so nobody holds what is allocated. Never asserts anything about a time.
//!
//! Start reading at [`measure`]: it fills a [`cluster`] with the objects of a [`world`], [`follow`]s what the [`operator`]
//! makes of them, and changes something; [`page`] and [`plot`] tell what was found.

pub mod cluster;
pub mod follow;
pub mod measure;
pub mod operator;
pub mod page;
pub mod plot;
pub mod world;

use std::path::PathBuf;

use clap::Parser;

use self::measure::{Figures, measure};
use self::page::{Findings, PLOT};
use self::world::World;
use crate::machine::Machine;
use crate::publication;

/// Measures how long the operator takes to allocate 10,000 Egresses over 50 pools and 1,000 nodes, and what one more
/// Egress and one node less cost then, against 100 and 1,000 Egresses in the same run. Tables go to standard output.
#[derive(Debug, Clone, Parser)]
#[command(name = "allocation")]
pub struct Args {
    /// The operator's program.
    #[arg(long, env = "EGRET_OPERATOR", value_name = "FILE")]
    pub operator: PathBuf,
    /// The folder with etcd and kube-apiserver.
    #[arg(long, env = "KUBEBUILDER_ASSETS", value_name = "FOLDER")]
    pub assets: PathBuf,
    /// Changes of each kind.
    #[arg(long, default_value_t = 50)]
    pub changes: usize,
    /// Write docs/benchmarks/allocation.md and its plot too.
    #[arg(long)]
    pub write: bool,
}

/// Measures, and tells.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let machine = Machine::this();
    let mut figures: Vec<Figures> = Vec::new();
    for world in World::ALL {
        figures.push(measure(args, world).await?);
    }
    let findings = Findings { machine, figures };
    print!("{}", findings.tables());
    if args.write {
        let picture = plot::drawn(&findings.figures)?;
        publication::write("allocation.md", &findings.to_string())?;
        publication::write(PLOT, &picture)?;
    }
    Ok(())
}
