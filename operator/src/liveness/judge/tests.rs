//! What follows from looks, over a time that the tests tell.

use super::*;

/// What happens at the same time.
struct World {
    judge: Judge,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            judge: Judge::default(),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Node `n1` reports these, each with the second since when.
    fn reports(&mut self, missed: &[(&str, i64)]) -> Vec<Fact> {
        let missed = missed
            .iter()
            .map(|(node, since)| ((*node).into(), at(*since)));
        let reports = [("n1".into(), missed.collect())].into();
        self.judge.look_at_reports(reports, self.now)
    }

    /// The Lease of each node and the second of its renewal.
    fn leases(&mut self, leases: &[(&str, i64)]) -> Vec<Fact> {
        let leases = leases
            .iter()
            .map(|(node, renewed)| ((*node).into(), Some(at(*renewed))));
        self.judge.look_at_leases(leases.collect())
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn missed(nodes: &[&str]) -> Vec<Fact> {
    vec![Fact::Missed {
        by: "n1".into(),
        nodes: nodes.iter().map(|node| (*node).into()).collect(),
    }]
}

fn sign(node: &str, sign: Option<Sign>) -> Vec<Fact> {
    vec![Fact::Sign {
        node: node.into(),
        sign,
    }]
}

#[test]
fn a_report_counts_once_it_has_been_seen_for_longer_than_a_lease_and_is_told_once() {
    let mut world = World::new();
    assert_eq!(world.reports(&[("n2", 5)]), []);
    assert!(world.judge.is_waiting());
    world.pass(LONG.as_secs() - 1);
    assert_eq!(world.reports(&[("n2", 5)]), []);
    world.pass(1);
    assert_eq!(world.reports(&[("n2", 5)]), missed(&["n2"]));
    assert!(!world.judge.is_waiting());
    assert_eq!(world.reports(&[("n2", 5)]), []);
    assert_eq!(world.reports(&[]), missed(&[]));
}

#[test]
fn a_node_that_was_back_in_between_is_missed_anew() {
    let mut world = World::new();
    world.reports(&[("n2", 5)]);
    world.pass(LONG.as_secs());
    assert_eq!(world.reports(&[("n2", 9)]), []);
    world.pass(LONG.as_secs());
    assert_eq!(world.reports(&[("n2", 9)]), missed(&["n2"]));
    assert_eq!(world.reports(&[("n2", 30)]), missed(&[]));
}

#[test]
fn how_long_ago_a_report_says_that_it_began_does_not_matter() {
    let mut world = World::new();
    assert_eq!(world.reports(&[("n2", -1_000_000)]), []);
    world.pass(LONG.as_secs());
    assert_eq!(world.reports(&[("n2", -1_000_000)]), missed(&["n2"]));
}

#[test]
fn a_look_that_was_not_answered_makes_every_report_young_again() {
    let mut world = World::new();
    world.reports(&[("n2", 5)]);
    world.pass(LONG.as_secs() - 1);
    assert_eq!(world.judge.could_not_look(), []);
    world.pass(5);
    assert_eq!(world.reports(&[("n2", 5)]), []);
    world.pass(LONG.as_secs());
    assert_eq!(world.reports(&[("n2", 5)]), missed(&["n2"]));
    assert_eq!(world.judge.could_not_look(), missed(&[]));
}

#[test]
fn a_lease_that_is_not_renewed_runs_out_and_begins_to_run_again() {
    let mut world = World::new();
    assert_eq!(world.leases(&[("n1", 10)]), sign("n1", Some(Sign::Given)));
    for _ in 1..LOOKS {
        assert_eq!(world.leases(&[("n1", 10)]), []);
    }
    assert_eq!(world.leases(&[("n1", 10)]), sign("n1", Some(Sign::Ceased)));
    assert_eq!(world.leases(&[("n1", 10)]), []);
    // The clock of the node may have been set back.
    assert_eq!(world.leases(&[("n1", 9)]), sign("n1", Some(Sign::Given)));
    assert_eq!(world.leases(&[]), sign("n1", None));
}

#[test]
fn while_nobody_can_look_no_lease_runs_out() {
    let mut world = World::new();
    world.leases(&[("n1", 10)]);
    for _ in 0..LOOKS * 3 {
        world.leases(&[("n1", 10)]);
        assert_eq!(world.judge.could_not_look(), []);
    }
    for _ in 1..LOOKS {
        assert_eq!(world.leases(&[("n1", 10)]), []);
    }
    assert_eq!(world.leases(&[("n1", 10)]), sign("n1", Some(Sign::Ceased)));
    assert_eq!(world.judge.could_not_look(), []);
    assert_eq!(world.leases(&[("n1", 10)]), []);
}
