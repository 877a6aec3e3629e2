//! Pools at admission.

use super::*;

fn stored(ranges: &[&str]) -> PoolDraft {
    excluding(&["10.10.0.5"], behind("10.10.1.3", pool("prod", ranges)))
}

fn as_stored() -> PoolDraft {
    stored(&["10.10.0.2-10.10.0.10", "10.10.1.0/28"])
}

#[track_caller]
fn changed(new: &PoolDraft, refused: &[&str], warned: &[&str]) {
    check(
        &cluster().review_pool(new, Some(&as_stored())),
        refused,
        warned,
    );
}

const KEEP: &str = "keep them until these Egresses are deleted or have other addresses";

#[test]
fn a_pool_of_its_own_addresses_is_let_in_without_a_word() {
    let review =
        cluster().review_pool(&pool("new", &["10.30.0.0/24", "10.31.0.1-10.31.0.9"]), None);
    check(&review, &[], &[]);
}

#[test]
fn addresses_of_another_pool_are_refused_with_its_name() {
    let new = pool(
        "new",
        &["10.30.0.0/24", "10.10.0.9-10.10.1.7", "10.20.0.0/24"],
    );
    let problems = [
        "spec.ipRanges[2]: \"10.20.0.0/24\" overlaps ExternalIPPool edge, which has 10.20.0.1-10.20.0.2 too: take \
         addresses that no other pool has",
        "spec.ipRanges[1]: \"10.10.0.9-10.10.1.7\" overlaps ExternalIPPool prod, which has 10.10.0.9-10.10.0.10 too: \
         take addresses that no other pool has",
        "spec.ipRanges[1]: \"10.10.0.9-10.10.1.7\" overlaps ExternalIPPool prod, which has 10.10.1.0-10.10.1.7 too: \
         take addresses that no other pool has",
    ];
    check(&cluster().review_pool(&new, None), &problems, &[]);
}

#[test]
fn a_place_in_the_list_counts_what_is_illegible_too() {
    let mut new = pool("new", &["10.20.0.0/24"]);
    new.places = vec![4];
    let said = said(&cluster().review_pool(&new, None));
    assert!(said.refused[0].starts_with("spec.ipRanges[4]:"), "{said:?}");
}

#[test]
fn a_pool_does_not_overlap_itself() {
    changed(&as_stored(), &[], &[]);
}

#[test]
fn ranges_may_be_added_reordered_and_written_differently() {
    changed(
        &stored(&["10.10.1.0/28", "10.10.0.2-10.10.0.10", "10.40.0.0/24"]),
        &[],
        &[],
    );
    changed(
        &stored(&[
            "10.10.0.2-10.10.0.3",
            "10.10.0.4-10.10.0.10",
            "10.10.1.0/28",
        ]),
        &[],
        &[],
    );
}

#[test]
fn an_address_in_use_is_not_taken_away() {
    let in_use = "in use: 10.10.0.3 (Egress web)";
    let lost = format!("spec.ipRanges: would lose addresses {in_use}; {KEEP}");
    changed(&stored(&["10.10.1.0/28"]), &[&lost], &[]);
    changed(
        &stored(&["10.10.0.4-10.10.0.10", "10.10.1.0/28"]),
        &[&lost],
        &[],
    );
    changed(&stored(&["10.10.0.3-10.10.0.3"]), &[], &[]);
    changed(
        &stored(&["fd00::/64"]),
        &[&lost],
        &[
            "spec.ipRanges[0]: \"fd00::/64\" has IPv6 addresses, and no node has one: none can be assigned",
        ],
    );
    let excluded =
        format!("spec.exclude: \"10.10.0.2-10.10.0.4\" takes away addresses {in_use}; {KEEP}");
    changed(
        &excluding(&["10.10.0.5", "10.10.0.2-10.10.0.4"], as_stored()),
        &[&excluded],
        &[],
    );
    let gateway =
        format!("spec.subnetInfo.gateway: \"10.10.0.3\" takes away addresses {in_use}; {KEEP}");
    changed(&behind("10.10.0.3", as_stored()), &[&gateway], &[]);
}

#[test]
fn a_network_that_keeps_back_an_address_in_use_takes_it_away() {
    let new = stored(&["10.10.0.3/32", "10.10.1.0/28"]);
    changed(&new, &[], &[]);
    let mut index = cluster();
    index.apply(at("10.10.0.4", pooled("api", "prod")).into());
    let review = index.review_pool(
        &stored(&["10.10.0.2-10.10.0.3", "10.10.0.4/30"]),
        Some(&as_stored()),
    );
    let said = said(&review);
    assert!(
        said.refused[0]
            .starts_with("spec.ipRanges: would lose addresses in use: 10.10.0.4 (Egress api);"),
        "{said:?}"
    );
}

#[test]
fn addresses_that_nobody_uses_may_go() {
    changed(&stored(&["10.10.0.2-10.10.0.4"]), &[], &[]);
    changed(&excluding(&["10.10.0.4-10.10.0.10"], as_stored()), &[], &[]);
}

#[test]
fn a_static_egress_does_not_use_the_pool_around_its_address() {
    let mut index = cluster();
    index.apply(fixed("mine", "10.10.1.9").into());
    let review = index.review_pool(&stored(&["10.10.0.2-10.10.0.10"]), Some(&as_stored()));
    check(&review, &[], &[]);
}

