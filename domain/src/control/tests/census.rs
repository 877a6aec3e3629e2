//! What is counted for metrics.

use super::*;

fn states(counts: &Counts) -> Vec<(bool, &'static str, i64)> {
    let states = counts.iter();
    states
        .map(|(state, count)| (state.is_ready, state.reason, *count))
        .collect()
}

#[test]
fn every_egress_is_counted_once_under_what_its_status_says() {
    let mut cluster = Cluster::new(2).with([
        egress("a", 1),
        egress("b", 2),
        asking("c", 3, "10.99.0.1"),
        placed("d", 4, "10.10.9.9"),
    ]);
    cluster.agents_act("a");
    let census = cluster.control.census();
    assert_eq!(
        states(&census.egresses),
        [
            (false, "NotAssigned", 2),
            (false, "OutsidePool", 1),
            (true, "Assigned", 1)
        ]
    );
    assert_eq!(census.allocated, 2);
}

#[test]
fn usage_is_summed_over_pools_and_an_exhausted_one_is_counted() {
    let mut cluster = Cluster::new(1).with([egress("a", 1)]);
    let before = cluster.control.census();
    let full = pool("full", &["10.20.0.1-10.20.0.1"]);
    cluster.world.pools.insert("full".into(), full);
    cluster.edit_pool("full", |_| {});
    cluster.add([EgressFact {
        pool: Some("full".into()),
        ..egress("b", 2)
    }]);
    let census = cluster.control.census();
    assert_eq!(
        (
            census.addresses - before.addresses,
            census.used - before.used
        ),
        (1, 1)
    );
    assert_eq!((before.exhausted, census.exhausted), (0, 1));
    assert_eq!(states(&census.pools), [(true, "Valid", 2)]);
}

#[test]
fn nodes_are_counted_by_whether_they_can_be_gateways() {
    let mut cluster = Cluster::new(3);
    cluster.control.apply(Fact::NodeFitness {
        node: "node-2".into(),
        is_fit: false,
    });
    let census = cluster.control.census();
    assert_eq!((census.fit_nodes, census.unfit_nodes), (2, 1));
}

#[test]
fn nothing_is_counted_before_anything_is_decided_on() {
    let mut cluster = Cluster::new(1).with([egress("a", 1)]);
    let mut control = Control::default();
    for fact in cluster.world.facts() {
        control.apply(fact);
    }
    assert_eq!(control.census(), Census::default());
    control.apply(Fact::Synced);
    control.decide();
    assert_eq!(control.census(), cluster.control.census());
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn only_the_operator_that_decides_counts() {
    let mut cluster = Cluster::new(2).with([egress("a", 1)]);
    assert_eq!(cluster.control.census().allocated, 1);
    cluster.control.apply(Fact::Superseded);
    assert_eq!(cluster.control.census(), Census::default());
}
