//! A node's index, driven by facts alone. The cluster of these tests: nodes a to f at 10.10.0.1 to 10.10.0.6, seen
//! from node a; namespaces prod (env=prod) and staging.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::egress::{Egress, WhenUnavailable};
use crate::name::PodName;
use crate::ownership::Holding;
use crate::placement;
use crate::selector::{AppliedTo, Labels, Requirement, Selector};

const NODES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn labels(text: &str) -> Labels {
    let pairs = text
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn selector(text: &str) -> Selector {
    Selector::new(
        labels(text)
            .into_iter()
            .map(|(key, value)| Requirement::In(key, BTreeSet::from([value]))),
    )
}

fn node_fact(name: &str, last_byte: u8) -> Fact {
    Fact::Node(Box::new(ClusterNode {
        placement: placement::Node::linux(name.into(), 255),
        addresses: vec![[10, 10, 0, last_byte].into()],
        pod_cidrs: vec![format!("10.244.{last_byte}.0/24").parse().unwrap()],
    }))
}

fn alive(names: &str) -> Fact {
    let nodes = names.split_whitespace().map(NodeName::from).collect();
    Fact::Alive {
        nodes,
        settled: true,
    }
}

fn pod(name: &str, address: &str, pod_labels: &str) -> Fact {
    let (namespace, name) = name.split_once('/').unwrap();
    Fact::Pod(Pod {
        name: PodName {
            namespace: namespace.into(),
            name: name.into(),
        },
        created: 0,
        addresses: vec![ip(address)],
        labels: labels(pod_labels),
    })
}

/// A pooled Egress for Pods with app=web, allocated, with candidates b, c, d.
fn egress(name: &str, egress_ip: &str) -> EgressFact {
    EgressFact {
        egress: Egress {
            name: name.into(),
            uid: name.to_owned(),
            generation: 1,
            created: 0,
            deleting: false,
            applied_to: AppliedTo {
                pods: Some(selector("app=web")),
                namespaces: None,
            },
            mode: Mode::Pooled {
                pool: "pool".into(),
                ip: Some(ip(egress_ip)),
            },
            priority: 0,
            when_unavailable: WhenUnavailable::Drop,
            except: Vec::new(),
            bandwidth: None,
        },
        is_allocated: true,
        candidates: ["b", "c", "d"].map(NodeName::from).to_vec(),
        reported: None,
    }
}

impl EgressFact {
    fn candidates(mut self, names: &str) -> Self {
        self.candidates = names.split_whitespace().map(NodeName::from).collect();
        self
    }

    fn reported(mut self, node: &str) -> Self {
        let egress_ip = self.egress.spec_ip();
        self.reported = Some(Holding {
            node: node.into(),
            egress_ip,
            generation: self.egress.generation,
        });
        self
    }

    fn fixed(mut self) -> Self {
        let egress_ip = self.egress.spec_ip().unwrap();
        self.egress.mode = Mode::Static { ip: egress_ip };
        self.candidates.clear();
        self
    }

    fn selecting(mut self, pods: Option<&str>, namespaces: Option<&str>) -> Self {
        self.egress.applied_to = AppliedTo {
            pods: pods.map(selector),
            namespaces: namespaces.map(selector),
        };
        self
    }

    fn priority(mut self, priority: i32) -> Self {
        self.egress.priority = priority;
        self
    }

    fn fact(self) -> Fact {
        Fact::Egress(Box::new(self))
    }
}

struct World(Index);

impl World {
    /// Six nodes, two namespaces, all agents alive, one selected Pod here.
    fn new() -> Self {
        let mut world = Self(Index::new("a".into(), &[Family::V4], Vec::new()));
        for (name, last_byte) in NODES.into_iter().zip(1..) {
            world.apply(node_fact(name, last_byte));
        }
        world.apply(Fact::Namespace("prod".into(), labels("env=prod")));
        world.apply(Fact::Namespace("staging".into(), Labels::new()));
        world.apply(alive("a b c d e f"));
        world.apply(pod("prod/web", "10.244.1.10", "app=web"));
        world.0.complete();
        world.0.take_changes();
        world
    }

    fn apply(&mut self, fact: Fact) {
        self.0.apply(fact);
    }

    fn changes(&mut self, fact: Fact) -> Vec<Change> {
        self.apply(fact);
        self.0.take_changes()
    }

    fn reports(&mut self) -> Vec<Report> {
        self.0
            .take_reports()
            .into_iter()
            .filter_map(|(_, report)| report)
            .collect()
    }

    /// What stands for Pods and egress IPs, in words.
    fn datapath(&mut self) -> Vec<String> {
        self.0.take_changes();
        self.0.planned().into_iter().filter_map(in_words).collect()
    }
}

fn in_words(element: Element) -> Option<String> {
    let egress_ip = |mac: Mac| {
        let [_, _, a, b, c, d] = mac.0;
        IpAddr::from([a, b, c, d])
    };
    Some(match element {
        Element::Remote {
            pod,
            identity: Some(mac),
        } => format!("{pod} through {}", egress_ip(mac)),
        Element::Remote {
            pod,
            identity: None,
        } => format!("{pod} dropped"),
        Element::Local { pod, egress_ip } => format!("{pod} here as {egress_ip}"),
        Element::Gateway { egress_ip, .. } => format!("gateway of {egress_ip}"),
        Element::Forward { identity, node } => format!("{} at {node}", egress_ip(identity)),
        Element::Guard(ip) => format!("guard {ip}"),
        Element::Address(ip) => format!("answers for {ip}"),
        Element::Except(_) | Element::Peer(_) | Element::Elsewhere(_) => return None,
    })
}

use crate::net::Mac;

#[test]
fn a_selected_pod_is_sent_to_the_node_that_holds_its_egress_ip() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").fact());
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.2"]
    );
}

