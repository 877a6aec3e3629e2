//! Addresses that leave a holder which could keep them.

use proptest::prelude::*;

use super::*;
use crate::control::Sign;
use crate::control::moving::{MOVES, STABLE_S};
use crate::placement::work;

/// So many Egresses of a pool with room for all, each held by this node: `e000` is the oldest.
fn all_on(node: &str, nodes: usize, egresses: u8) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    cluster.add_pool(pool("big", &["10.20.0.0/16"]));
    cluster.add((0..egresses).map(|number| {
        let mut egress = EgressFact {
            pool: Some("big".into()),
            ..egress(&format!("e{number:03}"), number.into())
        };
        egress.ip = Some(IpAddr::from([10, 20, 1, number]));
        take(&mut egress, node.into(), IpAddr::from([10, 20, 1, number]));
        egress
    }));
    for number in 1..=nodes {
        cluster.control.apply(Fact::NodeFitness {
            node: format!("node-{number}").into(),
            is_fit: true,
        });
    }
    cluster
}

impl Cluster {
    /// The Egresses whose list leaves their holder out.
    pub(super) fn moving(&self) -> Vec<String> {
        let egresses = self.world.egresses.values();
        let moving = egresses.filter(|egress| {
            let node = egress.status.node.as_ref();
            node.is_some_and(|node| !egress.status.candidates.contains(node))
        });
        moving.map(|egress| egress.name.to_string()).collect()
    }

    fn held_by(&self, node: &str) -> usize {
        let egresses = self.world.egresses.values();
        egresses
            .filter(|egress| egress.status.node == Some(node.into()))
            .count()
    }

    pub(super) fn at(&mut self, now_s: u64) {
        self.control.apply(Fact::Time(now_s));
        self.world.settle(&mut self.control);
    }

    /// Lets the agents follow until nothing moves any more. Gives how many have moved, and how many at most at once.
    fn follow(&mut self) -> (usize, usize) {
        let (mut moved, mut at_once) = (0, 0);
        loop {
            let moving = self.moving();
            if moving.is_empty() {
                return (moved, at_once);
            }
            at_once = at_once.max(moving.len());
            moved += 1;
            assert!(moved < 1000, "no end of moves");
            self.agents_act(&moving[0]);
        }
    }
}

#[test]
fn the_newest_leave_a_node_whose_limit_is_lowered() {
    let mut cluster = all_on("node-1", 2, 4);
    cluster.edit_node("node-1", |node| node.max_egress_ips = 2);
    assert_eq!(cluster.moving(), ["e002", "e003"]);
    assert_eq!(cluster.candidates("e003"), ["node-2"]);
    assert_eq!(cluster.candidates("e000"), ["node-1", "node-2"]);
    assert_eq!(cluster.follow(), (2, 2));
    assert_eq!(cluster.held_by("node-1"), 2);
    assert_eq!(cluster.world.started().decide(), []);
}

#[test]
fn where_no_other_node_has_room_an_address_stays_until_one_has() {
    let mut cluster = all_on("node-1", 2, 4);
    cluster.edit_node("node-2", |node| node.max_egress_ips = 1);
    cluster.edit_node("node-1", |node| node.max_egress_ips = 1);
    assert_eq!(cluster.follow(), (1, 1));
    assert_eq!(cluster.held_by("node-1"), 3);
    cluster.edit_node("node-2", |node| node.max_egress_ips = 2);
    assert_eq!(cluster.follow(), (1, 1));
    assert_eq!(cluster.held_by("node-1"), 2);
}

#[test]
fn only_so_many_move_at_once() {
    let mut cluster = all_on("node-1", 3, 100);
    cluster.edit_node("node-1", |node| node.max_egress_ips = 20);
    assert_eq!(cluster.follow(), (80, MOVES));
}

/// A node joins that held nothing: it gets what it is the nearest to, as far as that makes others less full.
#[test]
fn a_node_that_has_come_gets_its_share_once_it_was_stable() {
    let mut cluster = all_on("node-1", 1, 90);
    cluster.at(100);
    cluster.world.nodes.insert("node-2".into(), node("node-2"));
    cluster.edit_node("node-2", |_| {});
    cluster.at(100 + STABLE_S);
    assert_eq!(cluster.follow(), (0, 0), "its agent has not reported");
    cluster.control.apply(Fact::NodeFitness {
        node: "node-2".into(),
        is_fit: true,
    });
    cluster.at(100 + 2 * STABLE_S - 1);
    assert_eq!(cluster.follow(), (0, 0), "not yet");
    cluster.at(100 + 2 * STABLE_S);
    let (moved, at_once) = cluster.follow();
    assert_eq!((cluster.held_by("node-2"), at_once), (moved, MOVES));
    // 45 of 90, less what it is not the nearest to: a binomial's standard deviation is 4.7.
    assert!((31..=45).contains(&moved), "{moved}");
    assert_eq!(cluster.world.started().decide(), []);
    for now_s in 200..220 {
        cluster.at(now_s);
        assert_eq!(cluster.moving(), [""; 0], "it has had its turn");
    }
}

