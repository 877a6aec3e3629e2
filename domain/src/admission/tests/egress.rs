//! Egresses at admission.

use super::*;

const FREE: &str = "write a free one (10.10.0.2, 10.10.0.4, 10.10.0.6-10.10.0.10), or leave the field out to get one";

#[track_caller]
fn refused(new: &EgressDraft, problems: &[&str]) {
    check(&cluster().review_egress(new, None), problems, &[]);
}

#[track_caller]
fn warned(index: &Index, new: &EgressDraft, remarks: &[&str]) {
    check(&index.review_egress(new, None), &[], remarks);
}

#[test]
fn what_is_right_is_let_in_without_a_word() {
    for new in [
        pooled("new", "prod"),
        at("10.10.0.4", pooled("new", "prod")),
        fixed("new", "10.10.0.101"),
        at("10.10.0.3", pooled("web", "prod")),
    ] {
        refused(&new, &[]);
    }
}

#[test]
fn a_misspelt_pool_is_told_the_nearest_name() {
    for (name, instead) in [
        ("prd", "did you mean \"prod\"?"),
        ("pord", "did you mean \"prod\"?"),
        ("edgee", "did you mean \"edge\"?"),
        (
            "staging",
            "create it first, or name one that exists: edge, prod",
        ),
    ] {
        let problem = format!("spec.externalIPPool: {name:?} does not exist: {instead}");
        refused(&pooled("new", name), &[&problem]);
    }
    let review = Index::default().review_egress(&pooled("new", "prod"), None);
    let problem = "spec.externalIPPool: \"prod\" does not exist: create it first";
    check(&review, &[problem], &[]);
}

/// `kubectl diff` and tools of that kind try out a pool and its Egresses together, and none is stored.
#[test]
fn a_pool_that_is_missing_at_a_rehearsal_is_only_warned_of() {
    let new = EgressDraft {
        is_rehearsed: true,
        ..pooled("new", "prd")
    };
    let remark = "spec.externalIPPool: \"prd\" does not exist: did you mean \"prod\"?";
    warned(&cluster(), &new, &[remark]);
    let taken = at(
        "10.10.0.3",
        EgressDraft {
            pool: Some("prod".into()),
            ..new
        },
    );
    assert!(cluster().review_egress(&taken, None).refusal.is_some());
}

#[test]
fn an_address_that_the_pool_does_not_hand_out_is_refused_with_those_that_are_free() {
    for (address, reason) in [
        ("10.10.0.11", "is in no range of pool prod"),
        (
            "10.10.0.5",
            "is excluded from pool prod by 10.10.0.5 in spec.exclude",
        ),
        (
            "10.10.1.0",
            "is the first address of 10.10.1.0/28, which is never handed out",
        ),
        (
            "10.10.1.15",
            "is the broadcast address of 10.10.1.0/28, which is never handed out",
        ),
        (
            "10.10.1.3",
            "is the gateway of pool prod, which is never handed out",
        ),
    ] {
        let problem = format!("spec.egressIP: {address:?} {reason}: {FREE}");
        refused(&at(address, pooled("new", "prod")), &[&problem]);
    }
}

#[test]
fn an_address_that_another_egress_has_is_refused_with_its_name() {
    let problem = format!("spec.egressIP: \"10.10.0.3\" is in use by Egress web: {FREE}");
    refused(&at("10.10.0.3", pooled("new", "prod")), &[&problem]);
}

#[test]
fn a_static_egress_cannot_have_the_address_of_a_pooled_one_nor_the_other_way_round() {
    let review = cluster().review_egress(&fixed("new", "10.10.0.3"), None);
    let refused = said(&review).refused;
    assert_eq!(
        refused,
        [
            "spec.egressIP: \"10.10.0.3\" is in use by Egress web: write an address that no other Egress has"
        ]
    );
    let mut index = cluster();
    index.apply(fixed("mine", "10.10.0.4").into());
    let review = index.review_egress(&at("10.10.0.4", pooled("new", "prod")), None);
    let refused = said(&review).refused;
    assert!(refused[0].contains("in use by Egress mine"), "{refused:?}");
}