#[test]
fn a_pod_that_no_egress_selects_has_no_element() {
    let mut world = World::new();
    world.apply(pod("prod/db", "10.244.1.11", "app=db"));
    assert_eq!(world.datapath(), Vec::<String>::new());
}

#[test]
fn a_pod_on_the_gateway_gets_the_egress_ip_there() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").candidates("a b c").fact());
    assert_eq!(
        world.datapath(),
        [
            "10.244.1.10 here as 10.10.0.11",
            "gateway of 10.10.0.11",
            "guard 10.10.0.11",
            "answers for 10.10.0.11"
        ]
    );
}

#[test]
fn a_pooled_ip_that_is_not_held_here_is_known_to_be_elsewhere_also_while_nobody_holds_it() {
    let mut world = World::new();
    let is_elsewhere = |world: &mut World| {
        world.0.take_changes();
        let elsewhere = Element::Elsewhere(ip("10.10.0.11"));
        world.0.planned().contains(&elsewhere)
    };
    world.apply(egress("web", "10.10.0.11").fact());
    assert!(is_elsewhere(&mut world));
    world.apply(egress("web", "10.10.0.11").candidates("a").fact());
    assert!(!is_elsewhere(&mut world));
    world.apply(egress("web", "10.10.0.11").candidates("gone").fact());
    assert!(is_elsewhere(&mut world));
    world.apply(egress("web", "10.10.0.11").fixed().fact());
    assert!(!is_elsewhere(&mut world));
}

#[test]
fn an_egress_without_an_ip_drops_what_it_selects() {
    let mut world = World::new();
    let mut waiting = egress("web", "10.10.0.11").candidates("");
    waiting.egress.mode = Mode::Pooled {
        pool: "pool".into(),
        ip: None,
    };
    world.apply(waiting.fact());
    assert_eq!(world.datapath(), ["10.244.1.10 dropped"]);
}

#[test]
fn an_ip_that_the_operator_has_given_no_node_is_not_in_force() {
    let mut world = World::new();
    world.apply(
        egress("web", "10.10.0.11")
            .candidates("")
            .reported("a")
            .fact(),
    );
    assert_eq!(world.datapath(), ["10.244.1.10 dropped"]);
}

