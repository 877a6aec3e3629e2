//! Pools, legible and not, with the paths of what is wrong.

use egret_domain::selector::Labels;
use proptest::prelude::*;

use super::*;

fn stored(spec: &str) -> ExternalIPPool {
    serde_saphyr::from_str(&format!(
        "apiVersion: crd.antrea.io/v1beta1\n\
         kind: ExternalIPPool\n\
         metadata:\n  name: prod\n  generation: 3\n\
         spec: {spec}"
    ))
    .unwrap()
}

fn parse(spec: &str) -> Result<domain::PoolSpec, Vec<String>> {
    domain::PoolSpec::try_from(&stored(spec)).map_err(|problems| {
        problems
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect()
    })
}

fn ranges_of(ranges: &str) -> Result<Vec<String>, Vec<String>> {
    let pool = parse(&format!("{{ipRanges: [{ranges}]}}"))?;
    Ok(pool
        .ranges
        .iter()
        .map(|range| range.bounds().to_string())
        .collect())
}

#[test]
fn ranges_keep_the_users_order_and_kind() {
    let pool = parse("{ipRanges: [{start: 10.10.0.2, end: 10.10.0.10}, {cidr: 10.10.1.5/28}]}");
    let range = |start: &str, end: &str| {
        IpRange::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
    };
    assert_eq!(
        pool.unwrap().ranges,
        [
            domain::Range::Span(range("10.10.0.2", "10.10.0.10")),
            domain::Range::Cidr("10.10.1.0/28".parse().unwrap()),
        ]
    );
}

#[test]
fn name_generation_and_deletion_are_taken_over() {
    let mut pool = stored("{ipRanges: []}");
    let parsed = domain::PoolSpec::try_from(&pool).unwrap();
    assert_eq!(
        (parsed.name, parsed.generation, parsed.deleting),
        ("prod".into(), 3, false)
    );
    let time = serde_json::from_str("\"2026-01-02T03:04:05Z\"").unwrap();
    pool.metadata.deletion_timestamp = Some(time);
    assert!(domain::PoolSpec::try_from(&pool).unwrap().deleting);
}

#[test]
fn without_a_node_selector_all_nodes_may_hold_addresses() {
    assert!(
        parse("{ipRanges: []}")
            .unwrap()
            .nodes
            .matches(&Labels::new())
    );
    assert!(
        parse("{ipRanges: [], nodeSelector: {}}")
            .unwrap()
            .nodes
            .matches(&Labels::new())
    );
}

#[test]
fn a_node_selector_chooses_nodes() {
    let pool = parse("{ipRanges: [], nodeSelector: {matchLabels: {role: gateway}}}").unwrap();
    assert!(
        pool.nodes
            .matches(&Labels::from([("role".to_owned(), "gateway".to_owned())]))
    );
    assert!(!pool.nodes.matches(&Labels::new()));
}

#[test]
fn ranges_of_both_families_may_share_a_pool() {
    assert_eq!(
        ranges_of("{cidr: 10.0.0.0/30}, {cidr: 'fd00::/126'}").unwrap(),
        ["10.0.0.0-10.0.0.3", "fd00::-fd00::3"]
    );
}

#[test]
fn all_addresses_of_a_family_are_a_legal_pool() {
    assert!(ranges_of("{cidr: 0.0.0.0/0}, {cidr: '::/0'}").is_ok());
}

#[test]
fn a_range_of_one_address_is_legal() {
    assert_eq!(
        ranges_of("{start: 10.0.0.1, end: 10.0.0.1}").unwrap(),
        ["10.0.0.1"]
    );
}

