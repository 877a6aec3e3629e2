//! Keys come and go while agents tell which they know.

use super::super::plan::{ASK_EVERY, Agent, Version};
use super::*;

const LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn key(byte: u8) -> Key {
    Key::new([byte; 32])
}

fn kept(ring: Keyring) -> Kept {
    Kept { ring, since: at(0) }
}

fn agents(now: Timestamp, known: &[&[&Key]]) -> Agents {
    let reports = known.iter().zip(1..).map(|(keys, number)| Agent {
        node: format!("node-{number}"),
        keys: keys.iter().map(|key| key.digest()).collect(),
        is_clean: false,
        has_node: true,
        report: Version::default(),
    });
    Agents {
        asked_at: now,
        all: reports.collect(),
    }
}

fn introduced() -> Keyring {
    Keyring {
        next: Some(key(2)),
        ..Keyring::of(key(1))
    }
}

fn promoted() -> Keyring {
    Keyring {
        former: Some(key(1)),
        ..Keyring::of(key(2))
    }
}

#[test]
fn a_key_is_followed_by_another_when_it_has_had_its_time() {
    let kept = kept(Keyring::of(key(1)));
    let due = later(at(0), LIFETIME);
    assert_eq!(turn(at(1), LIFETIME, &kept, None), Turn::Rest(due));
    let turn = turn(due, LIFETIME, &kept, None);
    assert_eq!(turn, Turn::Change(Change::Introduce, Vec::new()));
}

#[test]
fn a_new_key_is_not_sealed_with_before_all_agents_accept_it() {
    let kept = kept(introduced());
    let (old, new) = (key(1), key(2));
    assert_eq!(turn(at(9), LIFETIME, &kept, None), Turn::Ask);
    let some = agents(at(9), &[&[&old, &new], &[&old]]);
    let again = later(at(9), ASK_EVERY);
    assert_eq!(turn(at(9), LIFETIME, &kept, Some(&some)), Turn::Rest(again));
    assert_eq!(turn(again, LIFETIME, &kept, Some(&some)), Turn::Ask);
    let all = agents(at(9), &[&[&old, &new], &[&old, &new]]);
    let turn = turn(at(9), LIFETIME, &kept, Some(&all));
    assert_eq!(turn, Turn::Change(Change::Promote, Vec::new()));
}

#[test]
fn an_old_key_is_accepted_until_all_agents_seal_with_the_new_one() {
    let kept = kept(promoted());
    let (old, new) = (key(1), key(2));
    // Knowing the new one is not enough: this agent still seals with the old one.
    let some = agents(at(9), &[&[&new, &old], &[&old, &new]]);
    assert!(matches!(
        turn(at(9), LIFETIME, &kept, Some(&some)),
        Turn::Rest(_)
    ));
    let all = agents(at(9), &[&[&new, &old], &[&new, &old]]);
    let turn = turn(at(9), LIFETIME, &kept, Some(&all));
    assert_eq!(turn, Turn::Change(Change::Retire, Vec::new()));
}

#[test]
fn a_dead_node_holds_a_key_up_for_an_hour_and_is_named_then() {
    let kept = kept(introduced());
    let hour = later(at(0), LONGEST_WAIT);
    let dead = |now| agents(now, &[&[&key(1), &key(2)], &[&key(1)]]);
    let before = later(hour, -SignedDuration::from_secs(1));
    let waiting = turn(before, LIFETIME, &kept, Some(&dead(before)));
    assert_eq!(waiting, Turn::Rest(hour));
    let done = turn(hour, LIFETIME, &kept, Some(&dead(hour)));
    assert_eq!(
        done,
        Turn::Change(Change::Promote, vec!["node-2".to_owned()])
    );
}

#[test]
fn a_report_of_a_node_that_is_gone_is_not_waited_for() {
    let kept = kept(introduced());
    let mut reports = agents(at(9), &[&[&key(1), &key(2)], &[&key(1)]]);
    reports.all[1].has_node = false;
    let turn = turn(at(9), LIFETIME, &kept, Some(&reports));
    assert_eq!(turn, Turn::Change(Change::Promote, Vec::new()));
}

/// A cluster in which every agent reads the Secret, and the operator every report, as late as they like.
struct Cluster {
    chance: u64,
    now: Timestamp,
    kept: Kept,
    /// What each agent has read.
    read: Vec<Keyring>,
    /// What each has reported.
    reported: Vec<Keyring>,
    keys: u8,
}

impl Cluster {
    fn random(&mut self, below: usize) -> usize {
        // xorshift64
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        usize::try_from(self.chance % u64::try_from(below).unwrap()).unwrap()
    }

    fn operate(&mut self) {
        let reports = self.reported.iter().zip(1..).map(|(ring, number)| Agent {
            node: format!("node-{number}"),
            keys: ring.digests(),
            is_clean: false,
            has_node: true,
            report: Version::default(),
        });
        let agents = Agents {
            asked_at: self.now,
            all: reports.collect(),
        };
        let Turn::Change(change, behind) = turn(self.now, LIFETIME, &self.kept, Some(&agents))
        else {
            return;
        };
        assert_eq!(behind, [""; 0]);
        self.keys += u8::from(change == Change::Introduce);
        let fresh = || Ok::<_, ()>(key(self.keys));
        let ring = changed(Some(self.kept.ring.clone()), change, fresh).unwrap();
        self.kept = Kept {
            ring,
            since: self.now,
        };
    }

    fn everybody_hears_everybody(&self) -> bool {
        let hears =
            |one: &Keyring, other: &Keyring| one.accepted().any(|key| *key == other.primary);
        let pairs = self
            .read
            .iter()
            .flat_map(|one| self.read.iter().map(move |other| (one, other)));
        pairs.into_iter().all(|(one, other)| hears(one, other))
    }
}

#[test]
fn whatever_is_late_no_two_agents_ever_fail_to_hear_each_other() {
    for seed in 1..=300 {
        let ring = Keyring::of(key(1));
        let mut cluster = Cluster {
            chance: seed,
            now: at(0),
            kept: kept(ring.clone()),
            read: vec![ring.clone(); 5],
            reported: vec![ring; 5],
            keys: 1,
        };
        for step in 0..400 {
            let agent = cluster.random(5);
            match cluster.random(4) {
                0 => cluster.read[agent] = cluster.kept.ring.clone(),
                1 => cluster.reported[agent] = cluster.read[agent].clone(),
                2 => cluster.operate(),
                // Time passes faster where nothing is waited for.
                _ => {
                    let is_waiting = cluster.kept.ring.digests().len() > 1;
                    let second = SignedDuration::from_secs(1);
                    cluster.now = later(cluster.now, if is_waiting { second } else { LIFETIME });
                }
            }
            assert!(
                cluster.everybody_hears_everybody(),
                "seed {seed}, step {step}"
            );
        }
        assert!(cluster.keys > 2, "seed {seed}: {}", cluster.keys);
    }
}
