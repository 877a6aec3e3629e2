//! Which nodes are candidates, and in which order.

use super::*;
use crate::net::Family;

#[test]
fn three_eligible_nodes_are_candidates() {
    let mut cluster = Cluster::new(6).with([egress("a", 1)]);
    assert_eq!(cluster.candidates("a").len(), 3);
    assert_eq!(cluster.ready("a"), "False NotAssigned");
    cluster.agents_act("a");
    assert_eq!(cluster.ready("a"), "True Assigned");
}

#[test]
fn the_holder_comes_first_while_it_is_eligible() {
    let mut cluster = Cluster::new(6).with([egress("a", 1)]);
    let last = cluster.candidates("a")[2].clone();
    cluster.edit("a", |egress| {
        take(egress, last.as_str().into(), ip("10.10.0.11"));
    });
    assert_eq!(cluster.candidates("a")[0], last);
    cluster.edit_node(&last, |node| node.is_cordoned = true);
    assert!(!cluster.candidates("a").contains(&last));
}

#[test]
fn without_an_eligible_node_there_are_no_candidates_until_one_comes() {
    let mut cluster = Cluster::new(0).with([egress("a", 1)]);
    let (ready, message) = cluster.condition("a", Type::Ready);
    assert!(
        ready == "False NoCandidate" && message.contains("prod"),
        "{message}"
    );
    assert_eq!(cluster.allocated("a"), "True Allocated");
    cluster.world.nodes.insert("node-1".into(), node("node-1"));
    cluster.edit_node("node-1", |_| {});
    assert_eq!(cluster.candidates("a"), ["node-1"]);
}

#[test]
fn a_pools_selector_is_followed_when_it_changes_and_when_labels_change() {
    let mut cluster = Cluster::new(4).with([egress("a", 1)]);
    let gateways = Selector::new([Requirement::Exists("gateway".to_owned())]);
    cluster.edit_pool("prod", |pool| respecify(pool, |spec| spec.nodes = gateways));
    assert!(cluster.candidates("a").is_empty());
    cluster.edit_node("node-3", |node| {
        node.labels.insert("gateway".to_owned(), String::new());
    });
    assert_eq!(cluster.candidates("a"), ["node-3"]);
    cluster.edit_node("node-3", |node| node.labels.clear());
    assert!(cluster.candidates("a").is_empty());
}

#[test]
fn a_node_whose_agent_reports_that_it_cannot_be_a_gateway_is_no_candidate() {
    let mut cluster = Cluster::new(1).with([egress("a", 1)]);
    for (is_fit, candidates) in [(false, vec![]), (true, vec!["node-1"])] {
        cluster.control.apply(Fact::NodeFitness {
            node: "node-1".into(),
            is_fit,
        });
        cluster.add([]);
        assert_eq!(cluster.candidates("a"), candidates);
    }
}

#[test]
fn a_node_whose_bad_report_is_deleted_can_be_a_gateway() {
    let mut cluster = Cluster::new(1).with([egress("a", 1)]);
    cluster.configure(Fact::NodeFitness {
        node: "node-1".into(),
        is_fit: false,
    });
    assert_eq!(cluster.candidates("a"), [""; 0]);
    cluster.configure(Fact::ReportGone("node-1".into()));
    assert_eq!(cluster.candidates("a"), ["node-1"]);
}

#[test]
fn nobody_is_placed_on_a_node_beyond_its_limit_and_the_oldest_are_placed_first() {
    let mut cluster = Cluster::new(2);
    for name in ["node-1", "node-2"] {
        cluster.edit_node(name, |node| node.max_egress_ips = 1);
    }
    cluster.add([egress("c", 3), egress("b", 2), egress("a", 1)]);
    let (a, b) = (cluster.candidates("a"), cluster.candidates("b"));
    assert!(a.len() == 1 && b.len() == 1 && a != b, "{a:?} {b:?}");
    assert!(cluster.candidates("c").is_empty());
    assert_eq!(cluster.ready("c"), "False NoCandidate");
    cluster.agents_act("a");
    cluster.agents_act("b");
    cluster.edit_node("node-1", |node| node.max_egress_ips = 2);
    assert_eq!(cluster.candidates("c"), ["node-1"]);
}