#[test]
fn what_is_wrong_with_a_range_is_said_with_its_place() {
    for (range, problem) in [
        (
            "{}",
            "spec.ipRanges[0]: give either cidr, or both start and end",
        ),
        (
            "{start: 10.0.0.1}",
            "spec.ipRanges[0]: give either cidr, or both start and end",
        ),
        (
            "{cidr: 10.0.0.0/24, start: 10.0.0.1, end: 10.0.0.2}",
            "spec.ipRanges[0]: give either cidr, or both start and end",
        ),
        (
            "{cidr: 10.0.0.0/99}",
            "spec.ipRanges[0].cidr: \"10.0.0.0/99\" has no usable prefix length",
        ),
        (
            "{cidr: 127.0.0.0/24}",
            "spec.ipRanges[0].cidr: \"127.0.0.0/24\" is a loopback address",
        ),
        (
            "{start: x, end: 10.0.0.2}",
            "spec.ipRanges[0].start: \"x\" is not an IP address",
        ),
        (
            "{start: 10.0.0.2, end: x}",
            "spec.ipRanges[0].end: \"x\" is not an IP address",
        ),
        (
            "{start: 10.0.0.2, end: 10.0.0.1}",
            "spec.ipRanges[0]: \"10.0.0.2-10.0.0.1\" ends before it begins",
        ),
        (
            "{start: 10.0.0.2, end: 'fd00::1'}",
            "spec.ipRanges[0]: \"10.0.0.2-fd00::1\" mixes IPv4 and IPv6",
        ),
    ] {
        let problems = ranges_of(range).unwrap_err();
        assert_eq!(problems.len(), 1, "{range}");
        assert!(problems[0].starts_with(problem), "{range}: {problems:?}");
    }
}

#[test]
fn ranges_that_overlap_are_refused() {
    for (first, second) in [
        ("{cidr: 10.0.0.0/24}", "{cidr: 10.0.0.128/25}"),
        ("{cidr: 10.0.0.128/25}", "{cidr: 10.0.0.0/24}"),
        ("{cidr: 10.0.0.0/24}", "{start: 10.0.0.255, end: 10.0.1.9}"),
        (
            "{start: 10.0.0.1, end: 10.0.0.5}",
            "{start: 10.0.0.5, end: 10.0.0.9}",
        ),
        ("{cidr: 'fd00::/64'}", "{start: 'fd00::9', end: 'fd00::9'}"),
    ] {
        let problems =
            ranges_of(&format!("{{cidr: 192.168.0.0/24}}, {first}, {second}")).unwrap_err();
        assert_eq!(problems.len(), 1, "{first} {second}");
        assert!(
            problems[0].starts_with("spec.ipRanges[2]: "),
            "{problems:?}"
        );
        assert!(
            problems[0].contains("overlaps spec.ipRanges[1]"),
            "{problems:?}"
        );
    }
}

#[test]
fn ranges_that_only_touch_are_legal() {
    assert!(ranges_of("{cidr: 10.0.0.0/25}, {cidr: 10.0.0.128/25}, {cidr: '::/96'}").is_ok());
}

#[test]
fn a_subnet_arrives_with_its_vlan() {
    let spec = |vlan: &str| {
        format!(
            "{{ipRanges: [{{cidr: 10.0.0.0/28}}], subnetInfo: {{gateway: 10.0.0.1, prefixLength: 24{vlan}}}}}"
        )
    };
    for (text, vlan) in [("", None), (", vlan: 0", None), (", vlan: 10", Some(10))] {
        let gateway = "10.0.0.1".parse().unwrap();
        assert_eq!(
            parse(&spec(text)).unwrap().subnet,
            Some(domain::Subnet {
                gateway,
                prefix: 24,
                vlan
            })
        );
    }
}