#[test]
fn static_egresses_may_share_an_address() {
    let mut index = cluster();
    index.apply(fixed("mine", "10.10.0.101").into());
    warned(&index, &fixed("new", "10.10.0.101"), &[]);
}

#[test]
fn a_full_pool_says_what_to_do() {
    let mut index = cluster();
    for (name, address) in [("a", "10.20.0.1"), ("b", "10.20.0.2")] {
        index.apply(at(address, pooled(name, "edge")).into());
    }
    let review = index.review_egress(&at("10.20.0.1", pooled("new", "edge")), None);
    let problem = "spec.egressIP: \"10.20.0.1\" is in use by Egress a: the pool has no free address: add a range to it, \
                   or delete an Egress that uses it";
    check(&review, &[problem], &[]);
    let remark = "spec.externalIPPool: \"edge\" has no free address: this Egress waits for one; add a range to it, or \
                  delete an Egress that uses it";
    warned(&index, &pooled("new", "edge"), &[remark]);
}

#[test]
fn more_egresses_than_addresses_are_warned_of_before_addresses_are_given() {
    let mut index = cluster();
    index.apply(pooled("a", "edge").into());
    warned(&index, &pooled("b", "edge"), &[]);
    index.apply(pooled("b", "edge").into());
    let remark = "spec.externalIPPool: \"edge\" has 2 addresses for 3 Egresses: the youngest waits; add a range to it, or \
                  delete an Egress that uses it";
    warned(&index, &pooled("c", "edge"), &[remark]);
    warned(&index, &pooled("b", "edge"), &[]);
}

#[test]
fn what_an_egress_that_is_being_deleted_has_may_be_waited_for() {
    let mut index = cluster();
    index.apply(
        EgressDraft {
            deleting: true,
            ..at("10.10.0.3", pooled("web", "prod"))
        }
        .into(),
    );
    let remark = "spec.egressIP: \"10.10.0.3\" is still in use by Egress web, which is being deleted: this Egress waits \
                  for that";
    warned(&index, &at("10.10.0.3", pooled("new", "prod")), &[remark]);
}

#[test]
fn an_address_that_a_node_still_holds_for_another_is_in_use_unless_that_asks_for_another() {
    let mut index = cluster();
    let holds = |egress| EgressDraft {
        held: Some(ip("10.10.0.3")),
        ..egress
    };
    let new = at("10.10.0.3", pooled("new", "prod"));
    index.apply(holds(pooled("web", "prod")).into());
    let refused = said(&index.review_egress(&new, None)).refused;
    assert!(refused[0].contains("in use by Egress web"), "{refused:?}");
    index.apply(holds(at("10.10.0.4", pooled("web", "prod"))).into());
    let remark = "spec.egressIP: \"10.10.0.3\" is still held for Egress web, which asks for another: this Egress waits \
                  for that";
    warned(&index, &new, &[remark]);
    let own = at("10.10.0.4", pooled("new", "prod"));
    let refused = said(&index.review_egress(&own, None)).refused;
    assert!(refused[0].contains("in use by Egress web"), "{refused:?}");
    // Another one waits for it too, and will have it.
    index.apply(at("10.10.0.3", pooled("next", "prod")).into());
    let refused = said(&index.review_egress(&new, None)).refused;
    assert!(refused[0].contains("in use by Egress next"), "{refused:?}");
}

#[test]
fn one_who_asks_for_what_his_pool_does_not_have_does_not_have_it() {
    let mut index = cluster();
    index.apply(at("10.20.0.1", pooled("lost", "prod")).into());
    index.apply(at("10.20.0.2", pooled("lone", "nowhere")).into());
    for address in ["10.20.0.1", "10.20.0.2"] {
        warned(&index, &at(address, pooled("new", "edge")), &[]);
    }
}