#[test]
fn an_ip_that_the_operator_has_not_accepted_yet_is_not_in_force_and_disturbs_who_has_it() {
    let mut world = World::new();
    world.apply(egress("a", "10.0.0.9").reported("b").fact());
    world.apply(
        egress("z", "10.0.0.8")
            .selecting(Some("app=other"), None)
            .reported("a")
            .candidates("a b")
            .fact(),
    );
    assert!(
        world
            .datapath()
            .contains(&"answers for 10.0.0.8".to_owned())
    );
    let mut wish = egress("z", "10.0.0.9")
        .selecting(Some("app=other"), None)
        .candidates("a b");
    wish.is_allocated = false;
    wish.reported = Some(Holding {
        node: "a".into(),
        egress_ip: Some(ip("10.0.0.8")),
        generation: 1,
    });
    world.apply(wish.fact());
    let expected = ["10.244.1.10 through 10.0.0.9", "10.0.0.9 at 10.10.0.2"];
    assert_eq!(world.datapath(), expected);
}

#[test]
fn the_first_candidate_takes_over_from_a_dead_holder_without_the_api() {
    let mut world = World::new();
    world.apply(
        egress("web", "10.10.0.11")
            .candidates("b a c")
            .reported("b")
            .fact(),
    );
    world.0.take_changes();
    world.apply(alive("a c d e f"));
    assert_eq!(
        world.datapath(),
        [
            "10.244.1.10 here as 10.10.0.11",
            "gateway of 10.10.0.11",
            "guard 10.10.0.11",
            "answers for 10.10.0.11"
        ]
    );
    assert_eq!(world.reports(), [Report::Holds(ip("10.10.0.11"))]);
}

#[test]
fn a_node_that_comes_back_does_not_get_back_what_this_one_has_taken_over() {
    let mut world = World::new();
    let held_by_b = egress("web", "10.10.0.11")
        .candidates("b a c")
        .reported("b");
    world.apply(held_by_b.clone().fact());
    world.apply(alive("a c d e f"));
    world.apply(alive("a b c d e f"));
    world.apply(held_by_b.candidates("b a e").fact());
    assert!(
        world
            .datapath()
            .contains(&"answers for 10.10.0.11".to_owned())
    );
}

#[test]
fn a_holder_that_only_seemed_dead_is_gone_back_to_unless_the_status_names_another() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").reported("b").fact());
    world.apply(alive("a c d e f"));
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.3"]
    );
    world.apply(alive("a b c d e f"));
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.2"]
    );
    world.apply(egress("web", "10.10.0.11").reported("c").fact());
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.3"]
    );
}

#[test]
fn a_status_that_names_a_new_holder_is_followed() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").reported("b").fact());
    world.apply(egress("web", "10.10.0.11").reported("d").fact());
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.4"]
    );
}

#[test]
fn nodes_that_do_not_answer_are_missed_once_silence_may_be_taken_for_absence() {
    let mut world = World::new();
    let missed = |world: &World| {
        let missed = world.0.missed().into_iter();
        missed.map(|name| name.to_string()).collect::<String>()
    };
    assert_eq!(missed(&world), "");
    world.apply(alive("b c"));
    assert_eq!(missed(&world), "def");
    world.apply(Fact::NodeGone("e".into()));
    assert_eq!(missed(&world), "df");
    world.apply(Fact::Alive {
        nodes: BTreeSet::new(),
        settled: false,
    });
    assert_eq!(missed(&world), "");
}

#[test]
fn a_static_ip_on_a_link_of_this_node_is_translated_but_neither_guarded_nor_assumed() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.1").fixed().fact());
    assert_eq!(world.datapath(), ["10.244.1.10 through 10.10.0.1"]);
    world.apply(Fact::LocalAddresses(BTreeSet::from([ip("10.10.0.1")])));
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 here as 10.10.0.1", "gateway of 10.10.0.1"]
    );
    assert_eq!(world.reports(), [Report::Holds(ip("10.10.0.1"))]);
}

#[test]
fn a_static_ip_on_a_node_that_is_not_in_the_cluster_is_nobodys() {
    let mut world = World::new();
    world.apply(egress("a", "192.0.2.1").fixed().fact());
    world.apply(Fact::LocalAddresses(BTreeSet::from([ip("192.0.2.1")])));
    assert_eq!(world.reports().len(), 1);
    world.apply(Fact::NodeGone("a".into()));
    assert_eq!(world.reports(), []);
    assert_eq!(world.datapath(), ["10.244.1.10 through 192.0.2.1"]);
}

