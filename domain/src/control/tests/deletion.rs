//! Egresses and pools are deleted, held and not.

use super::*;

#[test]
fn an_egress_that_nobody_holds_goes_at_once() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.delete("a");
    assert!(!cluster.exists("a"));
    assert_eq!(
        cluster.world.pool("prod").usage,
        Some(Usage { total: 10, used: 0 })
    );
}

#[test]
fn an_egress_that_is_held_waits_for_its_node_and_says_so() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    let holder = cluster.world.egress("a").status.node.clone().unwrap();
    cluster.delete("a");
    let (ready, message) = cluster.condition("a", Type::Ready);
    assert_eq!(ready, "False Withdrawing");
    assert!(message.contains(holder.as_str()), "{message}");
    assert!(cluster.candidates("a").is_empty());
    cluster.add([asking("b", 2, "10.10.0.11"), egress("c", 3)]);
    assert_eq!(cluster.allocated("b"), "False AddressTaken");
    assert_eq!(cluster.ip_of("c"), Some(ip("10.10.0.12")));
    cluster.agents_act("a");
    assert!(!cluster.exists("a"));
    assert_eq!(cluster.allocated("b"), "True Allocated");
}

#[test]
fn an_egress_does_not_wait_for_a_node_that_is_gone() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    let holder = cluster.world.egress("a").status.node.clone().unwrap();
    cluster.delete("a");
    assert!(cluster.exists("a"));
    cluster.remove_node(holder.as_str());
    assert!(!cluster.exists("a"));
}

#[test]
fn a_deletion_goes_on_after_a_restart_without_giving_the_ip_away() {
    let mut cluster = Cluster::new(3).with([egress("b", 2)]);
    cluster.agents_act("b");
    cluster.delete("b");
    cluster
        .world
        .egresses
        .insert("a".into(), asking("a", 1, "10.10.0.11"));
    cluster.restart();
    assert_eq!(cluster.allocated("a"), "False AddressTaken");
    cluster.agents_act("b");
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn a_pool_waits_for_its_users_and_names_them() {
    let names: Vec<String> = (10..22).map(|number| format!("e{number}")).collect();
    let mut cluster = Cluster::new(3).with(names.iter().map(|name| egress(name, 1)));
    cluster.delete_pool("prod");
    let (ready, message) = cluster.pool_condition("prod", Type::Ready);
    assert_eq!(ready, "False InUse");
    assert!(
        message.ends_with("e10, e11, e12, e13, e14, e15, e16, e17, e18, e19, and 2 more"),
        "{message}"
    );
    assert_eq!(cluster.allocated("e10"), "True Allocated");
    for name in &names {
        assert!(cluster.world.pools.contains_key(&"prod".into()));
        cluster.delete(name);
    }
    assert!(!cluster.world.pools.contains_key(&"prod".into()));
}

#[test]
fn a_pool_that_is_being_deleted_gives_no_new_address() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.delete_pool("prod");
    cluster.add([egress("b", 2)]);
    assert_eq!(cluster.allocated("b"), "False PoolDeleting");
    assert_eq!(cluster.allocated("a"), "True Allocated");
    cluster.restart();
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn a_pool_torn_away_takes_the_operators_ips_with_it_and_gives_them_again_when_it_returns() {
    let mut cluster = Cluster::new(3).with([egress("a", 1), asking("b", 2, "10.10.0.15")]);
    cluster.world.pools.remove(&PoolName::from("prod"));
    cluster.tell(&Object::Pool("prod".into()));
    assert_eq!(cluster.ip_of("a"), None);
    assert_eq!(cluster.ip_of("b"), Some(ip("10.10.0.15")));
    for name in ["a", "b"] {
        assert_eq!(cluster.allocated(name), "False PoolNotFound");
        assert!(cluster.candidates(name).is_empty());
    }
    cluster.add_pool(pool("prod", &["10.10.0.11-10.10.0.20"]));
    assert_eq!(cluster.ip_of("a"), Some(ip("10.10.0.11")));
    assert_eq!(cluster.allocated("b"), "True Allocated");
}

#[test]
fn what_was_not_written_is_decided_again_and_nothing_else() {
    let mut cluster = Cluster::new(3).with([egress("a", 1), egress("b", 2)]);
    cluster.delete("a");
    cluster.add([egress("c", 3)]);
    cluster
        .control
        .apply(Fact::NotWritten(Object::Egress("b".into())));
    assert_eq!(cluster.control.decide(), []);
    let new = egress("d", 4);
    cluster.control.apply(Fact::Egress(Box::new(new)));
    let first = cluster.control.decide();
    assert_eq!(cluster.control.decide(), []);
    cluster
        .control
        .apply(Fact::NotWritten(Object::Egress("d".into())));
    let again = cluster.control.decide();
    assert!(first.contains(&again[0]) && again.len() == 1, "{again:?}");
}
