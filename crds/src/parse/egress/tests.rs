//! Egresses, legible and not, with the paths of what is wrong.

use proptest::prelude::*;

use super::*;
use crate::selector::LabelSelector;

fn stored(spec: &str) -> Egress {
    serde_saphyr::from_str(&format!(
        "apiVersion: crd.antrea.io/v1beta1\n\
         kind: Egress\n\
         metadata:\n  name: web\n  uid: u-1\n  generation: 7\n  creationTimestamp: 2026-01-02T03:04:05Z\n\
         spec: {spec}"
    ))
    .unwrap()
}

fn parse(spec: &str) -> Result<domain::Egress, Vec<String>> {
    domain::Egress::try_from(&stored(spec)).map_err(|problems| {
        problems
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect()
    })
}

fn mode_of(fields: &str) -> domain::Mode {
    parse(&format!("{{appliedTo: {{}}, {fields}}}"))
        .unwrap()
        .mode
}

fn paths(egress: &Egress) -> Vec<String> {
    let problems = domain::Egress::try_from(egress).unwrap_err();
    problems
        .as_slice()
        .iter()
        .map(|problem| problem.path.clone())
        .collect()
}

#[test]
fn an_ip_alone_is_placed_by_the_user() {
    let ip = "10.10.0.104".parse().unwrap();
    assert_eq!(
        mode_of("egressIP: 10.10.0.104"),
        domain::Mode::Static { ip }
    );
}

#[test]
fn a_pool_alone_gives_the_ip() {
    let pool = PoolName::from("prod");
    assert_eq!(
        mode_of("externalIPPool: prod"),
        domain::Mode::Pooled { pool, ip: None }
    );
}

#[test]
fn an_ip_with_a_pool_is_asked_of_the_pool() {
    let (pool, ip) = (PoolName::from("prod"), "fd00::8".parse().ok());
    assert_eq!(
        mode_of("externalIPPool: prod, egressIP: 'fd00::8'"),
        domain::Mode::Pooled { pool, ip }
    );
}

#[test]
fn an_empty_string_is_a_field_left_out() {
    let pool = PoolName::from("prod");
    assert_eq!(
        mode_of("externalIPPool: prod, egressIP: ''"),
        domain::Mode::Pooled { pool, ip: None }
    );
}

#[test]
fn without_ip_and_pool_both_are_suggested() {
    let problems = parse("{appliedTo: {}, egressIP: ''}").unwrap_err();
    assert_eq!(problems, [format!("spec: {NO_ADDRESS}")]);
}

#[test]
fn what_only_the_api_server_knows_is_taken_over() {
    let egress = parse("{appliedTo: {}, egressIP: 10.0.0.1}").unwrap();
    assert_eq!(egress.name, EgressName::from("web"));
    assert_eq!(egress.uid, "u-1");
    assert_eq!(egress.generation, 7);
    assert_eq!(egress.created, 1_767_323_045);
    assert!(!egress.deleting);
}

#[test]
fn deletion_is_seen() {
    let mut egress = stored("{appliedTo: {}, egressIP: 10.0.0.1}");
    egress.metadata.deletion_timestamp = egress.metadata.creation_timestamp.clone();
    assert!(domain::Egress::try_from(&egress).unwrap().deleting);
}

#[test]
fn an_object_on_its_way_in_is_younger_than_all_that_are_stored() {
    let mut egress = stored("{appliedTo: {}, egressIP: 10.0.0.1}");
    egress.metadata.creation_timestamp = None;
    egress.metadata.uid = None;
    egress.metadata.generation = None;
    let parsed = domain::Egress::try_from(&egress).unwrap();
    assert_eq!(
        (parsed.created, parsed.generation, parsed.uid.as_str()),
        (i64::MAX, 0, "")
    );
}

#[test]
fn an_object_without_a_name_is_refused() {
    let mut egress = stored("{appliedTo: {}, egressIP: 10.0.0.1}");
    egress.metadata.name = None;
    assert_eq!(paths(&egress), ["metadata.name"]);
}

#[test]
fn fields_left_out_have_the_documented_defaults() {
    let egress = parse("{appliedTo: {}, egressIP: 10.0.0.1}").unwrap();
    assert_eq!(egress.priority, 0);
    assert_eq!(egress.when_unavailable, domain::WhenUnavailable::Drop);
    assert_eq!(egress.bandwidth, None);
    assert!(egress.except.is_empty());
}

#[test]
fn every_field_arrives() {
    let egress = parse(
        "{appliedTo: {podSelector: {}}, egressIP: 10.0.0.1, priority: -3, whenUnavailable: NodeIP,
          exceptCIDRs: [10.0.0.7/8, 'fd00::/64'], bandwidth: {rate: 500M, burst: 10M}}",
    )
    .unwrap();
    assert!(egress.applied_to.pods.is_some());
    assert_eq!(egress.priority, -3);
    assert_eq!(egress.when_unavailable, domain::WhenUnavailable::NodeIp);
    assert_eq!(
        egress.except,
        ["10.0.0.0/8".parse().unwrap(), "fd00::/64".parse().unwrap()]
    );
    let bandwidth = domain::Bandwidth {
        rate_bits: 500_000_000,
        burst_bits: 10_000_000,
    };
    assert_eq!(egress.bandwidth, Some(bandwidth));
}