#[test]
fn what_is_wrong_with_a_subnet_is_said() {
    for (subnet, problem) in [
        (
            "gateway: x, prefixLength: 24",
            "spec.subnetInfo.gateway: \"x\" is not an IP address",
        ),
        (
            "gateway: 127.0.0.1, prefixLength: 24",
            "spec.subnetInfo.gateway: \"127.0.0.1\" is a loopback",
        ),
        (
            "gateway: 10.0.0.1, prefixLength: 0",
            "spec.subnetInfo.prefixLength: \"0\" must be from 1 to 31",
        ),
        (
            "gateway: 10.0.0.1, prefixLength: 32",
            "spec.subnetInfo.prefixLength: \"32\" must be from 1 to 31",
        ),
        (
            "gateway: 10.0.0.1, prefixLength: -1",
            "spec.subnetInfo.prefixLength: \"-1\" must be from 1 to 31",
        ),
        (
            "gateway: 'fd00::1', prefixLength: 128",
            "spec.subnetInfo.prefixLength: \"128\" must be from 1 to 127",
        ),
        (
            "gateway: 10.0.0.1, prefixLength: 24, vlan: 4095",
            "spec.subnetInfo.vlan: \"4095\" must be from 1 to 4094",
        ),
        (
            "gateway: 10.0.0.1, prefixLength: 24, vlan: -1",
            "spec.subnetInfo.vlan: \"-1\" must be from 1 to 4094",
        ),
    ] {
        let problems = parse(&format!("{{ipRanges: [], subnetInfo: {{{subnet}}}}}")).unwrap_err();
        assert_eq!(problems.len(), 1, "{subnet}: {problems:?}");
        assert!(problems[0].starts_with(problem), "{subnet}: {problems:?}");
    }
}

#[test]
fn ranges_outside_the_subnet_are_refused() {
    let problems = parse(
        "{subnetInfo: {gateway: 10.0.0.1, prefixLength: 24},
          ipRanges: [{cidr: 10.0.0.0/28}, {start: 10.0.0.250, end: 10.0.1.5}, {cidr: 'fd00::/64'}]}",
    )
    .unwrap_err();
    assert_eq!(
        problems,
        [
            "spec.ipRanges[1]: \"10.0.0.250-10.0.1.5\" is not inside 10.0.0.0/24, the subnet that spec.subnetInfo gives: \
             correct one of them",
            "spec.ipRanges[2]: \"fd00::/64\" is not inside 10.0.0.0/24, the subnet that \
             spec.subnetInfo gives: correct one of them",
        ]
    );
}

#[test]
fn exclusions_are_addresses_networks_or_ranges() {
    let pool =
        parse("{ipRanges: [], exclude: [10.0.0.5, 10.0.0.8/30, 10.0.0.20-10.0.0.29]}").unwrap();
    let excluded: Vec<_> = pool.exclude.iter().map(ToString::to_string).collect();
    assert_eq!(
        excluded,
        ["10.0.0.5", "10.0.0.8-10.0.0.11", "10.0.0.20-10.0.0.29"]
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let mut pool = stored(
        "{ipRanges: [{cidr: x}, {start: 10.0.0.1, end: 10.0.0.5}, {}],
          nodeSelector: {matchExpressions: [{key: a, operator: In}]},
          subnetInfo: {gateway: x, prefixLength: 24, vlan: 5000}, exclude: [10.0.0.1, x]}",
    );
    pool.metadata.name = None;
    let problems = domain::PoolSpec::try_from(&pool).unwrap_err();
    let paths: Vec<_> = problems
        .as_slice()
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "metadata.name",
            "spec.nodeSelector.matchExpressions[0].values",
            "spec.ipRanges[0].cidr",
            "spec.ipRanges[2]",
            "spec.subnetInfo.gateway",
            "spec.subnetInfo.vlan",
            "spec.exclude[1]",
        ]
    );
}

#[test]
fn both_served_versions_parse_alike() {
    for version in ["v1alpha2", "v1beta1"] {
        let pool: ExternalIPPool = serde_saphyr::from_str(&format!(
            "apiVersion: crd.antrea.io/{version}\n\
             kind: ExternalIPPool\n\
             metadata:\n  name: external-ip-pool\n\
             spec:\n  ipRanges:\n  - start: 10.10.0.11  # eleven to twenty\n    end: 10.10.0.20\n  \
             - cidr: 10.10.1.0/28\n  nodeSelector: {{}}     # all\n"
        ))
        .unwrap();
        assert_eq!(domain::PoolSpec::try_from(&pool).unwrap().ranges.len(), 2);
    }
}