#[test]
fn of_many_users_some_are_named_and_the_rest_counted() {
    let mut index = cluster();
    for last in 1..=8 {
        index.apply(
            at(
                &format!("10.10.1.{}", last + 4),
                pooled(&format!("e{last}"), "prod"),
            )
            .into(),
        );
    }
    let review = index.review_pool(&stored(&["10.10.0.2-10.10.0.10"]), Some(&as_stored()));
    let text = &said(&review).refused[0];
    assert!(text.contains("10.10.1.5 (Egress e1), "), "{text}");
    assert!(text.contains("(Egress e5), and 3 more;"), "{text}");
    assert_eq!(review.doubts.len(), 5);
}

#[test]
fn what_cannot_be_read_takes_nothing_away() {
    let new = PoolDraft {
        has_all_addresses: false,
        problems: vec![Problem::at("spec.ipRanges[0].cidr", "is no network")],
        ..stored(&["10.10.1.0/28"])
    };
    changed(&new, &["spec.ipRanges[0].cidr: is no network"], &[]);
}

/// A pool whose stored spec has an entry that nobody can read.
fn illegible(pool: PoolDraft) -> PoolDraft {
    PoolDraft {
        has_all_addresses: false,
        problems: vec![Problem::at("spec.ipRanges[0].cidr", "is no network")],
        ..pool
    }
}

#[test]
fn a_pool_that_became_illegible_keeps_what_it_had_when_it_is_repaired() {
    let mut index = cluster();
    let old = illegible(stored(&[]));
    index.apply(old.clone().into());
    let lost =
        format!("spec.ipRanges: would lose addresses in use: 10.10.0.3 (Egress web); {KEEP}");
    let review = index.review_pool(&stored(&["10.10.1.0/28"]), Some(&old));
    check(&review, &[&lost], &[]);
    check(&index.review_pool(&as_stored(), Some(&old)), &[], &[]);
}

#[test]
fn a_pool_of_which_nothing_is_known_keeps_what_its_users_have_when_it_is_repaired() {
    let mut index = cluster();
    let old = illegible(pool("lost", &[]));
    index.apply(old.clone().into());
    let api = EgressDraft {
        held: Some(ip("10.30.0.9")),
        ..pooled("api", "lost")
    };
    index.apply(api.into());
    let lost =
        format!("spec.ipRanges: would lose addresses in use: 10.30.0.9 (Egress api); {KEEP}");
    let review = index.review_pool(&pool("lost", &["10.30.0.1-10.30.0.8"]), Some(&old));
    check(&review, &[&lost], &[]);
    let review = index.review_pool(&pool("lost", &["10.30.0.1-10.30.0.9"]), Some(&old));
    check(&review, &[], &[]);
}

#[test]
fn a_selector_that_matches_no_node_is_warned_of() {
    let mut new = as_stored();
    new.spec.nodes = labelled("role", "gateway");
    changed(&new, &[], &[]);
    new.spec.nodes = labelled("role", "nobody");
    let remark = "spec.nodeSelector: selects no node of the cluster as it is: no address can be assigned until a node \
                  has these labels";
    changed(&new, &[], &[remark]);
}

#[test]
fn fewer_addresses_than_egresses_are_warned_of() {
    let mut index = cluster();
    for name in ["a", "b", "c"] {
        index.apply(pooled(name, "edge").into());
    }
    let edge = pool("edge", &["10.20.0.1-10.20.0.2"]);
    let remark = "spec.ipRanges: have 2 addresses for 3 Egresses: add a range";
    check(&index.review_pool(&edge, Some(&edge)), &[], &[remark]);
}

#[test]
fn addresses_in_no_nodes_subnet_are_warned_of_unless_the_pool_has_a_subnet() {
    let mut index = cluster();
    index.apply(Fact::NodeSubnets(
        "node-1".into(),
        vec!["10.0.0.0/8".parse().unwrap()],
    ));
    let far = pool("far", &["192.168.7.0/24"]);
    let remark = "spec.ipRanges[0]: \"192.168.7.0/24\" is in no node's subnet: see to it that its addresses are routed \
                  to the nodes that hold them";
    check(&index.review_pool(&far, None), &[], &[remark]);
    check(
        &index.review_pool(&behind("192.168.7.1", far), None),
        &[],
        &[],
    );
}

#[test]
fn a_second_default_pool_is_warned_of() {
    let mut index = cluster();
    index.apply(default(pool("first", &["10.31.0.0/24"])).into());
    let second = default(pool("second", &["10.32.0.0/24"]));
    let remark = "metadata.annotations[egret.dev/is-default-pool]: marks a second default pool beside first: with \
                  several there is none";
    check(&index.review_pool(&second, None), &[], &[remark]);
}

#[test]
fn deleting_a_pool_in_use_is_warned_of() {
    let remarks = cluster().review_pool_deletion(&"prod".into());
    let texts: Vec<_> = remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["metadata.name: \"prod\" is in use and stays until no Egress uses it: web"]
    );
    assert_eq!(cluster().review_pool_deletion(&"edge".into()), []);
}

#[test]
fn nothing_stops_a_pool_on_its_way_out() {
    let review = cluster().review_pool(&going(pool("prod", &["10.20.0.0/24"])), Some(&as_stored()));
    assert_eq!(review, Review::default());
}

#[test]
fn pools_that_overlapped_before_may_be_changed_otherwise() {
    let mut index = cluster();
    let old = pool("new", &["10.20.0.0/24"]);
    index.apply(old.clone().into());
    let mut new = old.clone();
    new.spec.nodes = labelled("role", "gateway");
    let review = index.review_pool(&new, Some(&old));
    assert_eq!(review.refusal, None);
    assert_eq!(review.warnings.len(), 1);
}