#[test]
fn ipv6_addresses_of_one_identity_cannot_both_be_in_use() {
    let (one, other) = crate::addresses::twins();
    let mut index = index([pool("six", &["fd00::/64"]).into()]);
    index.apply(at(&one.to_string(), pooled("web", "six")).into());
    let review = index.review_egress(&at(&other.to_string(), pooled("new", "six")), None);
    let refused = said(&review).refused;
    let reason = format!("cannot be told from {one} of Egress web inside the tunnel");
    assert!(refused[0].contains(&reason), "{refused:?}");
    let moved = at(&other.to_string(), pooled("web", "six"));
    check(&index.review_egress(&moved, None), &[], &[]);
}

#[test]
fn a_family_that_no_node_has_is_refused() {
    let problem =
        "spec.egressIP: \"fd00::8\" is an IPv6 address, and no node has one: write an IPv4 address";
    refused(&fixed("new", "fd00::8"), &[problem]);
    let unknown = index([node("node-1", &[])]);
    warned(&unknown, &fixed("new", "fd00::8"), &[]);
}

#[test]
fn a_pool_of_a_family_that_no_node_has_takes_nobody_in() {
    let mut index = cluster();
    index.apply(pool("six", &["fd00::/64"]).into());
    index.apply(pool("both", &["fd01::/64", "10.40.0.0/24"]).into());
    index.apply(pool("empty", &[]).into());
    let problem = "spec.externalIPPool: \"six\" has only IPv6 addresses, and no node has one: name a pool of IPv4 \
                   addresses";
    check(
        &index.review_egress(&pooled("new", "six"), None),
        &[problem],
        &[],
    );
    let old = pooled("old", "six");
    let tolerated = index.review_egress(
        &EgressDraft {
            priority: 1,
            ..old.clone()
        },
        Some(&old),
    );
    check(&tolerated, &[], &[problem]);
    let named = said(&index.review_egress(&at("fd00::8", pooled("new", "six")), None)).refused;
    assert!(
        named.len() == 1 && named[0].starts_with("spec.egressIP"),
        "{named:?}"
    );
    for name in ["both", "empty"] {
        let review = index.review_egress(&pooled("new", name), None);
        assert_eq!(review.refusal, None, "{name}");
    }
    index.apply(node("node-2", &["fd00::2"]));
    warned(&index, &pooled("new", "six"), &[]);
}

#[test]
fn a_pool_on_its_way_out_takes_nobody_in() {
    let mut index = cluster();
    index.apply(going(pool("edge", &["10.20.0.1-10.20.0.2"])).into());
    let review = index.review_egress(&pooled("new", "edge"), None);
    let problem = "spec.externalIPPool: \"edge\" is being deleted: name another pool";
    check(&review, &[problem], &[]);
}

#[test]
fn a_pool_that_nobody_can_read_is_only_warned_of() {
    let mut index = cluster();
    index.apply(Fact::PoolUnreadable("odd".into()));
    let remark =
        "spec.externalIPPool: \"odd\" cannot be used as it is: its condition Ready says why";
    warned(&index, &at("10.9.9.9", pooled("new", "odd")), &[remark]);
}

#[test]
fn a_pool_that_became_illegible_is_known_as_it_was() {
    let mut index = cluster();
    let broken = PoolDraft {
        problems: vec![Problem::at("spec.ipRanges[0]", "is wrong")],
        ..pool("prod", &[])
    };
    index.apply(broken.into());
    warned(&index, &at("10.10.0.4", pooled("new", "prod")), &[]);
}

#[test]
fn selecting_nothing_is_warned_of() {
    let new = EgressDraft {
        applied_to: Some(AppliedTo::default()),
        ..pooled("new", "prod")
    };
    let remark = "spec.appliedTo: selects no Pod: write a podSelector, a namespaceSelector, or both ({} in one of them \
                  selects all)";
    warned(&cluster(), &new, &[remark]);
}

