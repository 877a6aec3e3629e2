//! The order of changes to a kernel.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn gateway(egress_ip: &str) -> Element {
    Element::Gateway {
        identity: identity(ip(egress_ip)),
        egress_ip: ip(egress_ip),
    }
}

fn forward(egress_ip: &str, node: &str) -> Element {
    Element::Forward {
        identity: identity(ip(egress_ip)),
        node: ip(node),
    }
}

fn remote(pod: &str, egress_ip: &str) -> Element {
    Element::Remote {
        pod: ip(pod),
        identity: Some(identity(ip(egress_ip))),
    }
}

fn local(pod: &str, egress_ip: &str) -> Element {
    Element::Local {
        pod: ip(pod),
        egress_ip: ip(egress_ip),
    }
}

fn step(is: &[Element], should: &[Element]) -> Commit {
    let set = |elements: &[Element]| elements.iter().copied().collect();
    Commit::of(&diff(&set(is), &set(should)))
}

#[test]
fn an_identity_is_readable_for_ipv4_and_hashed_for_ipv6() {
    assert_eq!(identity(ip("10.10.0.11")).to_string(), "02:e9:0a:0a:00:0b");
    let v6 = identity(ip("fd10::11")).to_string();
    assert!(v6.starts_with("06:e9:"), "{v6}");
    assert_ne!(identity(ip("fd10::11")), identity(ip("fd10::12")));
}

#[test]
fn a_node_s_own_tunnel_address_is_never_an_identity() {
    assert_ne!(tunnel_mac(ip("10.10.0.11")), identity(ip("10.10.0.11")));
    assert_eq!(
        tunnel_mac(ip("fd10::a0b:c0d")).to_string(),
        "02:ea:0a:0b:0c:0d"
    );
}

#[test]
fn nothing_changes_when_all_is_as_it_should_be() {
    let all = [
        remote("10.244.1.2", "10.10.0.11"),
        forward("10.10.0.11", "10.10.0.104"),
    ];
    assert!(step(&all, &all).is_empty());
}

#[test]
fn a_new_gateway_translates_before_it_answers_for_the_address() {
    let commit = step(
        &[],
        &[gateway("10.10.0.11"), Element::Address(ip("10.10.0.11"))],
    );
    assert_eq!(commit.transaction, [Change::Add(gateway("10.10.0.11"))]);
    assert_eq!(commit.assume, [ip("10.10.0.11")]);
    assert_eq!(commit.announce, [ip("10.10.0.11")]);
    assert!(commit.withdraw.is_empty());
}

#[test]
fn a_static_ip_is_announced_by_its_new_gateway_but_not_assumed() {
    let commit = step(&[], &[gateway("10.10.0.104")]);
    assert_eq!(commit.announce, [ip("10.10.0.104")]);
    assert!(commit.assume.is_empty());
}

#[test]
fn a_static_ip_is_held_and_let_go_as_a_pooled_one_is() {
    let pooled = [gateway("10.10.0.11"), Element::Address(ip("10.10.0.11"))];
    for (elements, held) in [
        (&pooled[..], "10.10.0.11"),
        (&[gateway("10.10.0.104")], "10.10.0.104"),
    ] {
        let (begin, end) = (step(&[], elements), step(elements, &[]));
        assert_eq!((begin.taken(), end.taken()), ([ip(held)].into(), [].into()));
        assert_eq!(
            (begin.let_go(), end.let_go()),
            ([].into(), [ip(held)].into())
        );
    }
}

#[test]
fn an_address_that_is_put_back_is_announced_although_its_translation_stood() {
    let address = Element::Address(ip("10.10.0.11"));
    let commit = step(&[gateway("10.10.0.11")], &[gateway("10.10.0.11"), address]);
    assert_eq!(commit.announce, [ip("10.10.0.11")]);
}

