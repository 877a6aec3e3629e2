//! What may happen.
//!
//! Owns the choice: each event follows from chance alone, never from what the cluster says, so that a seed gives the same
//! events again.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::manifest::{egress, pods_with, pool};

/// The pools there are at the beginning; each may be deleted and made again.
pub const POOLS: [&str; 3] = ["red", "green", "blue"];
/// A pool that never exists.
const GHOST: &str = "ghost";
const EGRESSES: u32 = 40;
const OPERATORS: [&str; 2] = ["1", "2"];
const MACHINES: [&str; 4] = ["node-1", "node-2", "node-3", "node-4"];

/// The range of a pool, as its manifest has it: ten addresses, so that a pool is full now and then.
pub fn range_of(pool: &str) -> &'static str {
    match pool {
        "red" => "start: 10.10.5.1, end: 10.10.5.10",
        "green" => "start: 10.10.6.1, end: 10.10.6.10",
        _ => "start: 10.10.7.1, end: 10.10.7.10",
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A user gives a command to kubectl.
    User(Vec<String>),
    /// A user applies a manifest.
    Apply(String),
    /// A replica of the operator gets SIGKILL, and is started again.
    Kill(&'static str),
    /// A replica of the operator is stopped in the middle of whatever it does.
    Stop(&'static str),
    /// It goes on.
    Continue(&'static str),
    /// The API server ends.
    ApiDown,
    /// It is there again.
    ApiUp,
    /// A node loses its power.
    PowerOff(&'static str),
    /// It has it again.
    PowerOn,
    /// An agent gets SIGKILL, and is started again.
    KillAgent(&'static str),
}

impl Event {
    /// How long it is left alone.
    pub fn pause(&self) -> Duration {
        match self {
            Self::User(_) | Self::Apply(_) | Self::ApiUp => Duration::from_millis(100),
            Self::ApiDown | Self::Stop(_) => Duration::from_secs(2),
            _ => Duration::from_millis(700),
        }
    }
}

/// The next one.
pub fn next(random: &mut StdRng) -> Event {
    match random.random_range(0..100) {
        0..28 => Event::Apply(any_egress(random)),
        28..42 => user(&[
            "delete",
            "egress",
            &any_name(random),
            "--ignore-not-found",
            "--wait=false",
        ]),
        42..54 => patch(random),
        54..58 => user(&[
            "delete",
            "externalippool",
            any(&POOLS, random),
            "--ignore-not-found",
            "--wait=false",
        ]),
        58..66 => {
            let name = any(&POOLS, random);
            Event::Apply(pool(name, &[range_of(name)]))
        }
        66..73 => Event::Kill(any(&OPERATORS, random)),
        73..77 => Event::Stop(any(&OPERATORS, random)),
        77..83 => Event::Continue(any(&OPERATORS, random)),
        83..85 => Event::ApiDown,
        // Soon after: an edit that finds no API server tries little.
        85..93 => Event::ApiUp,
        93..95 => Event::PowerOff(any(&MACHINES, random)),
        95..97 => Event::PowerOn,
        _ => Event::KillAgent(any(&MACHINES, random)),
    }
}

fn any(names: &[&'static str], random: &mut StdRng) -> &'static str {
    names.choose(random).copied().unwrap_or_default()
}

fn any_name(random: &mut StdRng) -> String {
    format!("chaos-{}", random.random_range(0..EGRESSES))
}

/// Mostly of a pool, now and then with an address of the user's choice, which may be taken.
fn any_egress(random: &mut StdRng) -> String {
    let name = any_name(random);
    let (prefix, pool) = match any(&POOLS, random) {
        "red" => ("10.10.5", "red"),
        "green" => ("10.10.6", "green"),
        _ => ("10.10.7", "blue"),
    };
    let address = match random.random_range(0..4) {
        0 => format!(
            "externalIPPool: {pool}, egressIP: {prefix}.{}",
            random.random_range(1..11)
        ),
        _ => format!("externalIPPool: {pool}"),
    };
    egress(&name, &pods_with("chaos", &name), &address)
}

/// A change of pool or address, as `kubectl patch` makes it.
fn patch(random: &mut StdRng) -> Event {
    let spec = match random.random_range(0..4) {
        0 => format!("{{externalIPPool: {}}}", any(&POOLS, random)),
        1 => format!(
            "{{externalIPPool: {}, egressIP: null}}",
            any(&POOLS, random)
        ),
        2 => format!("{{externalIPPool: {GHOST}, egressIP: null}}"),
        _ => "{egressIP: null}".to_owned(),
    };
    user(&[
        "patch",
        "egress",
        &any_name(random),
        "--type=merge",
        "-p",
        &format!("spec: {spec}"),
    ])
}

fn user(args: &[&str]) -> Event {
    let words = std::iter::once(&"kubectl").chain(args);
    Event::User(words.map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn events(seed: u64) -> Vec<Event> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..500).map(|_| next(&mut random)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_events_again() {
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
    }

    #[test]
    fn everything_happens() {
        let all = events(1);
        let kinds: std::collections::HashSet<_> = all.iter().map(std::mem::discriminant).collect();
        assert_eq!(kinds.len(), 10);
    }
}
