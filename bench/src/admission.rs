//! How long the webhook takes to answer, and what memory it needs, in a cluster of 10,000 Egresses and 100 pools.
//!
//! Owns the run as a whole. The webhook is the real one, down to its watches and its TLS; only the API server is made up
//! ([`api`]). Never asserts anything about a time.
//!
//! Start reading at [`measure`]: it asks each [`question`] in two [`world`]s, as an [`asker`] inside the process or outside;
//! [`page`] and [`plot`] tell what was found.

pub mod api;
pub mod asker;
pub mod measure;
pub mod memory;
pub mod page;
pub mod plot;
pub mod question;
pub mod subject;
pub mod world;

use clap::Parser;

use self::measure::measure;
use self::memory::Memory;
use self::page::{Findings, PLOT};
use self::world::World;
use crate::machine::Machine;
use crate::publication;

/// Measures how long the webhook takes to answer with 10,000 Egresses and 100 pools, against 10 Egresses and 1 pool in
/// the same run, and its memory. Tables go to standard output.
#[derive(Debug, Clone, Parser)]
#[command(name = "admission")]
pub struct Args {
    /// Answers to each question in each cluster.
    #[arg(long, default_value_t = 5000)]
    pub answers: usize,
    /// Write docs/benchmarks/admission.md and its plot too.
    #[arg(long)]
    pub write: bool,
    /// Only measure the memory of this process with so many Egresses and pools.
    #[arg(long, hide = true)]
    pub resident: Option<World>,
}

/// Measures, and tells.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(world) = args.resident {
        let memory = Memory::of_this_process(world).await?;
        println!("{}", serde_json::to_string(&memory)?);
        return Ok(());
    }
    let machine = Machine::this();
    let mut memory = Vec::new();
    for world in [World::EMPTY, World::SMALL, World::LARGE] {
        memory.push((world, Memory::of(world).await?));
    }
    let findings = Findings {
        machine,
        figures: measure(args.answers).await?,
        memory,
    };
    print!("{}", findings.tables());
    if args.write {
        publication::write("admission.md", &findings.to_string())?;
        publication::write(PLOT, &plot::drawn(&findings.figures)?)?;
    }
    Ok(())
}
