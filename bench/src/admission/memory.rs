//! The webhook's memory.
//!
//! Owns its measurement, in a process of its own for each world, so that nothing is counted that is only there to
//! measure. The baseline is the same process without Egresses and pools. Never measures time.

use std::process::Stdio;
use std::str::FromStr;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::asker::Asker;
use super::question::Question;
use super::subject::Subject;
use super::world::World;
use crate::machine::Resident;

/// How often each variant of each question is asked before the last look.
const ROUNDS: usize = 10;

/// What is in RAM of a process with a webhook, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Before there is a webhook in it.
    pub empty_kib: u64,
    /// With all that the lists had.
    pub filled_kib: u64,
    /// After some thousand questions.
    pub asked_kib: u64,
    /// At its height, while the lists were read.
    pub most_kib: u64,
}

/// On the command line: `10000x100`.
impl FromStr for World {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (egresses, pools) = text.split_once('x').context("not EGRESSESxPOOLS")?;
        Ok(Self {
            egresses: egresses.parse()?,
            pools: pools.parse()?,
        })
    }
}

impl Memory {
    /// Measures this process, which has to be new.
    pub async fn of_this_process(world: World) -> anyhow::Result<Self> {
        let empty = Resident::read()?;
        let subject = Subject::of(world).await?;
        let filled = Resident::read()?;
        if world.egresses > 0 {
            ask(&subject, world).await?;
        }
        Ok(Self {
            empty_kib: empty.now_kib,
            filled_kib: filled.now_kib,
            asked_kib: Resident::read()?.now_kib,
            most_kib: filled.most_kib,
        })
    }

    /// Measures a new process.
    pub async fn of(world: World) -> anyhow::Result<Self> {
        let World { egresses, pools } = world;
        eprintln!("admission: memory with {world}");
        let output = Command::new(std::env::current_exe()?)
            .arg(format!("--resident={egresses}x{pools}"))
            .stderr(Stdio::inherit())
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "the process that was measured failed"
        );
        serde_json::from_slice(&output.stdout).context("what the process has measured")
    }
}

async fn ask(subject: &Subject, world: World) -> anyhow::Result<()> {
    let mut asker = Asker::Inside(subject.router.clone());
    for question in Question::ALL {
        for prepared in question.prepared(world)? {
            for _ in 0..ROUNDS {
                let (_, answer) = asker.ask(&prepared).await?;
                prepared.check(&answer)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_is_named_by_its_numbers() {
        assert_eq!("10000x100".parse::<World>().unwrap(), World::LARGE);
        assert!("10000".parse::<World>().is_err());
    }
}