#[test]
fn nothing_moves_to_a_node_whose_report_is_deleted_before_its_agent_reports_anew() {
    let mut cluster = all_on("node-1", 2, 60);
    cluster.at(1);
    cluster.edit_node("node-2", |node| node.is_cordoned = true);
    cluster.control.apply(Fact::ReportGone("node-2".into()));
    cluster.edit_node("node-2", |node| node.is_cordoned = false);
    cluster.at(100);
    assert_eq!(cluster.follow(), (0, 0));
    cluster.control.apply(Fact::NodeFitness {
        node: "node-2".into(),
        is_fit: true,
    });
    cluster.at(100 + STABLE_S);
    assert!(cluster.follow().0 > 0);
}

#[test]
fn who_has_let_go_may_take_it_back_should_the_node_that_it_went_to_be_away() {
    let mut cluster = all_on("node-1", 2, 60);
    cluster.edit_node("node-2", |node| node.is_cordoned = true);
    cluster.edit_node("node-2", |node| node.is_cordoned = false);
    cluster.at(100);
    let name = cluster.moving()[0].clone();
    assert_eq!(cluster.candidates(&name), ["node-2"]);
    cluster.edit(&name, let_go);
    assert_eq!(cluster.candidates(&name), ["node-2", "node-1"]);
}

/// Others have taken all that a node held when it lost its power.
#[test]
fn a_node_that_is_heard_of_again_gets_its_share_once_it_was_stable() {
    let mut cluster = all_on("node-1", 2, 60);
    cluster.at(1);
    for node in ["node-1", "node-2", "node-3"] {
        cluster.control.apply(Fact::Sign {
            node: node.into(),
            sign: Some(Sign::Given),
        });
    }
    let missed = |cluster: &mut Cluster, nodes: &[&str]| {
        let nodes: BTreeSet<NodeName> = nodes.iter().map(|node| (*node).into()).collect();
        for by in ["node-1", "node-3"] {
            cluster.control.apply(Fact::Missed {
                by: by.into(),
                nodes: nodes.clone(),
            });
        }
    };
    cluster.world.nodes.insert("node-3".into(), node("node-3"));
    cluster.edit_node("node-3", |node| node.is_cordoned = true);
    missed(&mut cluster, &["node-2"]);
    cluster.at(100);
    assert_eq!(cluster.follow(), (0, 0), "nobody hears of it");
    missed(&mut cluster, &[]);
    cluster.at(100);
    cluster.at(100 + STABLE_S - 1);
    assert_eq!(cluster.follow(), (0, 0), "not yet");
    cluster.at(100 + STABLE_S);
    let (moved, _) = cluster.follow();
    assert!((15..=30).contains(&moved), "{moved}");
}

#[test]
fn nothing_moves_to_a_node_that_nobody_hears_of_though_it_becomes_eligible() {
    let mut cluster = all_on("node-1", 3, 60);
    for node in ["node-1", "node-2", "node-3"] {
        cluster.control.apply(Fact::Sign {
            node: node.into(),
            sign: Some(Sign::Given),
        });
    }
    cluster.edit_node("node-2", |node| node.is_cordoned = true);
    for by in ["node-1", "node-3"] {
        cluster.control.apply(Fact::Missed {
            by: by.into(),
            nodes: BTreeSet::from(["node-2".into()]),
        });
    }
    cluster.at(1);
    cluster.edit_node("node-2", |node| node.is_cordoned = false);
    cluster.at(100);
    assert_eq!(cluster.follow(), (0, 0));
}

#[test]
fn a_new_leader_knows_which_agents_have_reported() {
    let mut cluster = all_on("node-1", 2, 60);
    cluster.at(1);
    cluster.edit_node("node-2", |node| node.is_cordoned = true);
    cluster.control.apply(Fact::Superseded);
    cluster.control.apply(Fact::Synced);
    cluster.at(10);
    cluster.edit_node("node-2", |node| node.is_cordoned = false);
    cluster.at(10 + STABLE_S);
    assert!(cluster.follow().0 > 0);
}

