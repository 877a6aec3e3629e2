//! Which Egress gets which address.

use super::*;

#[test]
fn nothing_is_decided_before_everything_that_exists_was_seen() {
    let mut control = Control::default();
    control.apply(Fact::Pool(Box::new(pool(
        "prod",
        &["10.10.0.11-10.10.0.20"],
    ))));
    control.apply(Fact::Egress(Box::new(egress("a", 1))));
    assert_eq!(control.decide(), []);
    control.apply(Fact::Synced);
    assert!(!control.decide().is_empty());
}

#[test]
fn egresses_get_the_lowest_free_addresses_in_order_of_age_then_name() {
    let mut cluster = Cluster::new(3).with([egress("young", 2), egress("b", 1), egress("a", 1)]);
    let ips = ["a", "b", "young"].map(|name| cluster.ip_of(name).unwrap().to_string());
    assert_eq!(ips, ["10.10.0.11", "10.10.0.12", "10.10.0.13"]);
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn the_finalizer_comes_with_the_ip_in_one_write_and_the_status_after_it() {
    let mut control = World::default().started();
    control.apply(Fact::Pool(Box::new(pool(
        "prod",
        &["10.10.0.11-10.10.0.20"],
    ))));
    control.apply(Fact::Egress(Box::new(egress("a", 1))));
    assert!(control.decide().contains(&Object::Egress("a".into())));
    let own = EgressWrite::Own {
        finalizer: true,
        ip: Some(ip("10.10.0.11")),
    };
    assert_eq!(control.writes_to_egress(&"a".into()), [own]);
}

#[test]
fn an_address_that_the_user_chooses_is_taken_but_not_owned() {
    let mut cluster = Cluster::new(3).with([asking("a", 1, "10.10.0.15")]);
    assert_eq!(cluster.allocated("a"), "True Allocated");
    let fact = cluster.world.egress("a");
    assert!(
        fact.has_finalizer && fact.ip_writer == Writer::User,
        "{fact:?}"
    );
}

#[test]
fn an_address_that_is_asked_for_goes_before_an_older_egress_that_takes_any() {
    let mut cluster = Cluster::new(3).with([egress("old", 1), asking("young", 2, "10.10.0.11")]);
    assert_eq!(cluster.ip_of("old"), Some(ip("10.10.0.12")));
    assert_eq!(cluster.allocated("young"), "True Allocated");
}

#[test]
fn of_two_that_ask_for_one_address_the_older_gets_it_and_the_other_is_told_who_has_it() {
    let both = [
        asking("young", 2, "10.10.0.11"),
        asking("old", 1, "10.10.0.11"),
    ];
    let mut cluster = Cluster::new(3).with(both);
    assert_eq!(cluster.allocated("old"), "True Allocated");
    let (condition, message) = cluster.condition("young", Type::IpAllocated);
    assert_eq!(condition, "False AddressTaken");
    assert!(
        message.contains("10.10.0.11 is in use by Egress old"),
        "{message}"
    );
    assert_eq!(cluster.ready("young"), "False AddressTaken");
}

#[test]
fn an_older_newcomer_does_not_take_an_address_away() {
    let mut cluster = Cluster::new(3).with([asking("young", 2, "10.10.0.11")]);
    cluster.add([asking("old", 1, "10.10.0.11")]);
    assert_eq!(cluster.allocated("young"), "True Allocated");
    assert_eq!(cluster.allocated("old"), "False AddressTaken");
}

#[test]
fn who_waits_for_an_address_gets_it_when_it_is_freed() {
    let mut cluster = Cluster::new(3).with([asking("a", 1, "10.10.0.11")]);
    cluster.add([asking("c", 3, "10.10.0.11"), asking("b", 2, "10.10.0.11")]);
    cluster.delete("a");
    assert_eq!(cluster.allocated("b"), "True Allocated");
    let (_, message) = cluster.condition("c", Type::IpAllocated);
    assert!(message.contains("Egress b"), "{message}");
}

#[test]
fn a_refused_address_says_why_and_what_to_do() {
    let mut cluster = Cluster::new(3);
    cluster.edit_pool("prod", |pool| {
        respecify(pool, |spec| {
            spec.ranges.push(range("10.10.1.0/28"));
            spec.exclude.push(IpRange::single(ip("10.10.0.13")));
            spec.subnet = Some(Subnet {
                gateway: ip("10.10.1.1"),
                prefix: 28,
                vlan: None,
            });
        });
    });
    for (wanted, reason) in [
        ("10.10.0.21", "False OutsidePool"),
        ("10.10.0.13", "False AddressExcluded"),
        ("10.10.1.0", "False AddressReserved"),
        ("10.10.1.15", "False AddressReserved"),
        ("10.10.1.1", "False AddressReserved"),
    ] {
        cluster.add([asking("a", 1, wanted)]);
        let (condition, message) = cluster.condition("a", Type::IpAllocated);
        assert_eq!(condition, reason, "{wanted}");
        assert!(
            message.contains(wanted) && message.contains("choose another"),
            "{message}"
        );
        assert!(!cluster.world.egress("a").has_finalizer);
    }
}

#[test]
fn a_refused_egress_does_not_hinder_others() {
    let mut cluster = Cluster::new(3).with([asking("a", 1, "10.99.0.1"), egress("b", 2)]);
    assert_eq!(cluster.ready("a"), "False OutsidePool");
    assert_eq!(cluster.allocated("b"), "True Allocated");
}

#[test]
fn an_exhausted_pool_serves_who_waits_by_age_when_it_grows() {
    let mut cluster = Cluster::new(3);
    cluster.add_pool(pool("small", &["10.20.0.1-10.20.0.1"]));
    let small = |name, created| EgressFact {
        pool: Some("small".into()),
        ..egress(name, created)
    };
    cluster.add([small("a", 1)]);
    cluster.add([small("c", 3)]);
    cluster.add([small("b", 2)]);
    assert_eq!(cluster.allocated("b"), "False PoolExhausted");
    assert_eq!(
        cluster.pool_condition("small", Type::Exhausted).0,
        "True NoFreeAddress"
    );
    cluster.edit_pool("small", |pool| {
        respecify(pool, |spec| spec.ranges.push(range("10.20.0.9-10.20.0.9")));
    });
    assert_eq!(cluster.ip_of("b"), Some(ip("10.20.0.9")));
    assert_eq!(cluster.allocated("c"), "False PoolExhausted");
}

#[test]
fn a_pool_that_comes_later_serves_who_waits_for_it() {
    let mut cluster = Cluster::new(3).with([EgressFact {
        pool: Some("late".into()),
        ..egress("a", 1)
    }]);
    assert_eq!(cluster.allocated("a"), "False PoolNotFound");
    cluster.add_pool(pool("late", &["10.30.0.0/24"]));
    assert_eq!(cluster.ip_of("a"), Some(ip("10.30.0.1")));
}

#[test]
fn a_static_ip_inside_a_pool_is_skipped_and_counted() {
    let mut cluster = Cluster::new(3).with([placed("s", 5, "10.10.0.11")]);
    cluster.add([egress("a", 1)]);
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.12")));
    assert_eq!(
        cluster.world.pool("prod").usage,
        Some(Usage { total: 10, used: 2 })
    );
    cluster.add([asking("b", 2, "10.10.0.11")]);
    assert_eq!(cluster.allocated("b"), "False AddressTaken");
}

#[test]
fn a_static_egress_gets_neither_address_nor_candidates() {
    let mut cluster = Cluster::new(3).with([placed("s", 1, "10.10.0.104")]);
    let fact = cluster.world.egress("s").clone();
    assert!(
        !fact.has_finalizer && fact.status.candidates.is_empty(),
        "{fact:?}"
    );
    assert_eq!(cluster.allocated("s"), "");
    assert_eq!(cluster.ready("s"), "False NotAssigned");
    cluster.edit("s", |egress| {
        take(egress, "node-1".into(), ip("10.10.0.104"));
    });
    assert_eq!(cluster.ready("s"), "True Assigned");
}

#[test]
fn pools_that_overlap_never_give_one_address_twice() {
    let mut cluster = Cluster::new(3);
    cluster.add_pool(pool("twin", &["10.10.0.11-10.10.0.20"]));
    cluster.add([
        egress("a", 1),
        EgressFact {
            pool: Some("twin".into()),
            ..egress("b", 2)
        },
    ]);
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.allocated("b"), "False PoolExhausted");
}

#[test]
fn ipv6_addresses_that_nodes_could_not_tell_apart_are_not_both_given() {
    let (one, other) = crate::addresses::twins();
    let mut cluster = Cluster::new(3);
    cluster.add_pool(pool(
        "six",
        &[&format!("{one}-{one}"), &format!("{other}-{other}")],
    ));
    let six = |name, created| EgressFact {
        pool: Some("six".into()),
        ..egress(name, created)
    };
    cluster.add([
        six("a", 1),
        six("b", 2),
        EgressFact {
            ip: Some(other),
            ..six("c", 3)
        },
    ]);
    assert_eq!(cluster.allocated("c"), "True Allocated");
    assert_eq!(cluster.allocated("a"), "False PoolExhausted");
    cluster.edit("a", |egress| set_ip(egress, Some(one), Writer::User));
    let (condition, message) = cluster.condition("a", Type::IpAllocated);
    assert!(
        condition == "False AddressTaken" && message.contains("identity"),
        "{message}"
    );
    cluster.delete("c");
    assert_eq!(cluster.allocated("a"), "True Allocated");
    assert_eq!(cluster.allocated("b"), "False PoolExhausted");
}