#[test]
fn a_static_ip_that_the_user_takes_away_is_let_go() {
    let mut world = World::new();
    world.apply(Fact::LocalAddresses(BTreeSet::from([ip("10.10.0.50")])));
    world.apply(egress("web", "10.10.0.50").fixed().reported("a").fact());
    world.apply(Fact::LocalAddresses(BTreeSet::new()));
    assert_eq!(world.datapath(), ["10.244.1.10 through 10.10.0.50"]);
    assert_eq!(world.reports(), [Report::LetGo]);
}

#[test]
fn two_static_egresses_may_share_an_ip() {
    let mut world = World::new();
    world.apply(Fact::LocalAddresses(BTreeSet::from([ip("10.10.0.1")])));
    world.apply(egress("one", "10.10.0.1").fixed().fact());
    world.apply(
        egress("two", "10.10.0.1")
            .fixed()
            .selecting(Some("app=db"), None)
            .fact(),
    );
    world.apply(pod("prod/db", "10.244.1.11", "app=db"));
    world.apply(Fact::EgressGone("one".into()));
    assert_eq!(
        world.datapath(),
        ["10.244.1.11 here as 10.10.0.1", "gateway of 10.10.0.1"]
    );
}

/// What agents and operators of other versions, or users around the schema, may have made of an Egress.
fn unusable(name: &str, deleting: bool) -> UnusableEgress {
    let EgressFact {
        egress, candidates, ..
    } = egress(name, "10.10.0.11").candidates("a b");
    UnusableEgress {
        name: egress.name,
        uid: egress.uid,
        created: 0,
        deleting,
        applied_to: Some(egress.applied_to),
        candidates,
        reported: Some(Holding {
            node: "a".into(),
            egress_ip: Some(ip("10.10.0.11")),
            generation: 1,
        }),
    }
}

#[test]
fn an_egress_that_becomes_unusable_stays_in_force_as_it_was_until_it_is_deleted() {
    let mut world = World::new();
    world.apply(
        egress("web", "10.10.0.11")
            .candidates("a b")
            .reported("a")
            .fact(),
    );
    let before = world.datapath();
    world.apply(Fact::EgressUnusable(Box::new(unusable("web", false))));
    assert_eq!(world.datapath(), before);
    world.apply(Fact::EgressUnusable(Box::new(unusable("web", true))));
    assert_eq!(world.datapath(), Vec::<String>::new());
    assert_eq!(world.reports(), [Report::LetGo]);
}

#[test]
fn pods_of_an_egress_that_was_never_usable_are_dropped_and_its_holder_lets_go() {
    let mut world = World::new();
    world.apply(Fact::EgressUnusable(Box::new(unusable("web", false))));
    assert_eq!(world.datapath(), ["10.244.1.10 dropped"]);
    assert_eq!(world.reports(), [Report::LetGo]);
}

#[test]
fn pods_of_one_that_shared_a_static_ip_follow_when_the_other_is_deleted() {
    let mut world = World::new();
    world.apply(Fact::LocalAddresses(BTreeSet::from([ip("192.0.2.1")])));
    world.apply(
        egress("one", "192.0.2.1")
            .selecting(Some("app=other"), None)
            .fixed()
            .reported("a")
            .fact(),
    );
    world.apply(egress("two", "192.0.2.1").fixed().reported("b").fact());
    assert!(
        world
            .datapath()
            .contains(&"10.244.1.10 here as 192.0.2.1".to_owned())
    );
    world.apply(Fact::EgressGone("one".into()));
    let expected = ["10.244.1.10 through 192.0.2.1", "192.0.2.1 at 10.10.0.2"];
    assert_eq!(world.datapath(), expected);
}