#[test]
fn what_can_be_read_of_a_pool_is_read_although_the_rest_cannot() {
    let pool = stored(
        "{ipRanges: [{cidr: x}, {cidr: 10.0.0.5/24}], exclude: [y, 10.0.0.9], nodeSelector: {matchLabels: {'a b': c}}}",
    );
    let draft = PoolDraft::from(&pool);
    assert_eq!(
        (draft.spec.ranges, draft.places),
        (
            vec![domain::Range::Cidr("10.0.0.0/24".parse().unwrap())],
            vec![1]
        )
    );
    assert_eq!(draft.spec.exclude.len(), 1);
    assert!(!draft.has_all_addresses && !draft.has_nodes);
    assert_eq!(draft.problems.len(), 3);
    assert_eq!(
        draft.remarks[0].to_string(),
        "spec.ipRanges[1].cidr: \"10.0.0.5/24\" has bits set beyond its prefix: it is taken as 10.0.0.0/24"
    );
}

#[test]
fn addresses_are_all_legible_even_if_they_are_wrong_together() {
    let draft = |spec: &str| PoolDraft::from(&stored(spec));
    assert!(draft("{ipRanges: [{cidr: 10.0.0.0/24}, {cidr: 10.0.0.0/24}]}").has_all_addresses);
    assert!(draft("{ipRanges: [], nodeSelector: {matchLabels: {'a b': c}}}").has_all_addresses);
    for spec in [
        "{ipRanges: [{cidr: x}]}",
        "{ipRanges: [], exclude: [x]}",
        "{ipRanges: [], subnetInfo: {gateway: x, prefixLength: 24}}",
    ] {
        assert!(!draft(spec).has_all_addresses, "{spec}");
    }
}

#[test]
fn a_default_pool_is_marked_with_true_and_nothing_else() {
    for (value, is_default) in [
        ("true", true),
        ("false", false),
        ("", false),
        ("True", false),
    ] {
        let mut pool = stored("{ipRanges: []}");
        pool.metadata.annotations = Some([(DEFAULT_POOL.to_owned(), value.to_owned())].into());
        assert_eq!(PoolDraft::from(&pool).is_default, is_default, "{value:?}");
    }
}

proptest! {
    #[test]
    fn no_text_in_any_field_makes_it_panic(
        texts in prop::array::uniform6(any::<String>()),
        prefix_length in any::<i32>(),
        vlan in any::<Option<i32>>(),
    ) {
        let [name, cidr, start, end, gateway, exclude] = texts;
        let pool = ExternalIPPool::new(&name, ExternalIPPoolSpec {
            ip_ranges: vec![
                Given { cidr: Some(cidr), ..Default::default() },
                Given { cidr: None, start: Some(start), end: Some(end) },
            ],
            subnet_info: Some(SubnetInfo { gateway, prefix_length, vlan }),
            exclude: vec![exclude],
            ..Default::default()
        });
        if let Err(problems) = domain::PoolSpec::try_from(&pool) {
            prop_assert!(!problems.as_slice().is_empty());
        }
    }

    #[test]
    fn a_subnet_of_any_numbers_never_panics(
        gateway in any::<IpAddr>(), prefix_length in any::<i32>(), vlan in any::<Option<i32>>(),
        start in any::<IpAddr>(), end in any::<IpAddr>(),
    ) {
        let range = Given { cidr: None, start: Some(start.to_string()), end: Some(end.to_string()) };
        let pool = ExternalIPPool::new("p", ExternalIPPoolSpec {
            ip_ranges: vec![range],
            subnet_info: Some(SubnetInfo { gateway: gateway.to_string(), prefix_length, vlan }),
            ..Default::default()
        });
        let _ = domain::PoolSpec::try_from(&pool);
    }
}
