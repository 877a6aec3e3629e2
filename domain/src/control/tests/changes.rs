//! Users change their Egresses and pools.

use super::*;

#[test]
fn an_ip_that_a_users_write_drops_is_put_back() {
    let mut cluster = Cluster::new(3).with([egress("z", 1), egress("a", 2)]);
    cluster.delete("z");
    cluster.edit("a", |egress| set_ip(egress, None, Writer::User));
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.12")));
}

#[test]
fn another_pool_gives_another_ip_where_the_operator_chose_it() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.add_pool(pool("late", &["10.30.0.0/24"]));
    cluster.edit("a", |egress| egress.pool = Some("late".into()));
    assert_eq!(cluster.ip_of("a"), Some(ip("10.30.0.1")));
    assert_eq!(
        cluster.world.pool("prod").usage,
        Some(Usage { total: 10, used: 0 })
    );
}

#[test]
fn another_pool_refuses_the_old_ip_where_the_user_chose_it() {
    let mut cluster = Cluster::new(3).with([asking("a", 1, "10.10.0.15")]);
    cluster.add_pool(pool("late", &["10.30.0.0/24"]));
    cluster.edit("a", |egress| egress.pool = Some("late".into()));
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.15")));
    assert_eq!(cluster.allocated("a"), "False OutsidePool");
    assert!(cluster.candidates("a").is_empty());
}

#[test]
fn an_ip_that_the_user_writes_over_the_operators_is_the_users() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.edit("a", |egress| {
        set_ip(egress, Some(ip("10.10.0.18")), Writer::User);
    });
    assert_eq!(cluster.allocated("a"), "True Allocated");
    cluster.add([egress("b", 2)]);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.11")));
}

#[test]
fn an_ip_that_the_user_writes_too_is_given_up_by_the_operator_and_stays() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.edit("a", |egress| egress.ip_writer = Writer::Both);
    let fact = cluster.world.egress("a");
    assert_eq!(
        (fact.ip, fact.ip_writer),
        (Some(ip("10.10.0.11")), Writer::User)
    );
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn an_ip_is_not_given_to_another_while_a_node_still_answers_for_it() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    cluster.edit("a", |egress| {
        set_ip(egress, Some(ip("10.10.0.18")), Writer::User);
    });
    cluster.add([asking("b", 2, "10.10.0.11"), egress("c", 3)]);
    assert_eq!(cluster.allocated("b"), "False AddressTaken");
    assert_eq!(cluster.ip_of("c"), Some(ip("10.10.0.12")));
    cluster.agents_act("a");
    assert_eq!(cluster.allocated("b"), "True Allocated");
}

#[test]
fn a_pooled_egress_that_becomes_static_keeps_its_ip_and_loses_the_finalizer() {
    let mut cluster = Cluster::new(3).with([asking("a", 1, "10.10.0.11")]);
    cluster.edit("a", |egress| egress.pool = None);
    assert_eq!(cluster.allocated("a"), "");
    let fact = cluster.world.egress("a").clone();
    assert!(
        !fact.has_finalizer && fact.status.candidates.is_empty(),
        "{fact:?}"
    );
    assert_eq!(fact.ip, Some(ip("10.10.0.11")));
    cluster.add([egress("b", 2)]);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.12")));
}

#[test]
fn a_pooled_egress_that_becomes_static_keeps_the_finalizer_until_its_node_has_let_go() {
    for writer in [Writer::User, Writer::Operator, Writer::Both] {
        let mut cluster = Cluster::new(3).with([egress("a", 1)]);
        cluster.agents_act("a");
        become_static(&mut cluster, writer);
        assert!(cluster.world.egress("a").has_finalizer, "{writer:?}");
        cluster.agents_act("a");
        assert!(!cluster.world.egress("a").has_finalizer, "{writer:?}");
        assert_eq!(cluster.world.started().decide(), []);
    }
}

#[test]
fn an_egress_that_has_become_static_is_not_deleted_while_a_node_answers_for_its_pooled_ip() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    become_static(&mut cluster, Writer::User);
    cluster.delete("a");
    cluster.add([asking("b", 2, "10.10.0.11")]);
    assert_eq!(cluster.ready("a"), "False Withdrawing");
    assert_eq!(cluster.allocated("b"), "False AddressTaken");
    cluster.agents_act("a");
    assert!(!cluster.exists("a"));
    assert_eq!(cluster.allocated("b"), "True Allocated");
}

#[test]
fn a_node_that_holds_the_ip_since_it_is_static_keeps_no_finalizer() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    become_static(&mut cluster, Writer::User);
    cluster.edit("a", |egress| {
        take(egress, "node-1".into(), ip("10.10.0.11"));
    });
    assert!(!cluster.world.egress("a").has_finalizer);
    assert_eq!(cluster.ready("a"), "True Assigned");
}