#[test]
fn a_pod_of_a_namespace_that_is_not_known_yet_is_selected_where_the_namespace_does_not_matter() {
    let mut world = World::new();
    world.apply(egress("any", "10.10.0.11").fact());
    world.apply(
        egress("one", "10.10.0.12")
            .selecting(None, Some("env=prod"))
            .fact(),
    );
    world.apply(pod("new/web", "10.244.1.11", "app=web"));
    let way = world
        .datapath()
        .into_iter()
        .find(|line| line.starts_with("10.244.1.11"));
    assert_eq!(way.as_deref(), Some("10.244.1.11 through 10.10.0.11"));
}

#[test]
fn a_pod_that_several_egresses_select_uses_the_one_of_highest_priority() {
    let mut world = World::new();
    world.apply(egress("low", "10.10.0.11").fact());
    world.apply(egress("high", "10.10.0.12").priority(1).fact());
    assert!(
        world
            .datapath()
            .contains(&"10.244.1.10 through 10.10.0.12".to_owned())
    );
    assert_eq!(world.0.overlapped(), BTreeSet::from(["low".into()]));
    world.apply(Fact::EgressGone("high".into()));
    assert!(
        world
            .datapath()
            .contains(&"10.244.1.10 through 10.10.0.11".to_owned())
    );
}

#[test]
fn a_namespace_that_gets_a_label_brings_its_pods_in() {
    let mut world = World::new();
    world.apply(pod("staging/web", "10.244.1.20", "app=web"));
    world.apply(
        egress("web", "10.10.0.11")
            .selecting(None, Some("env=prod"))
            .fact(),
    );
    assert!(
        !world
            .datapath()
            .contains(&"10.244.1.20 through 10.10.0.11".to_owned())
    );
    world.apply(Fact::Namespace("staging".into(), labels("env=prod")));
    assert!(
        world
            .datapath()
            .contains(&"10.244.1.20 through 10.10.0.11".to_owned())
    );
}

#[test]
fn an_address_that_a_new_pod_got_before_the_old_one_was_seen_to_be_gone_is_the_new_pods() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").fact());
    let Fact::Pod(newer) = pod("prod/a-db", "10.244.1.10", "app=db") else {
        unreachable!()
    };
    world.apply(Fact::Pod(Pod {
        created: 9,
        ..newer
    }));
    assert_eq!(world.datapath(), ["10.10.0.11 at 10.10.0.2"]);
}

#[test]
fn an_egress_that_is_being_deleted_selects_nothing_and_its_holder_lets_go() {
    let mut world = World::new();
    let held = egress("web", "10.10.0.11")
        .candidates("a b c")
        .reported("a");
    world.apply(held.clone().fact());
    let mut deleting = held;
    deleting.egress.deleting = true;
    world.apply(deleting.fact());
    assert_eq!(world.datapath(), Vec::<String>::new());
    assert_eq!(world.reports(), [Report::LetGo]);
}

#[test]
fn an_egress_made_again_under_the_same_name_remembers_no_holder_of_the_old_one() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").reported("d").fact());
    let mut again = egress("web", "10.10.0.11");
    again.egress.uid = "another".to_owned();
    world.apply(again.fact());
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.2"]
    );
}

#[test]
fn a_holder_that_changes_its_ip_reports_the_new_one() {
    let mut world = World::new();
    world.apply(
        egress("web", "10.10.0.11")
            .candidates("a b c")
            .reported("a")
            .fact(),
    );
    let mut moved = egress("web", "10.10.0.12").candidates("a b c");
    moved.reported = Some(Holding {
        node: "a".into(),
        egress_ip: Some(ip("10.10.0.11")),
        generation: 1,
    });
    world.apply(moved.fact());
    assert_eq!(world.reports(), [Report::Holds(ip("10.10.0.12"))]);
    assert!(
        !world
            .datapath()
            .contains(&"answers for 10.10.0.11".to_owned())
    );
}

#[test]
fn one_pod_event_changes_the_elements_of_that_pod_and_nothing_else() {
    let mut world = World::new();
    for n in 0..50 {
        world.apply(egress(&format!("e{n}"), &format!("10.10.1.{n}")).fact());
    }
    world.0.take_changes();
    let changes = world.changes(pod("prod/web-2", "10.244.1.30", "app=web"));
    let identity = Some(identity(ip("10.10.1.0")));
    assert_eq!(
        changes,
        [Change::Add(Element::Remote {
            pod: ip("10.244.1.30"),
            identity
        })]
    );
}

