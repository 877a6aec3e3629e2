//! What is allowed, with and without a warning.

use super::*;

#[tokio::test]
async fn objects_that_are_right_are_allowed_without_a_word_in_both_versions() {
    let cluster = Cluster::small();
    for spec in [
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod"}"#,
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod", "egressIP": "10.10.0.4"}"#,
        r#"{"appliedTo": {"podSelector": {}}, "egressIP": "10.10.0.101"}"#,
    ] {
        for version in ["v1beta1", "v1alpha2"] {
            let version = json!(format!("crd.antrea.io/{version}"));
            let told = cluster
                .create(&with(&egress("new", spec), "/apiVersion", version))
                .await;
            assert!(
                told.is_allowed() && told.warnings().is_empty(),
                "{spec} {told:?}"
            );
            assert_eq!(told.response()["uid"], "u-1");
        }
    }
    let told = cluster
        .create(&pool("new", r#"{"ipRanges": [{"cidr": "10.30.0.0/24"}]}"#))
        .await;
    assert!(told.is_allowed() && told.warnings().is_empty(), "{told:?}");
}

#[tokio::test]
async fn what_is_odd_is_allowed_with_a_warning() {
    let cluster = Cluster::small();
    for (object, words) in [
        (
            egress("new", r#"{"appliedTo": {}, "externalIPPool": "prod"}"#),
            "spec.appliedTo: selects no Pod",
        ),
        (
            egress(
                "new",
                r#"{"appliedTo": {"podSelector": {}}, "egressIP": "10.10.0.4"}"#,
            ),
            "spec.egressIP: \"10.10.0.4\" is an address of ExternalIPPool prod",
        ),
        (
            egress(
                "new",
                r#"{"appliedTo": {"podSelector": {"matchLabels": {"app": "web"}}}, "externalIPPool": "edge"}"#,
            ),
            "spec.appliedTo: selects the same Pods as Egress web",
        ),
        (
            egress(
                "new",
                r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "edge", "exceptCIDRs": ["10.1.2.3/8"]}"#,
            ),
            "spec.exceptCIDRs[0]: \"10.1.2.3/8\" has bits set beyond its prefix: it is taken as 10.0.0.0/8",
        ),
        (
            pool("new", r#"{"ipRanges": [{"cidr": "10.30.0.9/24"}]}"#),
            "spec.ipRanges[0].cidr: \"10.30.0.9/24\" has bits set beyond its prefix: it is taken as 10.30.0.0/24",
        ),
        (
            pool(
                "new",
                r#"{"ipRanges": [{"cidr": "10.30.0.0/24"}], "nodeSelector": {"matchLabels": {"a": "b"}}}"#,
            ),
            "spec.nodeSelector: selects no node",
        ),
    ] {
        let told = cluster.create(&object).await;
        assert!(told.is_allowed(), "{told:?}");
        let warnings = told.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(words),
            "{warnings:?}"
        );
        assert!(warnings[0].len() <= 256, "{warnings:?}");
    }
}

#[tokio::test]
async fn deletion_is_never_refused_and_warned_of_where_a_pool_is_in_use() {
    let cluster = Cluster::small();
    let told = cluster.delete(&pool("prod", "{}")).await;
    assert!(told.is_allowed());
    assert_eq!(
        told.warnings(),
        ["metadata.name: \"prod\" is in use and stays until no Egress uses it: web"]
    );
    for object in [pool("edge", "{}"), egress("web", "7")] {
        let told = cluster.delete(&object).await;
        assert!(told.is_allowed() && told.warnings().is_empty(), "{told:?}");
    }
    let mut all_at_once = review("DELETE", &Value::Null, &egress("", "{}"));
    all_at_once["request"]["oldObject"] = Value::Null;
    assert!(cluster.ask("/validate", &all_at_once).await.is_allowed());
}

#[tokio::test]
async fn labels_finalizers_and_status_may_be_written_whatever_the_spec_is() {
    let cluster = Cluster::small();
    for spec in [
        r#"{"appliedTo": {}, "externalIPPool": "nowhere", "egressIP": "10.10.0.11", "bandwidth": {"rate": "fast"}}"#,
        r#"{"appliedTo": 7, "priority": "high"}"#,
    ] {
        let old = egress("old", spec);
        for (pointer, value) in [
            ("/metadata/labels", json!({"a": "b"})),
            ("/metadata/finalizers", json!([])),
            ("/status", json!({"egressNode": "node-1"})),
        ] {
            let told = cluster.update(&old, &with(&old, pointer, value)).await;
            assert!(told.is_allowed(), "{told:?}");
        }
        let mut status = review("UPDATE", &old, &old);
        status["request"]["subResource"] = json!("status");
        assert!(cluster.ask("/validate", &status).await.is_allowed());
    }
}

#[tokio::test]
async fn what_was_wrong_before_is_only_warned_of() {
    let cluster = Cluster::small();
    let old = egress(
        "old",
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "nowhere"}"#,
    );
    let told = cluster
        .update(&old, &with(&old, "/spec/priority", json!(3)))
        .await;
    assert!(told.is_allowed(), "{told:?}");
    assert!(
        told.warnings()[0].contains("\"nowhere\" does not exist"),
        "{told:?}"
    );
    let told = cluster
        .update(
            &old,
            &with(&old, "/spec/externalIPPool", json!("elsewhere")),
        )
        .await;
    assert!(!told.is_allowed(), "{told:?}");
}

#[tokio::test]
async fn an_object_on_its_way_out_may_be_anything() {
    let cluster = Cluster::small();
    let old = with(
        &egress("old", r#"{"appliedTo": {}}"#),
        "/metadata/deletionTimestamp",
        json!("2026-01-01T00:00:00Z"),
    );
    for spec in [json!({"appliedTo": {}, "egressIP": "x"}), json!(7)] {
        let told = cluster.update(&old, &with(&old, "/spec", spec)).await;
        assert!(told.is_allowed(), "{told:?}");
    }
}

#[tokio::test]
async fn what_is_absent_is_filled_in() {
    let cluster = Cluster::small();
    let mut default_pool = pool("main", r#"{"ipRanges": [{"cidr": "10.40.0.0/24"}]}"#);
    default_pool["metadata"]["annotations"] = json!({"egret.dev/is-default-pool": "true"});
    cluster.store(default_pool);
    let new = egress("new", r#"{"appliedTo": {}, "bandwidth": {"rate": "1G"}}"#);
    let told = cluster
        .ask("/mutate", &review("CREATE", &new, &Value::Null))
        .await;
    assert!(told.is_allowed());
    assert_eq!(
        told.patch(),
        json!([
            {"op": "add", "path": "/spec/externalIPPool", "value": "main"},
            {"op": "add", "path": "/spec/whenUnavailable", "value": "Drop"},
            {"op": "add", "path": "/spec/bandwidth/burst", "value": "100M"},
        ])
    );
    let new = pool("new", r#"{"ipRanges": []}"#);
    let told = cluster
        .ask("/mutate", &review("CREATE", &new, &Value::Null))
        .await;
    assert_eq!(
        told.patch(),
        json!([{"op": "add", "path": "/spec/nodeSelector", "value": {}}])
    );
}

#[tokio::test]
async fn what_the_schema_will_refuse_is_left_to_it() {
    let cluster = Cluster::small();
    for spec in ["7", r#"{"appliedTo": 7}"#, r#"{"egressIP": 7}"#, "null"] {
        let new = egress("new", spec);
        let told = cluster
            .ask("/mutate", &review("CREATE", &new, &Value::Null))
            .await;
        assert!(told.is_allowed(), "{spec} {told:?}");
    }
}

#[tokio::test]
async fn a_pool_that_was_made_a_moment_ago_is_found() {
    let cluster = Cluster::small();
    cluster.store_unseen(pool("fresh", r#"{"ipRanges": [{"cidr": "10.50.0.0/24"}]}"#));
    let new = egress(
        "new",
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "fresh", "egressIP": "10.50.0.1"}"#,
    );
    let told = cluster.create(&new).await;
    assert!(told.is_allowed() && told.warnings().is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_default_pool_that_was_made_a_moment_ago_is_filled_in() {
    let cluster = Cluster::small();
    let mut fresh = pool("fresh", r#"{"ipRanges": [{"cidr": "10.50.0.0/24"}]}"#);
    fresh["metadata"]["annotations"] = json!({"egret.dev/is-default-pool": "true"});
    cluster.store_unseen(fresh);
    let new = egress("new", r#"{"appliedTo": {"podSelector": {}}}"#);
    let told = cluster
        .ask("/mutate", &review("CREATE", &new, &Value::Null))
        .await;
    assert!(told.is_allowed(), "{told:?}");
    assert_eq!(told.patch()[0]["value"], "fresh");
}

#[tokio::test]
async fn who_comes_to_light_at_a_second_look_is_looked_at_too() {
    let cluster = Cluster::small();
    let spec =
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod", "egressIP": "10.10.0.3"}"#;
    cluster.store(egress("younger", spec));
    for name in ["web", "younger"] {
        cluster.delete_unseen(&egress(name, "{}"));
    }
    let told = cluster.create(&egress("new", spec)).await;
    assert!(told.is_allowed(), "{told:?}");
}

#[tokio::test]
async fn the_address_of_an_egress_that_went_a_moment_ago_is_free() {
    let cluster = Cluster::small();
    let new = egress(
        "new",
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod", "egressIP": "10.10.0.3"}"#,
    );
    assert!(!cluster.create(&new).await.is_allowed());
    cluster.delete_unseen(&egress("web", "{}"));
    let told = cluster.create(&new).await;
    assert!(told.is_allowed(), "{told:?}");
}

#[tokio::test]
async fn answers_are_counted_by_kind_operation_and_result() {
    let cluster = Cluster::small();
    cluster
        .create(&egress(
            "new",
            r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod"}"#,
        ))
        .await;
    cluster
        .create(&egress(
            "new",
            r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prd"}"#,
        ))
        .await;
    cluster.delete(&pool("prod", "{}")).await;
    cluster.send(posted("/validate", "?")).await;
    let text = cluster.metrics();
    for labels in [
        r#"stage="validate",kind="Egress",operation="create",result="allowed""#,
        r#"stage="validate",kind="Egress",operation="create",result="invalid""#,
        r#"stage="validate",kind="ExternalIPPool",operation="delete",result="allowed""#,
        r#"stage="validate",kind="other",operation="other",result="malformed""#,
    ] {
        assert!(
            text.contains(&format!("egret_webhook_answers_total{{{labels}}} 1")),
            "{text}"
        );
    }
    assert!(!text.contains("prd") && !text.contains("alice"), "{text}");
}
