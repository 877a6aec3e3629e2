//! What to do next with the gossip's keys.
//!
//! Owns the order in which a key comes and goes, so that at no time two agents do not hear each other, however late
//! either reads the Secret: a new key is accepted by all before anybody seals with it, and the old one until nobody does.
//! A function of what was read and of the time: never reads a clock, and makes no key.

use std::cmp::min;

use egret_crds::keyring::{Key, Keyring};
use jiff::{SignedDuration, Timestamp};

use super::plan::Agents;

/// Agents that have not reported a change by then are taken to be gone for good; what they miss they read when they start.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// The keys as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// They.
    pub ring: Keyring,
    /// Since when they are these.
    pub since: Timestamp,
}

/// A change of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The first key.
    Make,
    /// A new key is accepted from now on.
    Introduce,
    /// It is sealed with from now on.
    Promote,
    /// The one before it is no longer accepted.
    Retire,
}

/// What to do about the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Change them. Agents that were waited for in vain are told.
    Change(Change, Vec<String>),
    /// Find out what the agents know.
    Ask,
    /// Nothing before then.
    Rest(Timestamp),
}

/// What to do about the keys, each of which is to be the primary one for about that long.
pub fn turn(
    now: Timestamp,
    lifetime: SignedDuration,
    kept: &Kept,
    agents: Option<&Agents>,
) -> Turn {
    let Kept { ring, since } = kept;
    let Keyring {
        primary,
        next,
        former,
    } = ring;
    let (change, is_told) = match (former, next) {
        // As soon as everybody seals with the new one.
        (Some(_), _) => (Change::Retire, first_is(primary)),
        // As soon as everybody accepts it.
        (None, Some(next)) => (Change::Promote, known_is(next)),
        (None, None) => {
            let due = later(*since, lifetime);
            return if due <= now {
                Turn::Change(Change::Introduce, Vec::new())
            } else {
                Turn::Rest(due)
            };
        }
    };
    let Some(agents) = agents.filter(|agents| agents.is_fresh(now)) else {
        return Turn::Ask;
    };
    let behind = agents.awaited(|agent| is_told(&agent.keys));
    let given_up_at = later(*since, min(LONGEST_WAIT, lifetime / 4));
    if behind.is_empty() || given_up_at <= now {
        Turn::Change(change, behind)
    } else {
        Turn::Rest(min(given_up_at, agents.stale_at()))
    }
}

type Told = Box<dyn Fn(&[String]) -> bool>;

fn first_is(key: &Key) -> Told {
    let digest = key.digest();
    Box::new(move |keys| keys.first() == Some(&digest))
}

fn known_is(key: &Key) -> Told {
    let digest = key.digest();
    Box::new(move |keys| keys.contains(&digest))
}

/// So much later; never, where no calendar has that time.
pub(super) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The keys after a change, which takes a new key if it needs one.
pub fn changed<E>(
    ring: Option<Keyring>,
    change: Change,
    fresh: impl FnOnce() -> Result<Key, E>,
) -> Result<Keyring, E> {
    let Some(ring) = ring else {
        return Ok(Keyring::of(fresh()?));
    };
    Ok(match (change, ring.next.clone()) {
        (Change::Make, _) => Keyring::of(fresh()?),
        (Change::Introduce, _) => Keyring {
            next: Some(fresh()?),
            ..ring
        },
        (Change::Promote, Some(next)) => Keyring {
            primary: next,
            next: None,
            former: Some(ring.primary),
        },
        (Change::Promote, None) => ring,
        (Change::Retire, _) => Keyring {
            former: None,
            ..ring
        },
    })
}

#[cfg(test)]
mod tests;