#[test]
fn a_fact_that_says_nothing_new_changes_nothing() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").fact());
    world.0.take_changes();
    assert_eq!(world.changes(egress("web", "10.10.0.11").fact()), []);
    assert_eq!(world.changes(node_fact("b", 2)), []);
    assert_eq!(world.changes(pod("prod/web", "10.244.1.10", "app=web")), []);
}

#[test]
fn a_node_that_moves_to_another_address_is_followed() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").fact());
    world.apply(node_fact("b", 77));
    assert_eq!(
        world.datapath(),
        ["10.244.1.10 through 10.10.0.11", "10.10.0.11 at 10.10.0.77"]
    );
}

#[test]
fn networks_that_lie_in_others_are_left_out_of_the_excepted_destinations() {
    let mut world = World(Index::new(
        "a".into(),
        &[Family::V4],
        vec!["10.244.0.0/16".parse().unwrap()],
    ));
    world.apply(node_fact("b", 2));
    world.apply(Fact::ServiceCidrs(vec!["10.96.0.0/12".parse().unwrap()]));
    world.0.take_changes();
    let except: Vec<_> = world
        .0
        .planned()
        .into_iter()
        .filter_map(|element| match element {
            Element::Except(cidr) => Some(cidr.to_string()),
            _ => None,
        })
        .collect();
    let linked = ["169.254.0.0/16", "224.0.0.0/4"];
    let inside = ["10.10.0.2/32", "10.96.0.0/12", "10.244.0.0/16"];
    assert_eq!(except, [&inside[..], &linked[..]].concat());
}

/// A node of both families, whose first address is of IPv6.
fn dual_node(name: &str, last_byte: u8) -> Fact {
    let Fact::Node(mut node) = node_fact(name, last_byte) else {
        unreachable!()
    };
    node.addresses
        .insert(0, format!("fd10::{last_byte}").parse().unwrap());
    node.placement.families = [Family::V4, Family::V6].into();
    Fact::Node(node)
}

fn dual_world() -> World {
    let both = &[Family::V4, Family::V6];
    let mut world = World(Index::new("a".into(), both, Vec::new()));
    for (name, last_byte) in [("a", 1), ("b", 2), ("c", 3)] {
        world.apply(dual_node(name, last_byte));
    }
    world.apply(Fact::Namespace("prod".into(), Labels::new()));
    world.apply(alive("a b c"));
    world.0.complete();
    world
}

#[test]
fn a_tunnel_ends_at_a_nodes_address_of_the_family_of_the_first_whatever_is_in_it() {
    let mut world = dual_world();
    for (name, ip) in [("four", "10.10.0.50"), ("six", "fd10::50")] {
        world.apply(egress(name, ip).candidates("b").fact());
        let identity = identity(ip.parse().unwrap());
        world.0.take_changes();
        assert!(world.0.planned().contains(&Element::Forward {
            identity,
            node: "fd10::2".parse().unwrap(),
        }));
    }
    assert_eq!(
        world.0.peers()[&"b".into()],
        "fd10::2".parse::<IpAddr>().unwrap()
    );
}

#[test]
fn what_no_router_passes_on_never_counts_as_outside() {
    let mut world = dual_world();
    world.0.take_changes();
    for network in ["fe80::/10", "ff00::/8", "169.254.0.0/16", "224.0.0.0/4"] {
        let except = Element::Except(network.parse().unwrap());
        assert!(world.0.planned().contains(&except), "{network}");
    }
}

#[test]
fn ipv6_is_expected_of_a_node_once_there_is_an_egress_ip_of_it() {
    let mut world = dual_world();
    assert_eq!(world.0.expected_families(), [Family::V4].into());
    world.apply(egress("six", "fd10::50").candidates("b").fact());
    assert_eq!(world.0.expected_families(), [Family::V4, Family::V6].into());
}