#[test]
fn a_leader_that_leads_again_moves_nothing_to_a_node_that_came_back_while_another_led() {
    let mut cluster = all_on("node-1", 3, 60);
    for node in cluster.others("") {
        cluster.sign(&node, Sign::Given);
    }
    let others = cluster.others("node-2");
    cluster.missed(&others, &["node-2"]);
    cluster.at(100);
    cluster.control.apply(Fact::Superseded);
    cluster.missed(&others, &[]);
    cluster.control.apply(Fact::Synced);
    cluster.at(200);
    cluster.at(200 + STABLE_S);
    assert_eq!(cluster.follow(), (0, 0));
}

#[test]
fn a_single_address_does_not_follow_a_node_that_comes_back() {
    for number in 1..=3 {
        let mut cluster = all_on("node-1", 3, 1);
        cluster.at(1);
        let back = format!("node-{number}");
        cluster.edit_node(&back, |node| node.is_cordoned = true);
        cluster.follow();
        let held: Vec<_> = (1..=3)
            .map(|node| cluster.held_by(&format!("node-{node}")))
            .collect();
        cluster.edit_node(&back, |node| node.is_cordoned = false);
        cluster.at(100);
        cluster.follow();
        let now: Vec<_> = (1..=3)
            .map(|node| cluster.held_by(&format!("node-{node}")))
            .collect();
        assert_eq!(now, held);
    }
}

#[test]
fn a_node_that_does_not_take_what_it_should_gets_nothing_more() {
    let mut cluster = all_on("node-1", 3, 60);
    cluster.at(1);
    cluster.edit_node("node-2", |node| node.is_cordoned = true);
    cluster.edit_node("node-2", |node| node.is_cordoned = false);
    cluster.at(100);
    let mut refused = 0;
    while let Some(name) = cluster.moving().first().cloned() {
        refused += 1;
        let ip = cluster.ip_of(&name).unwrap();
        cluster.edit(&name, |egress| take(egress, "node-3".into(), ip));
    }
    assert_eq!(refused, MOVES);
}

#[test]
fn a_restart_moves_nothing() {
    let cluster = all_on("node-1", 5, 60);
    let mut control = cluster.world.started();
    control.apply(Fact::Time(0));
    assert_eq!(control.decide(), []);
    control.apply(Fact::Time(100));
    assert_eq!(control.decide(), []);
}

proptest! {
    /// Whoever holds what, and whoever comes: each address moves at most as often as there are nodes, and then all rest.
    #[test]
    fn moves_end(
        holders in prop::collection::vec(1_usize..6, 1..40),
        limits in prop::collection::vec(0_usize..20, 5),
        come in prop::collection::vec(1_usize..6, 0..4),
    ) {
        let mut cluster = all_on("node-1", 5, 0);
        for (number, holder) in (0_u8..).zip(&holders) {
            let mut held = EgressFact { pool: Some("big".into()), ..egress(&format!("e{number}"), 1) };
            let ip = IpAddr::from([10, 20, 1, number]);
            held.ip = Some(ip);
            take(&mut held, format!("node-{holder}").into(), ip);
            cluster.add([held]);
        }
        let names = |numbers: &[usize]| -> Vec<_> {
            numbers.iter().map(|number| format!("node-{number}")).collect()
        };
        for (name, limit) in names(&[1, 2, 3, 4, 5]).iter().zip(limits) {
            cluster.edit_node(name, |node| node.max_egress_ips = limit);
        }
        for name in names(&come) {
            cluster.edit_node(&name, |node| node.is_cordoned = true);
            cluster.edit_node(&name, |node| node.is_cordoned = false);
        }
        cluster.at(STABLE_S);
        let (moved, _) = cluster.follow();
        prop_assert!(moved <= 5 * holders.len(), "{} moves", moved);
        for now_s in 100..110 {
            cluster.at(now_s);
            prop_assert_eq!(cluster.moving(), [""; 0]);
        }
    }
}

/// The hashes for one more Egress in a cluster of so many, in which one node is always full.
fn hashes_of_one_more(egresses: u8) -> usize {
    let mut cluster = all_on("node-2", 20, egresses);
    cluster.edit_node("node-1", |node| node.max_egress_ips = 1);
    cluster.add([EgressFact {
        pool: Some("big".into()),
        ..egress("first", 1)
    }]);
    cluster.edit("first", |egress| {
        take(egress, "node-1".into(), ip("10.20.0.1"));
    });
    work::take();
    cluster.add([EgressFact {
        pool: Some("big".into()),
        ..egress("more", 1000)
    }]);
    work::take()
}

#[test]
fn one_more_egress_costs_the_same_among_few_and_among_many_where_a_node_is_full() {
    let (few, many) = (hashes_of_one_more(10), hashes_of_one_more(200));
    assert!(many <= few + 5 && few < 100, "{few} and {many} hashes");
}