#[test]
fn selecting_what_another_selects_is_warned_of_with_the_one_that_wins() {
    let like_web = EgressDraft {
        applied_to: Some(selecting("web")),
        ..pooled("new", "prod")
    };
    let remark = "spec.appliedTo: selects the same Pods as Egress web at the same priority: they use Egress web, the \
                  older; give one of them a higher spec.priority";
    warned(&cluster(), &like_web, &[remark]);
    let higher = EgressDraft {
        priority: 1,
        ..like_web.clone()
    };
    warned(&cluster(), &higher, &[]);
    let mut index = cluster();
    index.apply(Fact::EgressGone("web".into()));
    warned(&index, &like_web, &[]);
}

#[test]
fn an_egress_of_another_family_may_select_the_same_pods() {
    let mut index = cluster();
    index.apply(pool("six", &["fd00::/64"]).into());
    index.apply(pool("both", &["fd01::/64", "10.40.0.0/24"]).into());
    index.apply(node("node-6", &["10.10.0.106", "fd10::106"]));
    let like_web = |pool: &str| EgressDraft {
        applied_to: Some(selecting("web")),
        ..pooled("new", pool)
    };
    check(&index.review_egress(&like_web("six"), None), &[], &[]);
    let remark = "spec.appliedTo: selects the same Pods as Egress web at the same priority: they use Egress web, the \
                  older; give one of them a higher spec.priority";
    check(
        &index.review_egress(&like_web("both"), None),
        &[],
        &[remark],
    );
}

#[test]
fn a_static_address_inside_a_pool_is_warned_of() {
    let remark = "spec.egressIP: \"10.10.0.4\" is an address of ExternalIPPool prod: without spec.externalIPPool it is \
                  for you to put it on a node, and the pool does not hand it out";
    warned(&cluster(), &fixed("new", "10.10.0.4"), &[remark]);
}

#[test]
fn an_address_in_no_nodes_subnet_is_warned_of_once_all_subnets_are_known() {
    let mut index = cluster();
    let far = fixed("new", "192.168.7.7");
    index.apply(node("node-2", &["10.10.0.102"]));
    let subnets = || vec!["10.10.0.0/16".parse().unwrap()];
    index.apply(Fact::NodeSubnets("node-1".into(), subnets()));
    warned(&index, &far, &[]);
    index.apply(Fact::NodeSubnets("node-2".into(), subnets()));
    let remark = "spec.egressIP: \"192.168.7.7\" is in no node's subnet: see to it that it is routed to the node that \
                  holds it";
    warned(&index, &far, &[remark]);
    warned(&index, &fixed("new", "10.10.7.7"), &[]);
    let own_subnet = behind("192.168.7.1", pool("far", &["192.168.7.0/24"]));
    index.apply(own_subnet.into());
    warned(&index, &at("192.168.7.7", pooled("new", "far")), &[]);
}

#[test]
fn several_default_pools_are_none_and_the_refusal_names_them() {
    let mut index = cluster();
    index.apply(default(pool("d1", &["10.31.0.0/24"])).into());
    assert_eq!(index.default_pool(), DefaultPool::One("d1".into()));
    index.apply(default(pool("d2", &["10.32.0.0/24"])).into());
    let lacking = EgressDraft {
        lacks_address: true,
        ..egress("new")
    };
    let review = index.review_egress(&lacking, None);
    let problem = "spec.externalIPPool: is missing, and several pools are marked as default (d1, d2): name one of them";
    check(&review, &[problem], &[]);
    index.apply(going(default(pool("d2", &["10.32.0.0/24"]))).into());
    assert_eq!(index.default_pool(), DefaultPool::One("d1".into()));
}

/// By what its reader finds wrong with it.
fn lacking() -> EgressDraft {
    EgressDraft {
        lacks_address: true,
        problems: vec![Problem::at("spec", "set externalIPPool")],
        ..egress("new")
    }
}

#[test]
fn that_no_pool_is_the_default_is_doubted() {
    let review = cluster().review_egress(&lacking(), None);
    check(&review, &["spec: set externalIPPool"], &[]);
    assert_eq!(review.doubts, BTreeSet::from([Doubt::Pools]));
    let as_before = cluster().review_egress(&lacking(), Some(&lacking()));
    assert_eq!(
        (as_before.refusal, as_before.doubts),
        (None, BTreeSet::new())
    );
}

