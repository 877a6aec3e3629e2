//! What agents come to think of each other, whatever happens to them and to the network between them.

mod cluster;

use rand::RngExt;

use super::*;
use cluster::{Cluster, Fall, Network, ms};

/// Each of so many agents probes the others one after the other, in an order that it changes after each round: at worst
/// first in one round and last in the next. So it comes to know by itself, if nobody tells it before.
fn noticed_within(size: u32) -> Duration {
    PROBE_EVERY * (2 * size) + DOWN_AFTER_SUSPICION
}

/// Two greetings, of which one may be lost, and what they lead to.
const HEALED_WITHIN: Duration = ms(2_500);

#[test]
fn without_faults_all_meet_and_nobody_is_ever_declared_down() {
    for seed in 0..8 {
        let size = [2, 3, 5, 8][usize::try_from(seed % 4).unwrap()];
        let mut cluster = Cluster::new(seed, size);
        for number in 0..size {
            cluster.start(number);
            let pause = cluster.random.random_range(0..500);
            cluster.run(ms(pause));
        }
        assert!(
            cluster.run_until_all_see(HEALED_WITHIN).is_some(),
            "seed {seed}"
        );
        cluster.run(ms(10_000));
        assert!(
            cluster.falls.is_empty() && cluster.blind().is_empty(),
            "seed {seed}"
        );
    }
}

#[test]
fn a_dead_node_is_declared_down_by_everybody_in_bounded_time_and_nobody_else_is() {
    for seed in 0..40 {
        let size = [2_u32, 3, 5, 8][usize::try_from(seed % 4).unwrap()];
        let mut cluster = Cluster::met(seed, usize::try_from(size).unwrap());
        let pause = cluster.random.random_range(0..400);
        cluster.run(ms(pause));
        cluster.kill(0);
        let took = cluster.run_until_all_see(noticed_within(size));
        assert!(took.is_some(), "seed {seed}");
        assert!(
            cluster.falls.iter().all(|fall| fall.of == 0),
            "seed {seed}: {:?}",
            cluster.falls
        );
    }
}

/// What an agent that is paused again and again, and is late each time, accuses others of.
fn accusations(seed: u64, drains: bool) -> Vec<Fall> {
    let mut cluster = Cluster::met(seed, 4);
    cluster.drains = drains;
    // Answers come after others could be asked, and before they are missed.
    cluster.network.delay = ms(80);
    for _ in 0..4 {
        let wait = cluster.random.random_range(0..1_000);
        let pause = cluster.random.random_range(20..2_000);
        cluster.run(ms(wait));
        cluster.pause(0, ms(pause));
        cluster.run(ms(pause));
    }
    let accused = cluster.falls.iter().chain(&cluster.suspicions);
    accused.filter(|fall| fall.of != 0).copied().collect()
}

#[test]
fn an_agent_that_was_late_accuses_nobody_for_it_reads_what_has_arrived_meanwhile() {
    for seed in 0..10 {
        assert_eq!(accusations(seed, true), [], "seed {seed}");
    }
    assert!((0..100).any(|seed| !accusations(seed, false).is_empty()));
}

#[test]
fn an_agent_that_was_late_leaves_those_whom_it_suspects_the_time_to_answer() {
    for seed in 0..40 {
        let mut cluster = Cluster::met(seed, 2);
        let wait = cluster.random.random_range(0..400);
        cluster.run(ms(wait));
        cluster.network.cuts = [(0, 1), (1, 0)].into();
        let cut = cluster.random.random_range(200..400);
        cluster.run(ms(cut));
        // Nobody has been told of the suspicion, if there is one.
        cluster.network = Network::sound();
        let pause = cluster.random.random_range(100..500);
        cluster.pause(0, ms(pause));
        cluster.run(ms(2_000));
        assert!(
            !cluster.falls.contains(&Fall { by: 0, of: 1 }),
            "seed {seed}"
        );
    }
}

/// One fault, of a kind and at a place that chance decides.
fn fault(cluster: &mut Cluster, size: usize) {
    let number = cluster.random.random_range(0..size);
    let other = cluster.random.random_range(0..size);
    let time = ms(cluster.random.random_range(10..3_000));
    let behind = time * cluster.random.random_range(0..100_000);
    match cluster.random.random_range(0..8) {
        0 => cluster.network.loss_percent = cluster.random.random_range(0..50),
        1 => cluster.network.delay = time / 10,
        2 => cluster.network.cuts = [(number, other)].into(),
        3 => {
            let there = 0..number;
            let is_across = |from, to| there.contains(&from) != there.contains(&to);
            let pairs = (0..size).flat_map(|from| (0..size).map(move |to| (from, to)));
            cluster.network.cuts = pairs.filter(|(from, to)| is_across(*from, *to)).collect();
        }
        4 => cluster.network = Network::sound(),
        5 => cluster.pause(number, time),
        6 => cluster.kill(number),
        _ => cluster.start_in_the_past(number, behind),
    }
}

#[test]
fn after_the_last_fault_all_see_each_other_again_in_bounded_time() {
    for seed in 0..25 {
        let mut cluster = Cluster::met(seed, 5);
        for _ in 0..20 {
            fault(&mut cluster, 5);
            let wait = cluster.random.random_range(0..800);
            cluster.run(ms(wait));
        }
        cluster.calm();
        let took = cluster.run_until_all_see(HEALED_WITHIN);
        assert!(took.is_some(), "seed {seed}: {:?}", cluster.blind());
        cluster.run(ms(2_000));
        cluster.falls.clear();
        cluster.run(ms(3_000));
        assert!(
            cluster.falls.is_empty() && cluster.blind().is_empty(),
            "seed {seed}"
        );
    }
}

#[test]
fn a_node_that_comes_back_with_an_earlier_clock_is_seen_again_in_bounded_time() {
    for seed in 0..30 {
        let mut cluster = Cluster::met(seed, 4);
        cluster.kill(0);
        // Sometimes before the others have noticed.
        let away = cluster.random.random_range(0..3_000);
        cluster.run(ms(away));
        cluster.network.loss_percent = if seed % 2 == 0 { 0 } else { 20 };
        let behind = ms(10_u64.pow(cluster.random.random_range(3..13)));
        cluster.start_in_the_past(0, behind);
        let took = cluster.run_until_all_see(HEALED_WITHIN);
        assert!(took.is_some(), "seed {seed}: {behind:?}");
    }
}
