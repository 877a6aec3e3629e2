//! Ranking nodes: stable, even, and within their limits.

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

fn rank_all(ip: IpAddr, nodes: &[Node]) -> Vec<NodeName> {
    rank(&"pool".into(), ip, nodes.iter())
}

/// The candidates where this node has the place.
fn list(ip: IpAddr, place: Option<&Node>, nodes: &[Node]) -> Vec<NodeName> {
    let chosen = candidates(&"pool".into(), ip, place, nodes.iter());
    chosen.iter().map(|node| node.name.clone()).collect()
}

fn first(ip: IpAddr, nodes: &[Node]) -> NodeName {
    rank_all(ip, nodes).remove(0)
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
            is_fit: false,
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
    assert_eq!(rank_all(ip("10.10.1.1"), &nodes(5)), expected);
}

#[test]
fn pools_spread_the_same_address_differently() {
    let order = |pool: &str| rank(&pool.into(), ip("10.10.1.1"), nodes(9).iter());
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
    for order in ips(250).map(|ip| rank_all(ip, &nodes)) {
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
fn without_nodes_there_are_no_candidates() {
    assert!(list(ip("10.10.1.1"), None, &[]).is_empty());
    assert!(rank_all(ip("10.10.1.1"), &[]).is_empty());
}

/// `-log2` of a half and of a quarter, and of the extremes: what is near one is near zero.
#[test]
fn the_exponent_is_the_logarithm_the_same_on_every_machine() {
    let one = 1 << FRACTION;
    assert_eq!([1 << 63, 1 << 62].map(exponent), [one, 2 * one]);
    assert_eq!([0, 1].map(exponent), [64 * one; 2]);
    assert_eq!(exponent(u64::MAX), 1);
    assert_eq!(
        exponent(0xB504_F333_F9DE_6485),
        one / 2,
        "the root of a half"
    );
}

#[test]
fn a_node_that_may_hold_more_egress_ips_wins_more_of_them_in_proportion() {
    let weights = [10, 20, 30, 40];
    let nodes: Vec<_> = (nodes(4).into_iter().zip(weights))
        .map(|(node, max_egress_ips)| Node {
            max_egress_ips,
            ..node
        })
        .collect();
    let won = |node: &Node| {
        ips(250)
            .filter(|ip| first(*ip, &nodes) == node.name)
            .count()
    };
    let won: Vec<_> = nodes.iter().map(won).collect();
    // Of 500: a binomial's standard deviation is at most 11; these are three of it.
    let expected = [50, 100, 150, 200];
    let is_near = |(won, expected): (&usize, usize)| won.abs_diff(expected) <= 33;
    assert!(won.iter().zip(expected).all(is_near), "{won:?}");
}

fn in_zone(name: &str, zone: &str) -> Node {
    let mut node = node(name);
    node.labels.insert(ZONE_LABEL.to_owned(), zone.to_owned());
    node
}

#[test]
fn candidates_in_a_row_are_in_different_zones_where_there_are_such() {
    let nodes: Vec<_> = (1..=9)
        .map(|number| {
            in_zone(
                &format!("node-{number}"),
                if number < 8 { "a" } else { "b" },
            )
        })
        .collect();
    for ip in ips(50) {
        let list = list(ip, None, &nodes);
        let zones: Vec<_> = list
            .iter()
            .map(|name| nodes.iter().find(|node| node.name == *name).unwrap().zone())
            .collect();
        assert!(zones.windows(2).all(|pair| pair[0] != pair[1]), "{zones:?}");
        assert_eq!(
            list[0],
            first(ip, &nodes),
            "the zone does not choose the first"
        );
    }
}

#[test]
fn zones_that_all_nodes_share_change_nothing() {
    let plain = nodes(9);
    let shared: Vec<_> = plain
        .iter()
        .map(|node| in_zone(node.name.as_str(), "a"))
        .collect();
    for ip in ips(50) {
        assert_eq!(list(ip, None, &shared), list(ip, None, &plain));
    }
}

/// What moves when one of the nodes leaves or joins, against what has to.
#[test]
fn a_join_moves_only_what_the_new_node_wins_and_a_leave_only_what_the_old_one_had() {
    let (all, without) = (nodes(50), nodes(49));
    let mut won = 0;
    for ip in ips(250) {
        let (with, before) = (first(ip, &all), first(ip, &without));
        if with.as_str() == "node-50" {
            won += 1;
        } else {
            assert_eq!(with, before);
        }
    }
    // 500 over 50 are 10 on the average; the standard deviation is 3.1.
    assert!((1..=19).contains(&won), "{won}");
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
        let mut order = rank_all(ip, &nodes);
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
        prop_assert_eq!(rank_all(ip, &nodes), rank_all(ip, &shuffled));
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
        let mut order = rank_all(ip, &with);
        order.retain(|name| *name != gone.name);
        prop_assert_eq!(order, rank_all(ip, &without));
    }

    #[test]
    fn the_place_is_first_and_the_others_keep_their_order(
        ip in any_ip(),
        nodes in any_nodes(),
        place in any::<prop::sample::Index>(),
    ) {
        let place = &nodes[place.index(nodes.len())];
        let mut list = list(ip, Some(place), &nodes);
        prop_assert_eq!(list.remove(0), place.name.clone());
        let mut others = rank_all(ip, &nodes);
        others.retain(|name| *name != place.name);
        others.truncate(CANDIDATES - 1);
        prop_assert_eq!(list, others);
    }

    #[test]
    fn a_higher_hash_never_has_a_higher_exponent(a in any::<u64>(), b in any::<u64>()) {
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(exponent(low) >= exponent(high));
    }
}
