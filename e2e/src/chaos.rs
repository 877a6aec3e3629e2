//! Faults and edits at random, and what must be so when they are over.
//!
//! Owns the run: which event comes when follows from the seed alone, so a run can be had again; what it meets depends on
//! timing. Never judges while something is broken on purpose.
//!
//! Start reading at [`run`]: [`event::next`] says what happens next, [`violations`](invariant::violations) what is wrong
//! in the end.

pub mod event;
pub mod invariant;

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;

use self::event::{Event, next};
use self::invariant::{Picture, violations};
use crate::lab::Lab;
use crate::manifest::pool;
use crate::patience::wait_until_within;

/// Nodes that a lab for chaos has.
pub const NODES: u8 = 4;
/// How long all may take to be as it should be once nothing is broken any more.
const SETTLING: Duration = Duration::from_mins(2);
/// What is so has to stay so.
const STAYS: Duration = Duration::from_secs(6);

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Events.
    pub events: usize,
    /// Commands of users that were refused or found no API server.
    pub refused: usize,
    /// Egresses at the end.
    pub egresses: usize,
}

/// Lets things happen for this long, heals everything, and fails if anything is then wrong. `tell` hears of each event.
pub fn run(
    lab: &Lab,
    random: &mut StdRng,
    duration: Duration,
    mut tell: impl FnMut(&Event),
) -> Result<Summary> {
    for name in event::POOLS {
        lab.apply(&pool(name, &[event::range_of(name)]))?;
    }
    let mut broken = Broken::default();
    let (mut events, mut refused) = (0, 0);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let event = next(random);
        tell(&event);
        events += 1;
        if broken.cause(lab, &event).is_err() {
            refused += 1;
        }
        sleep(event.pause());
    }
    broken.heal(lab)?;
    lab.wait_until_ready()?;
    let egresses = settled(lab)?;
    Ok(Summary {
        events,
        refused,
        egresses,
    })
}

/// Waits until nothing is wrong, and looks again after a while; how many Egresses there are.
fn settled(lab: &Lab) -> Result<usize> {
    let look = || Ok(violations(&Picture::of(lab)?));
    wait_until_within("all is as it should be", SETTLING, look, Vec::is_empty)?;
    sleep(STAYS);
    let picture = Picture::of(lab)?;
    let wrong = violations(&picture);
    if !wrong.is_empty() {
        bail!("all was as it should be, and did not stay so: {wrong:#?}");
    }
    Ok(picture.egresses.len())
}

/// What is broken at this moment.
#[derive(Debug, Default)]
struct Broken {
    is_api_down: bool,
    stopped: BTreeSet<&'static str>,
    off: BTreeSet<&'static str>,
}

impl Broken {
    /// Lets it happen, as far as it can: one node at most is without power, so that the others are a majority.
    fn cause(&mut self, lab: &Lab, event: &Event) -> Result<()> {
        match event {
            Event::User(words) => {
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                lab.ask(&words).map(drop)
            }
            Event::Apply(manifest) => lab.apply(manifest),
            Event::Kill(replica) => lab.ask(&["operator", "kill", replica]).map(drop),
            Event::Stop(replica) => {
                self.stopped.insert(replica);
                lab.ask(&["operator", "stop", replica]).map(drop)
            }
            Event::Continue(replica) if self.stopped.remove(replica) => {
                lab.ask(&["operator", "cont", replica]).map(drop)
            }
            Event::ApiDown if !self.is_api_down => {
                self.is_api_down = true;
                lab.stop_api()
            }
            Event::ApiUp if self.is_api_down => {
                self.is_api_down = false;
                lab.start_api()
            }
            Event::PowerOff(node) if self.off.is_empty() => {
                self.off.insert(node);
                lab.power_off(node)
            }
            Event::PowerOn => self.power_on(lab),
            Event::KillAgent(node) => lab.kill_agent(node),
            Event::Continue(_) | Event::ApiDown | Event::ApiUp | Event::PowerOff(_) => Ok(()),
        }
    }

    fn power_on(&mut self, lab: &Lab) -> Result<()> {
        let off = std::mem::take(&mut self.off);
        off.iter().try_for_each(|node| lab.power_on(node))
    }

    fn heal(mut self, lab: &Lab) -> Result<()> {
        if self.is_api_down {
            lab.start_api()?;
        }
        self.power_on(lab)?;
        for replica in &self.stopped {
            // One that was killed meanwhile, or was on a node that was off, is not stopped any more.
            let _ = lab.ask(&["operator", "cont", replica]);
        }
        Ok(())
    }
}
