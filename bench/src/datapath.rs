//! What Egret costs a packet, and what a change of the datapath costs an agent, with up to 10,000 Egresses.
//!
//! Owns the run as a whole. Nodes, Pods and the external host are network namespaces; the kernel is the real one, and what
//! stands in it is made by the agent's own code: `egret_domain::node::Index` decides, `egret_agent::kernel` commits. Only the
//! API server is missing. Each figure stands beside one of a node without Egret that was taken in the same round, and none
//! counts if the external host has seen another address than it should. Never asserts anything about a time.
//!
//! Start reading at [`measure`]: it takes samples of [`traffic`] on every [`path`] that a [`network`] has; [`update`] has an
//! [`agent`] take in facts of a [`world`]; [`page`] and [`plot`] tell what was found.

pub mod agent;
pub mod isolation;
pub mod measure;
pub mod memory;
pub mod netns;
pub mod network;
pub mod page;
pub mod path;
pub mod peers;
pub mod plot;
pub mod traffic;
pub mod update;
pub mod world;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use self::measure::measure;
use self::memory::{Memory, Role};
use self::network::Network;
use self::page::{Findings, PLOT};
use self::path::Path;
use crate::machine::Machine;
use crate::publication;

/// How many Egresses and Pods there are, by turns.
pub const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];
/// How many policies, as iptables rules.
const PEERS: [usize; 2] = [1, 1_000];

/// Measures what Egret costs a packet with 1 to 10,000 Egresses, against bare VXLAN, a node without Egret, and a rule per
/// policy, and what a change costs an agent. Tables go to standard output.
#[derive(Debug, Clone, Parser)]
#[command(name = "datapath")]
pub struct Args {
    /// How often each figure is taken.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long one sample takes, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    pub sample_ms: u64,
    /// Three rounds of samples of 300 ms: shows that all works, and little else.
    #[arg(long, conflicts_with_all = ["rounds", "sample_ms", "write"])]
    pub quick: bool,
    /// Leave out iptables and ipset, where there is no ipset.
    #[arg(long)]
    pub without_peers: bool,
    /// The agent's program, of which the size is told.
    #[arg(long, env = "EGRET_AGENT", value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Write docs/benchmarks/datapath.md and its plot too.
    #[arg(long)]
    pub write: bool,
    /// Only measure the memory of this process with an agent in this role.
    #[arg(long, hide = true)]
    pub resident: Option<Role>,
}

impl Args {
    fn rounds(&self) -> u32 {
        if self.quick { 3 } else { self.rounds }
    }

    fn sample(&self) -> Duration {
        Duration::from_millis(if self.quick { 300 } else { self.sample_ms })
    }

    /// All that is measured.
    fn paths(&self) -> Vec<Path> {
        let peers = PEERS.iter().filter(|_| !self.without_peers);
        [Path::Bare, Path::Tracked, Path::Node]
            .into_iter()
            .chain(peers.copied().map(Path::Peers))
            .chain(SIZES.map(Path::Selected))
            .chain(SIZES.map(Path::Unselected))
            .collect()
    }
}

/// Measures, and tells. This process has to be in namespaces of its own ([`isolation::enter`]).
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(role) = args.resident {
        println!(
            "{}",
            serde_json::to_string(&Memory::of_this_process(role)?)?
        );
        return Ok(());
    }
    let machine = Machine::this();
    let memory = [Role::Source, Role::Gateway]
        .into_iter()
        .map(|role| Ok((role, Memory::of(role)?)))
        .collect::<anyhow::Result<_>>()?;
    isolation::stay_on_one_processor()?;
    let mut network = Network::new(&args.paths())?;
    let lines = measure(&network, args.rounds(), args.sample())?;
    let updates = update::measure(&mut network, args.rounds())?;
    let findings = Findings {
        machine,
        rounds: args.rounds(),
        sample: args.sample(),
        lines,
        updates,
        memory,
        program_bytes: args.agent.as_ref().map(size).transpose()?,
    };
    print!("{}", findings.tables());
    if args.write {
        publication::write("datapath.md", &findings.to_string())?;
        publication::write(PLOT, &plot::drawn(&findings.lines)?)?;
    }
    Ok(())
}

fn size(program: &PathBuf) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(program)?.len())
}
