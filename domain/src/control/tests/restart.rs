//! An operator that is started anew, at any moment.

use super::*;

#[test]
fn a_restart_decides_nothing_new() {
    let mut cluster = Cluster::new(5).with([egress("a", 1), asking("b", 2, "10.10.0.15")]);
    cluster.add([asking("c", 3, "10.10.0.15"), placed("s", 4, "10.10.0.12")]);
    cluster.agents_act("a");
    assert_eq!(cluster.world.started().decide(), []);
}

#[test]
fn an_ip_that_was_written_before_the_crash_is_adopted_before_anything_new() {
    let mut cluster = Cluster::new(3);
    let written = EgressFact {
        ip: Some(ip("10.10.0.11")),
        ip_writer: Writer::Operator,
        has_finalizer: true,
        ..egress("written", 9)
    };
    for fact in [written, asking("asking", 1, "10.10.0.11"), egress("any", 2)] {
        cluster.world.egresses.insert(fact.name.clone(), fact);
    }
    cluster.restart();
    assert_eq!(cluster.allocated("written"), "True Allocated");
    assert_eq!(cluster.allocated("asking"), "False AddressTaken");
    assert_eq!(cluster.ip_of("any"), Some(ip("10.10.0.12")));
}

#[test]
fn an_ip_that_was_dropped_while_the_operator_was_away_is_put_back() {
    let mut cluster = Cluster::new(3).with([egress("z", 1), egress("a", 2)]);
    cluster.agents_act("a");
    cluster.delete("z");
    set_ip(cluster.world.egress("a"), None, Writer::User);
    cluster.restart();
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.12")));
}

#[test]
fn of_two_that_a_fault_gave_one_address_the_older_keeps_it() {
    let mut cluster = Cluster::new(3);
    for (name, created) in [("young", 2), ("old", 1)] {
        let mut fact = EgressFact {
            ip_writer: Writer::Operator,
            has_finalizer: true,
            ..asking(name, created, "10.10.0.11")
        };
        take(&mut fact, "node-1".into(), ip("10.10.0.11"));
        cluster.world.egresses.insert(fact.name.clone(), fact);
    }
    cluster.restart();
    assert_eq!(cluster.ip_of("old"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.ip_of("young"), Some(ip("10.10.0.12")));
}

#[test]
fn ips_of_a_pool_that_cannot_be_read_stay_where_they_are() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.world.pools.clear();
    let mut control = cluster.world.started();
    control.apply(Fact::PoolUnreadable("prod".into()));
    control.apply(Fact::Egress(Box::new(egress("b", 2))));
    cluster.world.egresses.insert("b".into(), egress("b", 2));
    cluster.control = control;
    cluster.add([]);
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.allocated("b"), "False PoolInvalid");
}

#[test]
fn candidates_of_a_pool_that_has_become_invalid_stay_listed_over_a_restart() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    let listed = cluster.world.egress("a").status.candidates.clone();
    assert!(!listed.is_empty());
    cluster.edit_pool("prod", |pool| {
        pool.spec = Err("spec.ipRanges: is wrong".to_owned());
    });
    cluster.restart();
    assert_eq!(cluster.world.egress("a").status.candidates, listed);
    assert_eq!(cluster.ready("a"), "True Assigned");
    cluster.remove_node(listed[1].as_str());
    assert_eq!(
        cluster.world.egress("a").status.candidates.len(),
        listed.len() - 1
    );
}

/// An operator that has been superseded, and the cluster of the one that decides now.
fn superseded(mut cluster: Cluster) -> (Control, Cluster) {
    let mut former = std::mem::take(&mut cluster.control);
    former.apply(Fact::Superseded);
    cluster.restart();
    (former, cluster)
}

/// The former operator has seen everything that the other has written, and decides again.
fn again(mut former: Control, cluster: &mut Cluster) {
    for fact in cluster.world.facts() {
        former.apply(fact);
    }
    assert_eq!(former.decide(), []);
    former.apply(Fact::Synced);
    cluster.control = former;
}

#[test]
fn an_operator_that_is_superseded_decides_nothing_and_then_nothing_new() {
    let (mut former, mut cluster) = superseded(Cluster::new(5).with([egress("a", 1)]));
    former.apply(Fact::Egress(Box::new(egress("b", 2))));
    assert_eq!(former.decide(), []);
    cluster.add([egress("b", 2), asking("c", 3, "10.10.0.15")]);
    cluster.agents_act("a");
    again(former, &mut cluster);
    assert_eq!(cluster.control.decide(), []);
}

#[test]
fn what_was_decided_but_not_written_gives_way_to_what_another_has_written_meanwhile() {
    let mut cluster = Cluster::new(3);
    cluster
        .control
        .apply(Fact::Egress(Box::new(egress("a", 1))));
    assert!(!cluster.control.decide().is_empty());
    let (former, mut cluster) = superseded(cluster);
    cluster.add([egress("b", 2)]);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.11")));
    cluster.world.egresses.insert("a".into(), egress("a", 1));
    again(former, &mut cluster);
    cluster.add([]);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.12")));
}
