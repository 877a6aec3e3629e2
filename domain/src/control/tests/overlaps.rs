//! Pools that share addresses: the older has them.

use super::*;

/// The second pool, with five addresses of its own and five of `prod`, which is older.
fn younger(created: i64) -> PoolFact {
    PoolFact {
        created,
        ..pool("young", &["10.10.0.16-10.10.0.25"])
    }
}

fn of_young(name: &str, created: i64) -> EgressFact {
    EgressFact {
        pool: Some("young".into()),
        ..egress(name, created)
    }
}

fn overlapping() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.add_pool(younger(1));
    cluster
}

const READY: &str = "True Valid";
const OVERLAPS: &str = "False Overlaps";

#[test]
fn the_younger_of_two_pools_says_what_it_shares_with_which_and_the_older_is_ready() {
    let mut cluster = overlapping();
    assert_eq!(cluster.pool_condition("prod", Type::Ready).0, READY);
    let (reason, message) = cluster.pool_condition("young", Type::Ready);
    assert_eq!(reason, OVERLAPS);
    let shared = "10.10.0.16-10.10.0.20 also lies in ExternalIPPool prod, which is older and alone hands it out";
    assert!(message.starts_with(shared), "{message}");
}

#[test]
fn of_pools_of_one_age_the_first_by_name_counts_as_the_older() {
    let mut cluster = Cluster::new(1);
    cluster.add_pool(pool("a", &["10.10.0.16-10.10.0.25"]));
    assert_eq!(cluster.pool_condition("a", Type::Ready).0, READY);
    assert_eq!(cluster.pool_condition("prod", Type::Ready).0, OVERLAPS);
}

#[test]
fn an_older_pool_that_is_seen_later_is_the_older_all_the_same() {
    let mut cluster = Cluster::new(1);
    cluster.add_pool(younger(-1));
    assert_eq!(cluster.pool_condition("young", Type::Ready).0, READY);
    assert_eq!(cluster.pool_condition("prod", Type::Ready).0, OVERLAPS);
}

#[test]
fn the_younger_hands_out_what_it_does_not_share_and_only_that() {
    let mut cluster = overlapping();
    cluster.add((0..6).map(|number| of_young(&number.to_string(), number)));
    let given: Vec<_> = (0..6)
        .map(|number| cluster.ip_of(&number.to_string()))
        .collect();
    let own = [
        "10.10.0.21",
        "10.10.0.22",
        "10.10.0.23",
        "10.10.0.24",
        "10.10.0.25",
    ];
    assert_eq!(given[..5], own.map(|own| Some(ip(own))));
    assert_eq!(cluster.allocated("5"), "False PoolExhausted");
    assert_eq!(
        cluster.world.pool("young").usage,
        Some(Usage { total: 5, used: 5 })
    );
}

#[test]
fn a_pool_that_has_nothing_to_hand_out_does_not_say_that_all_is_in_use() {
    let mut cluster = Cluster::new(1);
    cluster.add_pool(PoolFact {
        created: 1,
        ..pool("young", &["10.10.0.12-10.10.0.15"])
    });
    assert_eq!(
        cluster.pool_condition("young", Type::Exhausted).0,
        "True Overlaps"
    );
    cluster.delete_pool("prod");
    assert_eq!(
        cluster.pool_condition("young", Type::Exhausted).0,
        "False FreeAddresses"
    );
    cluster.edit_pool("young", |pool| {
        let all = IpRange::new(ip("10.10.0.12"), ip("10.10.0.15")).unwrap();
        respecify(pool, |spec| spec.exclude.push(all));
    });
    assert_eq!(
        cluster.pool_condition("young", Type::Exhausted).0,
        "True NoUsableAddress"
    );
}

#[test]
fn who_asks_the_younger_for_a_shared_address_is_told_of_the_older() {
    let mut cluster = overlapping().with([EgressFact {
        ip: Some(ip("10.10.0.16")),
        ..of_young("a", 1)
    }]);
    let (reason, message) = cluster.condition("a", Type::IpAllocated);
    assert_eq!(reason, "False AddressOfOtherPool");
    assert!(
        message.starts_with("10.10.0.16 also lies in ExternalIPPool prod"),
        "{message}"
    );
}

#[test]
fn when_the_overlap_ends_the_condition_goes_and_who_waited_is_served() {
    let waiting = || EgressFact {
        ip: Some(ip("10.10.0.16")),
        ..of_young("a", 1)
    };
    let ends: [fn(&mut Cluster); 3] = [
        |cluster| {
            cluster.edit_pool("prod", |pool| {
                respecify(pool, |spec| {
                    spec.ranges = vec![range("10.10.0.11-10.10.0.15")];
                });
            });
        },
        |cluster| {
            cluster.edit_pool("young", |pool| {
                respecify(pool, |spec| {
                    spec.ranges = vec![range("10.10.0.21-10.10.0.25")];
                });
            });
        },
        |cluster| cluster.delete_pool("prod"),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut cluster = overlapping().with([waiting()]);
        end(&mut cluster);
        assert_eq!(
            cluster.pool_condition("young", Type::Ready).0,
            READY,
            "{number}"
        );
        let expected = if number == 1 {
            "False OutsidePool"
        } else {
            "True Allocated"
        };
        assert_eq!(cluster.allocated("a"), expected, "{number}");
    }
}

#[test]
fn who_has_an_address_keeps_it_when_an_older_pool_comes_to_share_it() {
    let mut cluster = Cluster::new(1).with([asking("a", 1, "10.10.0.16")]);
    cluster.add_pool(younger(-1));
    assert_eq!(cluster.pool_condition("prod", Type::Ready).0, OVERLAPS);
    assert_eq!(cluster.allocated("a"), "True Allocated");
    cluster.add([of_young("b", 2)]);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.17")), "not what a has");
    cluster.restart();
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn of_several_older_pools_the_oldest_is_named_and_each_address_is_the_oldests() {
    let mut cluster = Cluster::new(1);
    cluster.add_pool(younger(1));
    cluster.add_pool(PoolFact {
        created: 2,
        ..pool("baby", &["10.10.0.20-10.10.0.26"])
    });
    let (_, message) = cluster.pool_condition("baby", Type::Ready);
    assert!(
        message.contains("10.10.0.20 also lies in ExternalIPPool prod"),
        "{message}"
    );
    cluster.add([EgressFact {
        pool: Some("baby".into()),
        ..egress("a", 1)
    }]);
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.26")));
}