fn become_static(cluster: &mut Cluster, writer: Writer) {
    cluster.edit("a", |egress| {
        egress.generation += 1;
        egress.pool = None;
        egress.ip_writer = writer;
    });
}

/// A client-side apply says the address and owns nothing of it; a server-side one owns it too.
#[test]
fn the_operators_ip_of_an_egress_that_becomes_static_is_left_to_the_user_who_names_it() {
    for (writer, left) in [
        (Writer::Operator, Writer::Operator),
        (Writer::Both, Writer::User),
    ] {
        let mut cluster = Cluster::new(3).with([egress("a", 1)]);
        cluster.edit("a", |egress| {
            egress.pool = None;
            egress.ip_writer = writer;
        });
        let fact = cluster.world.egress("a").clone();
        assert_eq!((fact.ip, fact.ip_writer), (Some(ip("10.10.0.11")), left));
        assert!(!fact.has_finalizer, "{fact:?}");
        assert_eq!(cluster.world.started().decide(), []);
    }
}

#[test]
fn an_egress_that_becomes_invalid_says_so_and_keeps_its_ip() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    cluster.edit("a", |egress| {
        egress.generation += 1;
        egress.problems = Some("spec.bandwidth.rate: \"x\" is not a quantity".to_owned());
    });
    let (ready, message) = cluster.condition("a", Type::Ready);
    assert!(
        ready == "False InvalidSpec" && message.contains("bandwidth"),
        "{message}"
    );
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.candidates("a").len(), 3);
    cluster.add([asking("b", 0, "10.10.0.11")]);
    assert_eq!(cluster.allocated("b"), "False AddressTaken");
}

#[test]
fn an_invalid_egress_gets_no_ip_until_it_is_mended() {
    let broken = EgressFact {
        problems: Some("spec: is wrong".to_owned()),
        ..egress("a", 1)
    };
    let mut cluster = Cluster::new(3).with([broken]);
    assert_eq!(cluster.allocated("a"), "False InvalidSpec");
    cluster.edit("a", |egress| egress.problems = None);
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.11")));
}

#[test]
fn a_pool_that_becomes_invalid_says_so_and_goes_on_as_it_was() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.edit_pool("prod", |pool| {
        pool.generation += 1;
        pool.spec = Err("spec.ipRanges[0].start: \"x\" is not an IP address".to_owned());
    });
    let (ready, message) = cluster.pool_condition("prod", Type::Ready);
    assert!(
        ready == "False InvalidSpec" && message.contains("ipRanges[0]"),
        "{message}"
    );
    cluster.add([egress("b", 2)]);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.12")));
}

#[test]
fn a_range_that_is_withdrawn_takes_its_addresses_back() {
    let mut cluster = Cluster::new(3).with([egress("a", 1), asking("b", 2, "10.10.0.12")]);
    cluster.edit_pool("prod", |pool| {
        respecify(pool, |spec| spec.ranges = vec![range("10.30.0.0/24")]);
    });
    assert_eq!(cluster.ip_of("a"), Some(ip("10.30.0.1")));
    assert_eq!(cluster.allocated("b"), "False OutsidePool");
}

#[test]
fn an_address_that_is_excluded_later_stays_with_who_has_it() {
    let mut cluster = Cluster::new(3).with([egress("a", 1), egress("b", 2)]);
    cluster.edit_pool("prod", |pool| {
        let all = IpRange::new(ip("10.10.0.11"), ip("10.10.0.12")).unwrap();
        respecify(pool, |spec| spec.exclude.push(all));
    });
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.world.started().decide(), []);
    cluster.delete("a");
    cluster.add([egress("c", 3)]);
    assert_eq!(cluster.ip_of("c"), Some(ip("10.10.0.13")));
}

#[test]
fn where_egress_is_off_addresses_stay_and_every_egress_says_that_it_is_off() {
    let mut cluster = Cluster::new(3).with([egress("a", 1), placed("b", 2, "192.0.2.1")]);
    cluster.agents_act("a");
    let before = cluster.ip_of("a");
    cluster.configure(Fact::Off(true));
    for name in ["a", "b"] {
        assert_eq!(cluster.ready(name), "False Disabled");
    }
    assert_eq!(cluster.ip_of("a"), before);
    assert_eq!(cluster.allocated("a"), "True Allocated");
    cluster.configure(Fact::Off(false));
    assert_eq!(cluster.ready("a"), "True Assigned");
    assert_eq!(cluster.ready("b"), "False NotAssigned");
}

#[test]
fn an_egress_that_is_deleted_where_egress_is_off_waits_for_its_holder_all_the_same() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    cluster.configure(Fact::Off(true));
    cluster.delete("a");
    assert_eq!(cluster.ready("a"), "False Withdrawing");
    cluster.edit("a", let_go);
    assert!(!cluster.exists("a"));
}