#[test]
fn lists_of_addresses_are_refused_even_beside_a_single_one() {
    let egress = stored(
        "{appliedTo: {}, egressIP: 10.0.0.1, egressIPs: [10.0.0.1], externalIPPools: [a, b]}",
    );
    assert_eq!(paths(&egress), ["spec.egressIPs", "spec.externalIPPools"]);
}

#[test]
fn lists_alone_are_said_to_be_unsupported_and_not_that_an_address_is_missing() {
    let egress = stored("{appliedTo: {}, externalIPPools: [a]}");
    assert_eq!(paths(&egress), ["spec.externalIPPools"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let mut egress = stored(
        "{appliedTo: {podSelector: {matchLabels: {'a b': c}}}, egressIP: 127.0.0.1, externalIPPool: Prod,
          egressIPs: [x], bandwidth: {rate: 1, burst: x}, exceptCIDRs: [10.0.0.0/8, 10.0.0.1]}",
    );
    egress.metadata.name = None;
    assert_eq!(
        paths(&egress),
        [
            "metadata.name",
            "spec.appliedTo.podSelector.matchLabels",
            "spec.egressIP",
            "spec.externalIPPool",
            "spec.egressIPs",
            "spec.bandwidth.rate",
            "spec.bandwidth.burst",
            "spec.exceptCIDRs[1]",
        ]
    );
}

/// Manifests as users have them.
const WRITTEN_BY_USERS: [&str; 3] = [
    "
  appliedTo:
    namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: staging
    podSelector:
      matchLabels:
        app: web
  externalIPPool: external-ip-pool
",
    "
  appliedTo:
    namespaceSelector:
      matchLabels:
        env: prod
    podSelector:
      matchLabels:
        role: web
  egressIP: 10.10.0.8 # can be written once the pool has assigned it
  externalIPPool: prod-external-ip-pool
status:
  egressNode: node01
",
    "
  appliedTo:
    namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: prod
  egressIP: 10.10.0.104   # a node's own address
",
];

#[test]
fn both_served_versions_parse_alike() {
    for spec in WRITTEN_BY_USERS {
        let [older, newer] = ["v1alpha2", "v1beta1"].map(|version| {
            let text = format!(
                "apiVersion: crd.antrea.io/{version}\nkind: Egress\nmetadata:\n  name: web\nspec:{spec}"
            );
            let egress: Egress = serde_saphyr::from_str(&text).unwrap();
            domain::Egress::try_from(&egress).unwrap()
        });
        assert_eq!(older, newer);
        assert!(older.applied_to.namespaces.is_some());
        assert_eq!(older.pool().is_some(), spec.contains("externalIPPool"));
        assert_eq!(older.spec_ip().is_some(), spec.contains("egressIP"));
    }
}

#[test]
fn what_can_be_read_of_an_egress_is_read_although_the_rest_cannot() {
    let mut egress = stored(
        "{appliedTo: {podSelector: {matchLabels: {'a b': c}}}, egressIP: 10.0.0.300, externalIPPool: prod, priority: 7,
          exceptCIDRs: [10.0.0.7/8]}",
    );
    egress.status = serde_saphyr::from_str("{egressIP: 10.0.0.3, egressNode: n}").unwrap();
    let draft = EgressDraft::from(&egress);
    assert_eq!(
        (draft.pool, draft.ip, draft.priority),
        (Some("prod".into()), None, 7)
    );
    assert_eq!(
        (draft.applied_to, draft.held),
        (None, "10.0.0.3".parse().ok())
    );
    assert_eq!((draft.problems.len(), draft.remarks.len()), (2, 1));
}

#[test]
fn an_address_is_held_only_with_a_node() {
    let mut egress = stored("{appliedTo: {}, egressIP: 10.0.0.1}");
    egress.status = serde_saphyr::from_str("{egressIP: 10.0.0.3}").unwrap();
    assert_eq!(EgressDraft::from(&egress).held, None);
}

#[test]
fn an_address_is_lacking_if_none_is_given_in_any_way() {
    for (fields, lacks) in [
        ("priority: 1", true),
        ("egressIP: ''", true),
        ("egressIP: x", false),
        ("externalIPPool: x", false),
        ("egressIPs: [x]", false),
        ("externalIPPools: [x]", false),
    ] {
        let egress = stored(&format!("{{appliedTo: {{}}, {fields}}}"));
        assert_eq!(EgressDraft::from(&egress).lacks_address, lacks, "{fields}");
    }
}

#[test]
fn a_name_that_is_still_to_be_made_up_is_not_missing() {
    let mut egress = stored("{appliedTo: {}, egressIP: 10.0.0.1}");
    egress.metadata.name = None;
    egress.metadata.generate_name = Some("web-".to_owned());
    assert!(EgressDraft::from(&egress).problems.is_empty());
}

proptest! {
    #[test]
    fn no_text_in_any_field_makes_it_panic(texts in prop::array::uniform8(any::<String>())) {
        let [name, key, value, ip, pool, rate, burst, cidr] = texts;
        let selector = LabelSelector { match_labels: [(key, value)].into(), ..Default::default() };
        let mut egress = Egress::new(&name, EgressSpec {
            egress_ip: Some(ip),
            external_ip_pool: Some(pool),
            bandwidth: Some(crate::egress::Bandwidth { rate, burst: Some(burst) }),
            except_cidrs: vec![cidr],
            ..Default::default()
        });
        egress.spec.applied_to.pod_selector = Some(selector);
        if let Err(problems) = domain::Egress::try_from(&egress) {
            prop_assert!(!problems.as_slice().is_empty());
        }
    }
}
