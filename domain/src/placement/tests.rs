use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::selector::Requirement;

fn node(name: &str) -> Node {
    Node::linux(name.into(), 255)
}

fn nodes(count: usize) -> Vec<Node> {
    (1..=count).map(|i| node(&format!("node-{i}"))).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Fixed addresses of both families.
fn ips(count: u8) -> impl Iterator<Item = IpAddr> {
    (0..count).flat_map(|i| [ip(&format!("10.10.1.{i}")), ip(&format!("fd00::{i:x}"))])
}

fn rank_all(ip: IpAddr, holder: Option<&NodeName>, nodes: &[Node]) -> Vec<NodeName> {
    rank(&"pool".into(), ip, holder, nodes.iter(), |_| true)
}

fn first(ip: IpAddr, nodes: &[Node]) -> NodeName {
    rank_all(ip, None, nodes).remove(0)
}

#[test]
fn an_able_linux_node_that_the_pool_selects_is_eligible() {
    assert!(eligible(&Selector::default(), &node("node-1")));
}

#[test]
fn a_node_with_one_fault_is_not_eligible() {
    let healthy = node("node-1");
    for faulty in [
        Node {
            is_linux: false,
            ..healthy.clone()
        },
        Node {
            is_cordoned: true,
            ..healthy.clone()
        },
        Node {
            is_deleting: true,
            ..healthy.clone()
        },
        Node {
            ready_for_egress: false,
            ..healthy.clone()
        },
    ] {
        assert!(!eligible(&Selector::default(), &faulty), "{faulty:?}");
    }
}

#[test]
fn a_node_outside_the_pools_selector_is_not_eligible() {
    let selector = Selector::new([Requirement::Exists("edge".to_owned())]);
    let mut edge = node("node-1");
    assert!(!eligible(&selector, &edge));
    edge.labels.insert("edge".to_owned(), String::new());
    assert!(eligible(&selector, &edge));
}

/// The values are XXH3 (64 bits, seed 0) by another implementation, of `pool NUL 4|6 address node`.
/// Other values move every egress IP of every cluster on the next upgrade.
#[test]
fn the_hash_is_the_same_for_ever() {
    let hash = |pool: &str, address: &str, node: &str| {
        format!(
            "{:016x}",
            super::hash(&pool.into(), ip(address), &node.into())
        )
    };
    assert_eq!(hash("pool", "10.10.1.1", "node-1"), "d6b5ab48cfc6c0d6");
    assert_eq!(hash("pool", "10.10.1.1", "node-2"), "612982ea5b05f55c");
    assert_eq!(hash("pool", "fd00::1", "node-1"), "98173b7fed320401");
    assert_eq!(
        hash("another-pool", "10.10.1.1", "node-1"),
        "96e8264312ebf579"
    );
}

#[test]
fn the_order_is_the_same_for_ever() {
    let expected = ["node-3", "node-1", "node-2", "node-5", "node-4"].map(NodeName::from);
    assert_eq!(rank_all(ip("10.10.1.1"), None, &nodes(5)), expected);
}

#[test]
fn pools_spread_the_same_address_differently() {
    let order = |pool: &str| {
        rank(&pool.into(), ip("10.10.1.1"), None, nodes(9).iter(), |_| {
            true
        })
    };
    assert_ne!(order("a"), order("b"));
}

#[test]
fn egress_ips_spread_over_nodes_roughly_evenly() {
    let nodes = nodes(10);
    let mut held: BTreeMap<NodeName, usize> = BTreeMap::new();
    for ip in ips(250) {
        *held.entry(first(ip, &nodes)).or_default() += 1;
    }
    // 500 over 10: a binomial's standard deviation is 6.7; these are three of it.
    assert_eq!(held.len(), 10);
    assert!(
        held.values().all(|count| (30..=70).contains(count)),
        "{held:?}"
    );
}

#[test]
fn the_egress_ips_of_a_lost_node_spread_over_all_others() {
    let nodes = nodes(5);
    let mut heirs: BTreeMap<NodeName, usize> = BTreeMap::new();
    for order in ips(250).map(|ip| rank_all(ip, None, &nodes)) {
        if order[0].as_str() == "node-1" {
            *heirs.entry(order[1].clone()).or_default() += 1;
        }
    }
    // About 100 over 4: a binomial's standard deviation is 4.3; these are three of it.
    assert_eq!(heirs.len(), 4);
    assert!(
        heirs.values().all(|count| (12..=38).contains(count)),
        "{heirs:?}"
    );
}

#[test]
fn a_node_without_room_is_no_candidate() {
    let order = rank(
        &"pool".into(),
        ip("10.10.1.1"),
        None,
        nodes(3).iter(),
        |node| node.as_str() != "node-2",
    );
    assert_eq!(order.len(), 2);
    assert!(!order.contains(&"node-2".into()));
}

#[test]
fn a_holder_without_room_stays_first() {
    let holder = "node-2".into();
    let order = rank(
        &"pool".into(),
        ip("10.10.1.1"),
        Some(&holder),
        nodes(3).iter(),
        |_| false,
    );
    assert_eq!(order, [holder]);
}

#[test]
fn without_nodes_there_are_no_candidates() {
    assert!(rank_all(ip("10.10.1.1"), Some(&"node-1".into()), &[]).is_empty());
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ]
}

fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
    subsequence(nodes(12), 1..=12)
}

proptest! {
    #[test]
    fn every_node_stands_in_the_order_once(ip in any_ip(), nodes in any_nodes()) {
        let mut order = rank_all(ip, None, &nodes);
        order.sort();
        let mut names: Vec<_> = nodes.iter().map(|node| node.name.clone()).collect();
        names.sort();
        prop_assert_eq!(order, names);
    }

    #[test]
    fn the_order_in_which_nodes_are_listed_does_not_matter(
        ip in any_ip(),
        (nodes, shuffled) in any_nodes().prop_flat_map(|nodes| {
            (Just(nodes.clone()), Just(nodes).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(rank_all(ip, None, &nodes), rank_all(ip, None, &shuffled));
    }

    /// So a node that joins takes only the egress IPs that it wins, and one that leaves moves only its own.
    #[test]
    fn a_node_that_comes_or_goes_changes_nothing_between_the_others(
        ip in any_ip(),
        with in any_nodes(),
        gone in any::<prop::sample::Index>(),
    ) {
        let mut without = with.clone();
        let gone = without.remove(gone.index(with.len()));
        let mut order = rank_all(ip, None, &with);
        order.retain(|name| *name != gone.name);
        prop_assert_eq!(order, rank_all(ip, None, &without));
    }

    #[test]
    fn the_holder_is_first_and_the_others_keep_their_order(
        ip in any_ip(),
        nodes in any_nodes(),
        holder in any::<prop::sample::Index>(),
    ) {
        let holder = nodes[holder.index(nodes.len())].name.clone();
        let mut order = rank_all(ip, Some(&holder), &nodes);
        prop_assert_eq!(order.remove(0), holder.clone());
        let mut unheld = rank_all(ip, None, &nodes);
        unheld.retain(|name| *name != holder);
        prop_assert_eq!(order, unheld);
    }

    #[test]
    fn a_holder_that_is_not_eligible_changes_nothing(ip in any_ip(), nodes in any_nodes()) {
        let gone = "gone".into();
        prop_assert_eq!(rank_all(ip, Some(&gone), &nodes), rank_all(ip, None, &nodes));
    }

    #[test]
    fn nodes_without_room_are_left_out_and_the_others_keep_their_order(
        ip in any_ip(),
        nodes in any_nodes(),
        roomy in any_nodes(),
    ) {
        let roomy: Vec<_> = roomy.into_iter().map(|node| node.name).collect();
        let has_room = |name: &NodeName| roomy.contains(name);
        let order = rank(&"pool".into(), ip, None, nodes.iter(), has_room);
        let mut expected = rank_all(ip, None, &nodes);
        expected.retain(has_room);
        prop_assert_eq!(order, expected);
    }
}

#[test]
fn egress_ips_placed_one_after_the_other_respect_every_cap() {
    let nodes = nodes(4);
    let caps = [3, 0, 5, 2];
    let mut held: BTreeMap<NodeName, usize> = BTreeMap::new();
    let mut unplaced = 0;
    for ip in ips(6) {
        let has_room = |name: &NodeName| {
            let cap = nodes
                .iter()
                .zip(caps)
                .find(|(node, _)| node.name == *name)
                .unwrap()
                .1;
            held.get(name).copied().unwrap_or_default() < cap
        };
        match rank(&"pool".into(), ip, None, nodes.iter(), has_room)
            .into_iter()
            .next()
        {
            Some(name) => *held.entry(name).or_default() += 1,
            None => unplaced += 1,
        }
    }
    let full = [
        ("node-1".into(), 3),
        ("node-3".into(), 5),
        ("node-4".into(), 2),
    ];
    assert_eq!((held, unplaced), (BTreeMap::from(full), 2));
}