#[test]
fn a_node_with_a_limit_of_zero_is_no_candidate() {
    let mut cluster = Cluster::new(2);
    cluster.edit_node("node-1", |node| node.max_egress_ips = 0);
    cluster.add([egress("a", 1)]);
    assert_eq!(cluster.candidates("a"), ["node-2"]);
}

#[test]
fn a_holder_keeps_what_it_holds_when_its_limit_is_lowered() {
    let mut cluster = Cluster::new(1).with([egress("a", 1), egress("b", 2)]);
    cluster.agents_act("a");
    cluster.agents_act("b");
    cluster.edit_node("node-1", |node| node.max_egress_ips = 1);
    assert_eq!(cluster.candidates("a"), ["node-1"]);
    assert_eq!(cluster.candidates("b"), ["node-1"]);
}

#[test]
fn the_holder_in_the_status_is_cleared_when_its_node_is_gone() {
    let held = |name: &str, at: &str| {
        let mut fact = placed(name, 1, at);
        take(&mut fact, "node-1".into(), ip(at));
        fact
    };
    let mut cluster = Cluster::new(2).with([egress("a", 1), held("s", "10.10.0.101")]);
    cluster.edit("a", |egress| {
        take(egress, "node-1".into(), ip("10.10.0.11"));
    });
    assert_eq!(cluster.ready("s"), "True Assigned");
    cluster.remove_node("node-1");
    for name in ["a", "s"] {
        let status = cluster.world.egress(name).status.clone();
        assert!(status.node.is_none() && status.ip.is_none(), "{status:?}");
        for kind in [Type::IpAssigned, Type::Ready] {
            assert_eq!(cluster.condition(name, kind).0, "False NodeDeleted");
        }
    }
    assert_eq!(cluster.candidates("a"), ["node-2"]);
}

#[test]
fn a_node_that_nothing_depends_on_causes_no_write() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    let elsewhere = Node {
        is_cordoned: true,
        ..node("node-9")
    };
    cluster.control.apply(Fact::Node(Box::new(elsewhere)));
    assert_eq!(cluster.control.decide(), []);
}

#[test]
fn an_agent_that_lets_go_makes_the_egress_unready() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    cluster.edit("a", let_go);
    assert_eq!(cluster.ready("a"), "False NotAssigned");
}

#[test]
fn a_limit_that_is_no_number_is_told_once_for_each_change() {
    let mut cluster = Cluster::new(2);
    let mut told = |written: Option<&str>| {
        cluster.edit_node("node-1", |node| {
            node.illegible_limit = written.map(str::to_owned);
        });
        let warnings = cluster.control.take_warnings();
        warnings
            .iter()
            .filter(|warning| warning.message.contains("is not a number"))
            .count()
    };
    let written = [Some("many"), Some("many"), Some("-1"), None, Some("many")];
    assert_eq!(written.map(&mut told), [1, 0, 1, 0, 1]);
}

#[test]
fn of_what_another_operator_has_seen_people_are_not_told_again() {
    let mut cluster = Cluster::new(2);
    let mut is_told = |facts: &[Fact], written: &str| {
        for fact in facts {
            cluster.control.apply(fact.clone());
        }
        cluster.edit_node("node-1", |node| {
            node.illegible_limit = Some(written.to_owned());
        });
        !cluster.control.take_warnings().is_empty()
    };
    assert!(!is_told(&[Fact::Superseded], "many"));
    assert!(!is_told(&[Fact::Synced], "many"));
    assert!(is_told(&[], "more"));
}

#[test]
fn what_was_wrong_before_the_first_operator_is_told_when_that_decides() {
    let mut control = Control::default();
    let wrong = Node {
        illegible_limit: Some("many".to_owned()),
        ..node("node-1")
    };
    control.apply(Fact::Node(Box::new(wrong)));
    control.decide();
    assert_eq!(control.take_warnings(), []);
    control.apply(Fact::Synced);
    assert_eq!(control.take_warnings().len(), 1);
}

#[test]
fn a_node_is_no_candidate_for_an_address_of_a_family_that_it_has_none_of() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    let first = cluster.candidates("a")[0].clone();
    cluster.edit_node(&first, |node| node.families = [Family::V6].into());
    assert!(!cluster.candidates("a").contains(&first));
    cluster.edit_node(&first, |node| {
        node.families = [Family::V4, Family::V6].into();
    });
    assert!(cluster.candidates("a").contains(&first));
}
