//! What is filled in, and what is left as the user wrote it.

use proptest::prelude::*;

use super::*;

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress", "metadata": {"name": "web"}, "spec": spec})
}

/// The spec after the patch.
fn patched(mut object: Value, patch: &Patch) -> Value {
    json_patch::patch(&mut object, patch).unwrap();
    object["spec"].take()
}

#[track_caller]
fn check(spec: &Value, pool: Option<&str>, expected: &Value) {
    let new = object(spec);
    let patch = egress(&new, None, pool);
    assert_eq!(patched(new, &patch), *expected);
}

#[test]
fn what_is_absent_is_filled_in() {
    check(
        &json!({"appliedTo": {}, "bandwidth": {"rate": "500M"}}),
        Some("prod"),
        &json!({"appliedTo": {}, "bandwidth": {"rate": "500M", "burst": "50M"}, "externalIPPool": "prod",
            "whenUnavailable": "Drop"}),
    );
    let pool = json!({"spec": {"ipRanges": []}});
    let patch = super::pool(&pool, None);
    assert_eq!(
        patched(pool, &patch),
        json!({"ipRanges": [], "nodeSelector": {}})
    );
}

#[test]
fn what_the_user_wrote_stays() {
    for spec in [
        json!({"egressIP": "10.0.0.1", "whenUnavailable": "NodeIP"}),
        json!({"externalIPPool": "mine", "whenUnavailable": "Drop", "bandwidth": {"rate": "1M", "burst": "7"}}),
        json!({"egressIPs": ["10.0.0.1"], "whenUnavailable": "Drop"}),
        json!({"externalIPPools": ["a"], "whenUnavailable": 7}),
    ] {
        check(&spec, Some("prod"), &spec);
    }
    let pool = json!({"spec": {"nodeSelector": {"matchLabels": {"a": "b"}}}});
    assert_eq!(super::pool(&pool, None), Patch::default());
}

#[test]
fn empty_texts_and_nulls_are_fields_left_out() {
    check(
        &json!({"egressIP": "", "externalIPPool": "", "egressIPs": [], "whenUnavailable": null}),
        Some("prod"),
        &json!({"egressIP": "", "externalIPPool": "prod", "egressIPs": [], "whenUnavailable": "Drop"}),
    );
}

#[test]
fn without_one_default_pool_none_is_filled_in() {
    check(&json!({}), None, &json!({"whenUnavailable": "Drop"}));
}

#[test]
fn the_default_burst_is_a_tenth_of_a_second_and_lets_a_segment_pass() {
    for (rate, burst) in [
        ("100G", "10G"),
        ("1G", "100M"),
        ("5242890", "524289"),
        ("1M", "524288"),
        ("8k", "524288"),
    ] {
        let new = object(&json!({"bandwidth": {"rate": rate}}));
        let patch = egress(&new, None, None);
        assert_eq!(
            patched(new, &patch)["bandwidth"]["burst"],
            json!(burst),
            "{rate}"
        );
    }
}

#[test]
fn an_illegal_rate_has_no_burst() {
    for rate in [
        json!("fast"),
        json!("-1M"),
        json!("1"),
        json!("1T"),
        json!(7),
        json!(null),
    ] {
        let new = object(&json!({"whenUnavailable": "Drop", "bandwidth": {"rate": rate}}));
        assert_eq!(egress(&new, None, None), Patch::default(), "{new}");
    }
}

/// An Egress of pool `a` whose IP these have written.
fn with_ip_of(managers: &[&str]) -> Value {
    let mut old =
        object(&json!({"egressIP": "10.0.0.1", "externalIPPool": "a", "whenUnavailable": "Drop"}));
    let entry = |manager: &&str| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:egressIP": {}}}});
    old["metadata"]["managedFields"] = managers.iter().map(entry).collect();
    old
}

fn with(base: &Value, field: &str, value: &Value) -> Value {
    let mut new = base.clone();
    new["spec"][field] = value.clone();
    new
}

fn ip_after(new: &Value, old: &Value) -> Value {
    let patch = egress(new, Some(old), None);
    patched(new.clone(), &patch)["egressIP"].take()
}

#[test]
fn the_operators_ip_goes_with_its_pool() {
    let old = with_ip_of(&["egret-operator"]);
    assert_eq!(
        ip_after(&with(&old, "externalIPPool", &json!("b")), &old),
        Value::Null
    );
    assert_eq!(
        ip_after(&with(&old, "priority", &json!(1)), &old),
        json!("10.0.0.1")
    );
    let mut other_ip = with(&old, "externalIPPool", &json!("b"));
    other_ip["spec"]["egressIP"] = json!("10.0.0.2");
    assert_eq!(ip_after(&other_ip, &old), json!("10.0.0.2"));
}