#[test]
fn an_egress_ip_of_a_family_that_the_datapath_does_not_serve_is_not_held() {
    let mut world = World::new();
    world.apply(egress("web", "fd10::11").candidates("a b c").fact());
    world.apply(pod("prod/six", "fd24::6", "app=web"));
    assert_eq!(world.datapath(), Vec::<String>::new());
    assert_eq!(world.reports(), []);
}

#[test]
fn nobody_is_believed_to_hold_anything_before_all_is_known() {
    let mut world = World(Index::new("a".into(), &[Family::V4], Vec::new()));
    world.apply(alive("a b"));
    world.apply(
        egress("web", "10.10.0.11")
            .candidates("b a")
            .reported("b")
            .fact(),
    );
    assert_eq!(world.datapath(), Vec::<String>::new());
    world.apply(node_fact("a", 1));
    world.apply(node_fact("b", 2));
    world.0.complete();
    assert_eq!(world.datapath(), ["10.10.0.11 at 10.10.0.2"]);
}

#[test]
fn agents_that_are_no_nodes_of_the_cluster_make_no_majority() {
    let mut world = World::new();
    world.apply(
        egress("web", "10.10.0.11")
            .candidates("b a c")
            .reported("b")
            .fact(),
    );
    world.apply(alive("a x y z"));
    assert_eq!(world.datapath(), ["10.244.1.10 through 10.10.0.11"]);
}

#[test]
fn an_egress_that_is_gone_has_nothing_to_report_any_more() {
    let mut world = World::new();
    world.apply(egress("web", "10.10.0.11").candidates("a b c").fact());
    world.apply(Fact::EgressGone("web".into()));
    assert_eq!(world.0.take_reports(), [("web".into(), None)]);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let name = (0_u8..4).prop_map(|n| format!("e{n}"));
    let any_egress = (
        name.clone(),
        0_u8..3,
        0_i32..2,
        0_usize..4,
        proptest::option::of(0_usize..6),
    )
        .prop_map(|(name, last_byte, priority, first, reported)| {
            let candidates = NODES[first..].join(" ");
            let fact = egress(&name, &format!("10.10.1.{last_byte}"))
                .candidates(if first == 3 { "" } else { &candidates })
                .priority(priority);
            reported
                .map_or(fact.clone(), |node| fact.reported(NODES[node]))
                .fact()
        });
    let any_alive = proptest::collection::btree_set(0_usize..6, 0..6).prop_map(|nodes| {
        alive(
            &nodes
                .into_iter()
                .map(|node| NODES[node])
                .collect::<Vec<_>>()
                .join(" "),
        )
    });
    let any_pod = (0_u8..4, 0_u8..4, any::<bool>()).prop_map(|(name, address, selected)| {
        let labels = if selected { "app=web" } else { "app=db" };
        pod(
            &format!("prod/p{name}"),
            &format!("10.244.1.{address}"),
            labels,
        )
    });
    let pod_gone = (0_u8..4).prop_map(|n| {
        Fact::PodGone(PodName {
            namespace: "prod".into(),
            name: format!("p{n}").into(),
        })
    });
    prop_oneof![
        4 => any_egress,
        1 => name.prop_map(|name| Fact::EgressGone(name.into())),
        3 => any_pod,
        1 => pod_gone,
        2 => any_alive,
    ]
}

proptest! {
    /// Planning after each fact, or once at the end, leads to the same kernel state; and the changes add up to it.
    #[test]
    fn what_is_planned_step_by_step_is_what_is_planned_at_once(
        facts in proptest::collection::vec(any_fact(), 1..40)
    ) {
        let (mut stepwise, mut at_once) = (World::new(), World::new());
        let mut kernel = stepwise.0.planned();
        for fact in &facts {
            for change in stepwise.changes(fact.clone()) {
                match change {
                    Change::Remove(element) => prop_assert!(kernel.remove(&element)),
                    Change::Add(element) => prop_assert!(kernel.insert(element)),
                }
            }
            at_once.apply(fact.clone());
        }
        at_once.0.take_changes();
        prop_assert_eq!(&kernel, &stepwise.0.planned());
        prop_assert_eq!(kernel, at_once.0.planned());
    }

    /// No Pod address ever has two ways, and no identity two gateways.
    #[test]
    fn every_address_has_one_way(facts in proptest::collection::vec(any_fact(), 1..40)) {
        let mut world = World::new();
        for fact in facts {
            world.apply(fact);
            world.0.take_changes();
            let mut seen = BTreeSet::new();
            for element in world.0.planned() {
                let key = match element {
                    Element::Remote { pod, .. } | Element::Local { pod, .. } => pod.to_string(),
                    Element::Gateway { identity, .. } | Element::Forward { identity, .. } => {
                        identity.to_string()
                    }
                    _ => continue,
                };
                prop_assert!(seen.insert(key));
            }
        }
    }
}

