//! An agent of one node: the real index and the real kernel side, without an API server.
//!
//! Owns the way of a fact through both, and what it costs. Never decides anything itself.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use egret_agent::kernel::Kernel;
use egret_agent::kernel::linux::Linux;
use egret_agent::kernel::settings::Settings;
use egret_domain::datapath::Commit;
use egret_domain::node::{Fact, Index};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::runtime::{Builder, Runtime};

use super::netns::Netns;

/// In a user namespace a socket's buffer cannot be raised above the machine's limit, and a transaction has to fit into it.
const FACTS_AT_ONCE: usize = 500;

/// What taking in some facts costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// From the facts until it stands in the kernel.
    pub wall: Duration,
    /// Of that, until it was decided what is to stand there.
    pub deciding: Duration,
    /// Processor time of this process, in the kernel too.
    pub own: Duration,
    /// Processor time of `nft`, in the kernel too.
    pub nft: Duration,
}

impl Cost {
    /// Processor time of both.
    pub fn processor(self) -> Duration {
        self.own + self.nft
    }
}

/// A node's agent.
#[derive(Debug)]
pub struct Agent {
    netns: Netns,
    index: Index,
    kernel: Linux,
    runtime: Runtime,
}

impl Agent {
    /// One that makes the frame stand and has been told nothing but these facts.
    pub fn start(
        netns: &Netns,
        name: &str,
        node: Ipv4Addr,
        facts: &[Fact],
    ) -> anyhow::Result<Self> {
        let (kernel, runtime) = netns.enter(|| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let kernel = runtime.block_on(async {
                let mut kernel = Linux::new(Settings::default(), node.into())?;
                kernel.repair().await?;
                anyhow::Ok(kernel)
            })?;
            Ok((kernel, runtime))
        })?;
        let mut agent = Self {
            netns: netns.clone(),
            index: Index::new(name.into(), kernel.families(), Vec::new()),
            kernel,
            runtime,
        };
        agent.index.complete();
        for facts in facts.chunks(FACTS_AT_ONCE) {
            agent.take(facts.to_vec())?;
        }
        Ok(agent)
    }

    /// Where its node is.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Takes in facts, as one batch, and has the kernel do what follows.
    pub fn take(&mut self, facts: Vec<Fact>) -> anyhow::Result<Cost> {
        let Self {
            netns,
            index,
            kernel,
            runtime,
        } = self;
        netns.enter(|| {
            let before = Used::now()?;
            let started = Instant::now();
            for fact in facts {
                index.apply(fact);
            }
            let commit = Commit::of(&index.take_changes());
            let deciding = started.elapsed();
            runtime.block_on(kernel.commit(&commit))?;
            let wall = started.elapsed();
            let after = Used::now()?;
            Ok(Cost {
                wall,
                deciding,
                own: after.own.saturating_sub(before.own),
                nft: after.children.saturating_sub(before.children),
            })
        })
    }
}

/// Processor time that was used until now.
struct Used {
    own: Duration,
    children: Duration,
}

impl Used {
    fn now() -> anyhow::Result<Self> {
        Ok(Self {
            own: processor(&getrusage(UsageWho::RUSAGE_SELF)?),
            children: processor(&getrusage(UsageWho::RUSAGE_CHILDREN)?),
        })
    }
}

fn processor(usage: &Usage) -> Duration {
    duration(usage.user_time()) + duration(usage.system_time())
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
