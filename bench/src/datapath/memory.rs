//! The memory of an agent's index, and of what stands in the kernel for it.
//!
//! Owns its measurement, in a process of its own for each role, so that nothing is counted that is only there to
//! measure. Never measures time.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::netns::{Netns, shell};
use super::world::{GATEWAY, SOURCE, World};
use crate::machine::Resident;

/// Egresses that the agent knows.
pub const EGRESSES: usize = 1_000;
/// Pods of its node, each selected by another Egress.
pub const PODS: usize = 110;

/// Which node the agent is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// One that holds no egress IP.
    Source,
    /// The one that holds all of them.
    Gateway,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Source => SOURCE,
            Self::Gateway => GATEWAY,
        }
    }

    fn address(self, world: World) -> Ipv4Addr {
        match self {
            Self::Source => world.source(),
            Self::Gateway => world.gateway(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "holds no egress IP",
            Self::Gateway => "holds all egress IPs",
        })
    }
}

/// What is in RAM, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Of the process before there is an agent in it.
    pub empty_kib: u64,
    /// With all that it was told standing in the kernel.
    pub filled_kib: u64,
    /// At its height.
    pub most_kib: u64,
    /// What the kernel's own memory has grown by meanwhile, on the whole machine.
    pub kernel_kib: u64,
}

impl Memory {
    /// Measures this process, which has to be new.
    pub fn of_this_process(role: Role) -> anyhow::Result<Self> {
        let world = World {
            number: 1,
            count: EGRESSES,
            pods: PODS,
        };
        let node = node(role, world)?;
        let (empty, kernel) = (Resident::read()?, kernel_kib()?);
        let facts = world.surroundings().into_iter();
        let facts = facts.chain(world.source_pods()).chain(world.egresses());
        let facts: Vec<_> = facts.collect();
        let address = role.address(world);
        let _agent = Agent::start(&node, role.name(), address, &facts)?;
        let filled = Resident::read()?;
        Ok(Self {
            empty_kib: empty.now_kib,
            filled_kib: filled.now_kib,
            most_kib: filled.most_kib,
            kernel_kib: kernel_kib()?.saturating_sub(kernel),
        })
    }

    /// Measures a new process.
    pub fn of(role: Role) -> anyhow::Result<Self> {
        eprintln!("datapath: memory of an agent that {role}");
        let output = Command::new(std::env::current_exe()?)
            .args(["--resident", role.name()])
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            output.status.success(),
            "the process that was measured failed"
        );
        serde_json::from_slice(&output.stdout).context("what the process has measured")
    }
}

/// A node that is connected to nobody.
fn node(role: Role, world: World) -> anyhow::Result<Netns> {
    let name = format!("memory-{}", role.name());
    let node = Netns::new(&name)?;
    let address = role.address(world);
    shell(&format!(
        "ip -n {name} link add eth0 type veth peer name wire; ip -n {name} link set wire up; \
         ip -n {name} addr add {address}/16 dev eth0; ip -n {name} link set eth0 up"
    ))?;
    Ok(node)
}

/// What `slab` and tables for each processor take.
fn kernel_kib() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let mut lines = text.lines();
        let rest = lines.find_map(|line| line.strip_prefix(name));
        let number = rest.and_then(|rest| rest.split_whitespace().next());
        let number = number.with_context(|| format!("no {name} in /proc/meminfo"))?;
        Ok(number.parse()?)
    };
    Ok(field("Slab:")? + field("Percpu:")?)
}