fn waiting(name: &str) -> EgressFact {
    let mut waiting = egress(name, "10.10.0.11");
    waiting.egress.mode = Mode::Pooled {
        pool: "pool".into(),
        ip: None,
    };
    waiting.is_allocated = false;
    waiting
}

fn pool_of(families: &[Family]) -> Fact {
    let pool = Pool {
        nodes: Selector::default(),
        families: families.iter().copied().collect(),
    };
    Fact::Pool("pool".into(), pool)
}

/// The Pod addresses whose packets are dropped for want of an egress IP.
fn dropped(world: &mut World) -> Vec<String> {
    world.0.take_changes();
    let planned = world.0.planned().into_iter();
    planned
        .filter_map(|element| match element {
            Element::Remote {
                pod,
                identity: None,
            } => Some(pod.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn an_egress_that_waits_for_an_address_stops_only_packets_of_the_families_that_it_could_get() {
    let mut world = dual_world();
    world.apply(pod("prod/four", "10.244.1.10", "app=web"));
    world.apply(pod("prod/six", "fd24::10", "app=web"));
    world.apply(waiting("web").fact());
    let both = ["10.244.1.10", "fd24::10"];
    assert_eq!(dropped(&mut world), both);
    world.apply(pool_of(&[Family::V4]));
    assert_eq!(dropped(&mut world), ["10.244.1.10"]);
    world.apply(pool_of(&[Family::V6]));
    assert_eq!(dropped(&mut world), ["fd24::10"]);
    world.apply(pool_of(&[Family::V4, Family::V6]));
    assert_eq!(dropped(&mut world), both);
}

#[test]
fn egresses_of_different_families_do_not_overlap_and_each_serves_its_own() {
    let mut world = dual_world();
    let Fact::Pod(mut both) = pod("prod/web", "10.244.1.10", "app=web") else {
        unreachable!()
    };
    both.addresses.push(ip("fd24::10"));
    world.apply(Fact::Pod(both));
    world.apply(egress("four", "10.10.0.11").fact());
    world.apply(egress("six", "fd10::11").fact());
    assert_eq!(world.0.overlapped(), BTreeSet::new());
    world.0.take_changes();
    for (pod, egress_ip) in [("10.244.1.10", "10.10.0.11"), ("fd24::10", "fd10::11")] {
        let remote = Element::Remote {
            pod: ip(pod),
            identity: Some(identity(ip(egress_ip))),
        };
        assert!(world.0.planned().contains(&remote), "{pod}");
    }
    world.apply(egress("six-too", "fd10::12").fact());
    assert_eq!(world.0.overlapped(), BTreeSet::from(["six-too".into()]));
}

#[test]
fn a_node_without_an_address_of_the_family_is_not_ranked_for_an_egress_ip() {
    let mut world = dual_world();
    world.apply(pool_of(&[Family::V6]));
    world.apply(egress("six", "fd10::11").candidates("gone").fact());
    let holder = |world: &World| world.0.egresses[&"six".into()].holder.clone();
    let first = holder(&world).unwrap();
    let Fact::Node(mut node) = dual_node(first.as_str(), 9) else {
        unreachable!()
    };
    node.placement.families = [Family::V4].into();
    world.apply(Fact::Node(node));
    let mut lost = egress("six-too", "fd10::11").candidates("gone");
    lost.egress.created = 1;
    world.apply(Fact::EgressGone("six".into()));
    world.apply(lost.fact());
    let next = world.0.egresses[&"six-too".into()].holder.clone();
    assert!(next.is_some_and(|next| next != first));
}