#[test]
fn all_that_a_node_is_gateway_of_can_be_announced_again_each_once() {
    let all = [
        gateway("10.10.0.11"),
        Element::Address(ip("10.10.0.11")),
        gateway("10.10.0.104"),
        forward("10.10.0.12", "10.10.0.102"),
    ];
    let planned = BTreeSet::from(all);
    let again = [ip("10.10.0.11"), ip("10.10.0.104")];
    for is in [&all[..], &all[2..], &[]] {
        let commit = step(is, &all).announcing(&planned);
        assert_eq!(BTreeSet::from_iter(commit.announce), BTreeSet::from(again));
    }
    assert!(
        Commit::default()
            .announcing(&BTreeSet::from([all[3]]))
            .is_empty()
    );
}

#[test]
fn an_old_gateway_withdraws_the_address_before_anything_else() {
    let commit = step(
        &[gateway("10.10.0.11"), Element::Address(ip("10.10.0.11"))],
        &[forward("10.10.0.11", "10.10.0.102")],
    );
    assert_eq!(commit.withdraw, [ip("10.10.0.11")]);
    assert_eq!(
        commit.forward,
        [(identity(ip("10.10.0.11")), ip("10.10.0.102"))]
    );
    assert_eq!(commit.transaction, [Change::Remove(gateway("10.10.0.11"))]);
}

#[test]
fn an_identity_that_moves_is_replaced_and_never_without_a_gateway_between() {
    let commit = step(
        &[forward("10.10.0.11", "10.10.0.104")],
        &[forward("10.10.0.11", "10.10.0.102")],
    );
    assert_eq!(
        commit.forward,
        [(identity(ip("10.10.0.11")), ip("10.10.0.102"))]
    );
    assert!(commit.unforward.is_empty());
}

#[test]
fn an_identity_without_a_gateway_loses_its_forwarding_entry() {
    let commit = step(&[forward("10.10.0.11", "10.10.0.104")], &[]);
    assert_eq!(commit.unforward, [identity(ip("10.10.0.11"))]);
}

#[test]
fn a_pod_changes_sides_within_one_transaction_removal_first() {
    let (before, after) = (
        remote("10.244.1.2", "10.10.0.11"),
        local("10.244.1.2", "10.10.0.11"),
    );
    let commit = step(&[before], &[after]);
    assert_eq!(
        commit.transaction,
        [Change::Remove(before), Change::Add(after)]
    );
}

fn any_element() -> impl Strategy<Value = Element> {
    let small = |base: u8| (0_u8..6).prop_map(move |n| IpAddr::from([10, base, 0, n]));
    prop_oneof![
        (small(0), proptest::option::of(small(1))).prop_map(|(pod, egress_ip)| Element::Remote {
            pod,
            identity: egress_ip.map(identity)
        }),
        (small(0), small(1)).prop_map(|(pod, egress_ip)| Element::Local { pod, egress_ip }),
        small(1).prop_map(|egress_ip| Element::Gateway {
            identity: identity(egress_ip),
            egress_ip
        }),
        (small(1), small(2)).prop_map(|(ip, node)| Element::Forward {
            identity: identity(ip),
            node
        }),
        small(1).prop_map(Element::Address),
        small(1).prop_map(Element::Elsewhere),
    ]
}

fn any_state() -> impl Strategy<Value = BTreeSet<Element>> {
    proptest::collection::btree_set(any_element(), 0..20)
}

fn carry_out(is: &BTreeSet<Element>, changes: &[Change]) -> BTreeSet<Element> {
    changes.iter().fold(is.clone(), |mut state, change| {
        match change {
            Change::Remove(element) => state.remove(element),
            Change::Add(element) => state.insert(*element),
        };
        state
    })
}

proptest! {
    #[test]
    fn the_difference_leads_from_any_state_to_any_other(is in any_state(), should in any_state()) {
        prop_assert_eq!(carry_out(&is, &diff(&is, &should)), should);
    }

    #[test]
    fn the_difference_touches_nothing_that_is_right(is in any_state(), should in any_state()) {
        for change in diff(&is, &should) {
            let (Change::Remove(element) | Change::Add(element)) = change;
            prop_assert!(!(is.contains(&element) && should.contains(&element)));
        }
    }
}