#[test]
fn a_rehearsal_is_told_that_a_default_pool_has_to_exist_first() {
    let new = EgressDraft {
        is_rehearsed: true,
        ..lacking()
    };
    let problem = "spec.externalIPPool: is missing, and no pool is marked as default: one that is tried out together \
                   with this Egress does not count, so create it first or name it here";
    let review = cluster().review_egress(&new, None);
    check(&review, &["spec: set externalIPPool", problem], &[]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let new = EgressDraft {
        problems: vec![Problem::of(
            "spec.bandwidth.rate",
            "fast",
            "is not a quantity",
        )],
        remarks: vec![Problem::of("spec.exceptCIDRs[0]", "10.0.0.1/8", "is odd")],
        applied_to: Some(AppliedTo::default()),
        ..at("fd00::8", pooled("new", "prd"))
    };
    let said = said(&cluster().review_egress(&new, None));
    let paths = |texts: &[String]| -> Vec<String> {
        let path = |text: &String| text.split(": ").next().unwrap().to_owned();
        texts.iter().map(path).collect()
    };
    assert_eq!(
        paths(&said.refused),
        [
            "spec.bandwidth.rate",
            "spec.externalIPPool",
            "spec.egressIP"
        ]
    );
    assert_eq!(
        paths(&said.warned),
        ["spec.exceptCIDRs[0]", "spec.appliedTo"]
    );
}

#[test]
fn what_was_wrong_before_is_a_warning_as_long_as_it_stays_the_same() {
    let old = EgressDraft {
        problems: vec![Problem::of("spec.exceptCIDRs[3]", "x", "is no network")],
        ..at("10.10.0.11", pooled("new", "prod"))
    };
    let outside = format!("spec.egressIP: \"10.10.0.11\" is in no range of pool prod: {FREE}");
    let moved = EgressDraft {
        problems: vec![Problem::of("spec.exceptCIDRs[2]", "x", "is no network")],
        priority: 7,
        ..old.clone()
    };
    let review = cluster().review_egress(&moved, Some(&old));
    check(
        &review,
        &[],
        &["spec.exceptCIDRs[2]: \"x\" is no network", &outside],
    );
    let other = at("10.10.0.12", old.clone());
    let review = cluster().review_egress(&other, Some(&old));
    let refused = said(&review).refused;
    assert!(
        refused[0].contains("10.10.0.12") && refused.len() == 1,
        "{refused:?}"
    );
}

#[test]
fn an_address_that_its_node_holds_may_be_put_back_whatever_the_pool_says() {
    let old = EgressDraft {
        held: Some(ip("10.10.0.5")),
        ..pooled("new", "prod")
    };
    let put_back = at("10.10.0.5", old.clone());
    let review = cluster().review_egress(&put_back, Some(&old));
    assert_eq!(review.refusal, None);
    let to_another = at("10.10.0.5", pooled("new", "edge"));
    assert!(
        cluster()
            .review_egress(&to_another, Some(&old))
            .refusal
            .is_some()
    );
}

#[test]
fn nothing_stops_an_egress_on_its_way_out() {
    let new = EgressDraft {
        deleting: true,
        ..at("10.10.0.11", pooled("new", "nowhere"))
    };
    assert_eq!(cluster().review_egress(&new, None), Review::default());
}

#[test]
fn a_refusal_says_on_whom_it_rests() {
    use crate::control::Object;
    let doubts = |new: &EgressDraft| cluster().review_egress(new, None).doubts;
    let of_pool = |name: &str| BTreeSet::from([Doubt::Of(Object::Pool(name.into()))]);
    assert_eq!(doubts(&pooled("new", "prd")), of_pool("prd"));
    assert_eq!(
        doubts(&at("10.10.0.5", pooled("new", "prod"))),
        of_pool("prod")
    );
    assert_eq!(
        doubts(&at("10.10.0.3", pooled("new", "prod"))),
        BTreeSet::from([Doubt::Of(Object::Egress("web".into()))])
    );
    assert_eq!(doubts(&pooled("new", "prod")), BTreeSet::new());
}