#[test]
fn without_its_pool_the_operators_ip_is_none_and_the_default_pool_is_filled_in() {
    let old = with_ip_of(&["egret-operator"]);
    let mut new = old.clone();
    new["spec"]
        .as_object_mut()
        .unwrap()
        .remove("externalIPPool");
    let patch = egress(&new, Some(&old), Some("prod"));
    assert_eq!(
        patched(new, &patch),
        json!({"externalIPPool": "prod", "whenUnavailable": "Drop"})
    );
}

#[test]
fn an_ip_that_a_user_wrote_stays_when_the_pool_changes() {
    for managers in [&["kubectl"][..], &["egret-operator", "kubectl"], &[]] {
        let old = with_ip_of(managers);
        let new = with(&old, "externalIPPool", &json!("b"));
        assert_eq!(ip_after(&new, &old), json!("10.0.0.1"), "{managers:?}");
    }
}

#[test]
fn an_ip_that_the_user_writes_along_with_the_pool_stays() {
    let old = with_ip_of(&["egret-operator"]);
    let by_server_side_apply = with(
        &with_ip_of(&["egret-operator", "kubectl"]),
        "externalIPPool",
        &json!("b"),
    );
    assert_eq!(ip_after(&by_server_side_apply, &old), json!("10.0.0.1"));
    let mut by_client_side_apply = with(&old, "externalIPPool", &json!("b"));
    by_client_side_apply["metadata"]["annotations"] =
        json!({LAST_APPLIED: r#"{"spec": {"egressIP": "10.0.0.1"}}"#});
    assert_eq!(ip_after(&by_client_side_apply, &old), json!("10.0.0.1"));
}

#[test]
fn a_burst_that_nobody_wrote_follows_the_rate() {
    let spec = |rate: &str| json!({"egressIP": "10.0.0.1", "whenUnavailable": "Drop", "bandwidth": {"rate": rate, "burst": "50M"}});
    let burst = |new: &Value, old: &Value| {
        let patch = egress(new, Some(old), None);
        patched(new.clone(), &patch)["bandwidth"]["burst"].take()
    };
    let (mut old, mut new) = (object(&spec("500M")), object(&spec("1G")));
    assert_eq!(burst(&new, &old), json!("100M"));
    let written =
        json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:bandwidth": {"f:burst": {}}}}}]);
    new["metadata"]["managedFields"] = written.clone();
    assert_eq!(burst(&new, &old), json!("50M"));
    old["metadata"]["managedFields"] = written;
    new["metadata"]["managedFields"] = json!([]);
    assert_eq!(burst(&new, &old), json!("50M"));
}

#[test]
fn a_burst_that_the_user_applies_stays_although_it_is_the_same() {
    let spec = |rate: &str| json!({"egressIP": "10.0.0.1", "whenUnavailable": "Drop", "bandwidth": {"rate": rate, "burst": "50M"}});
    let (old, mut new) = (object(&spec("500M")), object(&spec("1G")));
    let applying = |new: &mut Value, burst: &Value| {
        let manifest = json!({"spec": {"bandwidth": {"rate": "1G", "burst": burst}}}).to_string();
        new["metadata"]["annotations"] = json!({LAST_APPLIED: manifest});
        let patch = egress(new, Some(&old), None);
        patched(new.clone(), &patch)["bandwidth"]["burst"].take()
    };
    assert_eq!(applying(&mut new, &json!("50M")), json!("50M"));
    assert_eq!(applying(&mut new, &Value::Null), json!("100M"));
}

#[test]
fn a_change_of_labels_alone_gets_no_defaults() {
    let old = object(&json!({"bandwidth": {"rate": "1M"}}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(egress(&new, Some(&old), Some("prod")), Patch::default());
}

#[test]
fn an_object_on_its_way_out_gets_no_defaults() {
    let mut new = object(&json!({}));
    new["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(egress(&new, None, Some("prod")), Patch::default());
    assert_eq!(super::pool(&new, None), Patch::default());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["", "prod", "500M", "10.0.0.1"]).prop_map(Value::from),
    ];
    let fields = vec![
        "metadata",
        "spec",
        "egressIP",
        "externalIPPool",
        "egressIPs",
        "bandwidth",
        "rate",
        "burst",
        "managedFields",
        "annotations",
        "nodeSelector",
        "whenUnavailable",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(fields.clone()), inner, 0..6)
                .prop_map(|map| map
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_it_is_the_patch_applies_and_a_second_one_is_empty(
        spec in any_json(), meta in any_json(), old in prop::option::of(any_json()),
    ) {
        let mut new = json!({"metadata": meta, "spec": spec});
        let patch = egress(&new, old.as_ref(), Some("prod"));
        prop_assert!(json_patch::patch(&mut new, &patch).is_ok(), "{patch} {new}");
        let mut new = json!({"metadata": meta, "spec": spec});
        let patch = egress(&new, None, Some("prod"));
        json_patch::patch(&mut new, &patch).unwrap();
        prop_assert_eq!(egress(&new, None, Some("prod")), Patch::default());
        let patch = super::pool(&new, old.as_ref());
        prop_assert!(json_patch::patch(&mut new, &patch).is_ok());
    }
}
