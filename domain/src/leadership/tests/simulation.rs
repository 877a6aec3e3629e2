//! No two write at once, whatever happens to them.

use super::cluster::{Broken, Cluster, Stops};

const RUNS: u64 = 2_000;
/// Broken rules show sooner.
const RUNS_BROKEN: u64 = 400;

/// What goes wrong in a run of this seed.
fn offence(seed: u64, broken: Broken, stops: Stops) -> Option<String> {
    let mut cluster = Cluster::new(seed, broken, stops);
    cluster.run(45);
    cluster.offence
}

#[test]
fn no_two_write_at_once_whatever_their_clocks_and_whenever_they_are_stopped() {
    let (mut terms, mut writes) = (0, 0);
    for seed in 0..RUNS {
        let mut cluster = Cluster::new(seed, Broken::Nothing, Stops::BeforeTheCheck);
        cluster.run(45);
        assert_eq!(cluster.offence, None, "seed {seed}");
        (terms, writes) = (terms + cluster.terms, writes + cluster.writes);
        // And when nothing happens any more, one leads, whatever has happened.
        cluster.calm(30);
        assert_eq!(cluster.offence, None, "seed {seed}");
        assert_eq!(cluster.leaders().len(), 1, "seed {seed}");
    }
    assert!(terms > 3_000 && writes > 50_000, "{terms} {writes}");
}

#[test]
fn what_a_replica_sends_that_was_stopped_at_the_worst_moment_overwrites_nothing() {
    for seed in 0..RUNS {
        assert_eq!(
            offence(seed, Broken::Nothing, Stops::Anywhere),
            None,
            "seed {seed}"
        );
    }
}

/// Of many runs some must go wrong, or the simulation would not see it.
fn shows(broken: Broken, stops: Stops) {
    let seen = (0..RUNS_BROKEN).find_map(|seed| offence(seed, broken, stops));
    assert!(seen.is_some(), "{broken:?} does no harm");
}

#[test]
fn two_write_where_the_time_of_day_decides() {
    shows(Broken::WallClock, Stops::BeforeTheCheck);
}

#[test]
fn two_write_where_the_right_to_write_is_asked_for_too_early() {
    shows(Broken::EarlyCheck, Stops::BeforeTheCheck);
}

#[test]
fn two_write_where_a_write_may_be_on_its_way_for_any_time() {
    shows(Broken::ImmortalWrites, Stops::BeforeTheCheck);
}

#[test]
fn two_write_where_a_holder_leads_as_long_as_the_lease_counts() {
    shows(Broken::LongLead, Stops::BeforeTheCheck);
}

#[test]
fn two_write_where_the_lease_is_given_back_while_writes_are_on_their_way() {
    shows(Broken::HastyRelease, Stops::BeforeTheCheck);
}

#[test]
fn work_is_lost_where_objects_are_written_whatever_they_have_become() {
    shows(Broken::Unguarded, Stops::Anywhere);
}

/// A cluster of which one leads; that one.
fn led(seed: u64) -> (Cluster, usize) {
    let mut cluster = Cluster::new(seed, Broken::Nothing, Stops::BeforeTheCheck);
    cluster.calm(30);
    let leader = cluster.leaders()[0];
    (cluster, leader)
}

#[test]
fn another_leads_within_the_lease_after_a_crash_and_soon_after_a_graceful_end() {
    for seed in 0..50 {
        let (mut cluster, leader) = led(seed);
        cluster.kill(leader);
        cluster.calm(20);
        assert!(cluster.leaders().len() == 1 && cluster.leaders()[0] != leader);
        let leader = cluster.leaders()[0];
        cluster.end(leader);
        // What is on its way is waited for; then it takes moments.
        cluster.calm(4);
        let successor = cluster.leaders();
        assert!(
            successor.len() == 1 && successor[0] != leader,
            "seed {seed}"
        );
    }
}

#[test]
fn a_leader_that_is_stopped_for_long_is_succeeded_and_does_not_lead_when_it_goes_on() {
    for seed in 0..50 {
        let (mut cluster, leader) = led(seed);
        cluster.stop(leader, 40_000_000);
        cluster.calm(30);
        let successor = cluster.leaders();
        assert!(
            successor.len() == 1 && successor[0] != leader,
            "seed {seed}"
        );
        cluster.calm(15);
        assert!(!cluster.leaders().contains(&leader), "seed {seed}");
    }
}
