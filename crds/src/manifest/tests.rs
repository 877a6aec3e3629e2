//! The definitions, as the API server would read them.

use serde_json::{Value, json};

use super::*;

fn by_plural(plural: &str) -> CustomResourceDefinition {
    definitions()
        .into_iter()
        .find(|crd| crd.spec.names.plural == plural)
        .unwrap()
}

fn versions(plural: &str) -> Vec<(String, bool, bool)> {
    let versions = by_plural(plural).spec.versions;
    versions
        .into_iter()
        .map(|version| (version.name, version.served, version.storage))
        .collect()
}

fn schema(plural: &str, pointer: &str) -> Value {
    let version = serde_json::to_value(&by_plural(plural).spec.versions[0]).unwrap();
    let root = version
        .pointer("/schema/openAPIV3Schema/properties")
        .unwrap();
    root.pointer(pointer).unwrap_or(&Value::Null).clone()
}

fn columns(plural: &str) -> Vec<(String, String)> {
    let columns = by_plural(plural).spec.versions[0]
        .additional_printer_columns
        .clone()
        .unwrap();
    columns
        .into_iter()
        .map(|column| (column.name, column.json_path))
        .collect()
}

fn each_value(value: &Value, check: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            check(key, value);
            each_value(value, check);
        }),
        Value::Array(items) => items.iter().for_each(|item| each_value(item, check)),
        _ => {}
    }
}

#[test]
fn inherited_kinds_are_stored_in_the_newer_version_and_served_in_both() {
    for plural in ["egresses", "externalippools"] {
        assert_eq!(
            versions(plural),
            [
                ("v1beta1".to_owned(), true, true),
                ("v1alpha2".to_owned(), true, false)
            ]
        );
        assert_eq!(by_plural(plural).spec.conversion.unwrap().strategy, "None");
    }
}

#[test]
fn both_versions_are_the_same_but_for_name_and_storage() {
    for plural in ["egresses", "externalippools"] {
        let mut versions = by_plural(plural).spec.versions;
        versions[1].name = versions[0].name.clone();
        versions[1].storage = true;
        assert_eq!(versions[0], versions[1]);
    }
}

#[test]
fn the_nodes_report_has_a_version_of_its_own() {
    assert_eq!(
        versions("egressnodes"),
        [("v1alpha1".to_owned(), true, true)]
    );
    assert_eq!(by_plural("egressnodes").spec.group, "egret.dev");
}

#[test]
fn every_kind_is_cluster_scoped_and_has_a_status_of_its_own() {
    for crd in definitions() {
        assert_eq!(crd.spec.scope, "Cluster");
        for version in crd.spec.versions {
            assert!(version.subresources.unwrap().status.is_some());
        }
    }
}

#[test]
fn short_names_are_the_inherited_ones() {
    assert_eq!(
        by_plural("egresses").spec.names.short_names,
        Some(vec!["eg".to_owned()])
    );
    assert_eq!(
        by_plural("externalippools").spec.names.short_names,
        Some(vec!["eip".to_owned()])
    );
}

#[test]
fn the_columns_are_those_that_users_know() {
    let expected = |columns: &[(&str, &str)]| -> Vec<(String, String)> {
        columns
            .iter()
            .map(|(name, path)| ((*name).to_owned(), (*path).to_owned()))
            .collect()
    };
    assert_eq!(
        columns("egresses"),
        expected(&[
            ("EgressIP", ".status.egressIP"),
            ("Age", ".metadata.creationTimestamp"),
            ("Node", ".status.egressNode"),
        ])
    );
    assert_eq!(
        columns("externalippools"),
        expected(&[
            ("Total", ".status.usage.total"),
            ("Used", ".status.usage.used"),
            ("Age", ".metadata.creationTimestamp"),
        ])
    );
    assert_eq!(
        columns("egressnodes"),
        expected(&[
            ("Ready", ".status.conditions[?(@.type==\"Ready\")].status"),
            ("Address", ".status.tunnelAddress"),
            ("IPs", ".status.egressIPCount"),
            ("Pods", ".status.pods"),
            ("Version", ".status.version"),
            ("Age", ".metadata.creationTimestamp"),
        ])
    );
}

#[test]
fn every_column_shows_a_field_that_exists() {
    for crd in definitions() {
        let plural = crd.spec.names.plural;
        for (name, path) in columns(&plural)
            .into_iter()
            .filter(|(name, _)| name != "Age")
        {
            let field = path.split('[').next().unwrap().replace('.', "/properties/");
            let field = field.strip_prefix("/properties").unwrap();
            assert_ne!(
                schema(&plural, field),
                Value::Null,
                "{plural} {name} {path}"
            );
        }
    }
}

#[test]
fn only_the_documented_fields_have_defaults() {
    let mut defaults = Vec::new();
    for crd in definitions() {
        let value = serde_json::to_value(&crd.spec.versions[0]).unwrap();
        each_value(&value, &mut |key, value| {
            if key == "default" {
                defaults.push(value.clone());
            }
        });
    }
    assert_eq!(
        schema("egresses", "/spec/properties/priority/default"),
        json!(0)
    );
    assert_eq!(
        schema("egresses", "/spec/properties/whenUnavailable/default"),
        json!("Drop")
    );
    assert_eq!(
        schema("externalippools", "/spec/properties/nodeSelector/default"),
        json!({})
    );
    let counts = ["egressIPCount", "pods"];
    for count in counts {
        let pointer = format!("/status/properties/{count}/default");
        assert_eq!(schema("egressnodes", &pointer), json!(0));
    }
    assert_eq!(defaults.len(), 5, "{defaults:?}");
}

#[test]
fn only_the_documented_fields_are_required() {
    assert_eq!(schema("egresses", "/spec/required"), json!(["appliedTo"]));
    assert_eq!(
        schema("egresses", "/spec/properties/bandwidth/required"),
        json!(["rate"])
    );
    assert_eq!(
        schema("externalippools", "/spec/required"),
        json!(["ipRanges"])
    );
    assert_eq!(
        schema("externalippools", "/spec/properties/subnetInfo/required"),
        json!(["gateway", "prefixLength"])
    );
}

#[test]
fn numbers_that_frames_cannot_carry_are_refused_by_the_schema() {
    let field = |name: &str| {
        schema(
            "externalippools",
            &format!("/spec/properties/subnetInfo/properties/{name}"),
        )
    };
    let limits = |field: &Value| (field["minimum"].as_f64(), field["maximum"].as_f64());
    assert_eq!(limits(&field("prefixLength")), (Some(1.0), Some(127.0)));
    assert_eq!(limits(&field("vlan")), (Some(0.0), Some(4094.0)));
}

#[test]
fn the_legal_words_are_listed() {
    assert_eq!(
        schema("egresses", "/spec/properties/whenUnavailable/enum"),
        json!(["Drop", "NodeIP"])
    );
    let operators =
        "/spec/properties/nodeSelector/properties/matchExpressions/items/properties/operator/enum";
    assert_eq!(
        schema("externalippools", operators),
        json!(["In", "NotIn", "Exists", "DoesNotExist"])
    );
}

#[test]
fn structural_rules_say_what_would_be_right() {
    assert_eq!(
        schema("egresses", "/spec/x-kubernetes-validations/0/message"),
        json!(crate::egress::NO_ADDRESS)
    );
    assert_eq!(
        schema(
            "externalippools",
            "/spec/properties/ipRanges/items/x-kubernetes-validations/0/message"
        ),
        json!(crate::pool::NOT_ONE_RANGE)
    );
}

#[test]
fn every_text_and_list_of_a_spec_is_bounded_except_selectors() {
    for plural in ["egresses", "externalippools"] {
        let mut spec = schema(plural, "/spec/properties");
        for selector in ["appliedTo", "nodeSelector"] {
            spec.as_object_mut().unwrap().remove(selector);
        }
        each_value(&spec, &mut |name, field| {
            let limit = match field["type"].as_str() {
                Some("string") if field["enum"].is_null() => "maxLength",
                Some("array") => "maxItems",
                _ => return,
            };
            assert!(
                field[limit].is_u64() || field[limit].is_number(),
                "{plural} {name} has no {limit}"
            );
        });
    }
}

#[test]
fn conditions_are_merged_by_type_and_candidates_replaced_whole() {
    for plural in ["egresses", "externalippools", "egressnodes"] {
        let conditions = schema(plural, "/status/properties/conditions");
        assert_eq!(conditions["x-kubernetes-list-type"], json!("map"));
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
        assert_ne!(
            conditions["items"]["properties"]["observedGeneration"],
            Value::Null
        );
    }
    let candidates = schema("egresses", "/status/properties/candidates");
    assert_eq!(candidates["x-kubernetes-list-type"], json!("atomic"));
}

#[test]
fn no_field_may_be_null_and_no_format_is_unknown_to_the_api_server() {
    for crd in definitions() {
        let value = serde_json::to_value(&crd.spec.versions).unwrap();
        each_value(&value, &mut |key, value| {
            assert_ne!(key, "nullable");
            if key == "format" && value.is_string() {
                let known = ["int32", "int64", "date-time"].contains(&value.as_str().unwrap());
                assert!(known, "{value}");
            }
        });
    }
}

#[test]
fn descriptions_flow_within_a_paragraph() {
    assert_eq!(flowing("one\ntwo\n\nthree"), "one two\n\nthree");
}

#[test]
fn an_older_version_that_was_written_by_other_clients_is_read() {
    let egress: Egress = serde_json::from_value(json!({
        "apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress", "metadata": {"name": "e"},
        "spec": {"appliedTo": {}, "egressIP": "", "externalIPPool": "p"},
        "status": {"egressNode": "", "egressIP": ""},
    }))
    .unwrap();
    let status = egress.status.unwrap();
    assert_eq!(
        (egress.spec.egress_ip, status.egress_node, status.egress_ip),
        (None, None, None)
    );
}

#[test]
fn an_object_is_written_without_the_fields_that_it_does_not_set() {
    let mut egress = Egress::new("e", crate::EgressSpec::default());
    egress.status = Some(crate::EgressStatus::default());
    let value = serde_json::to_value(&egress).unwrap();
    assert_eq!(value["status"], json!({}));
    assert_eq!(
        value["spec"],
        json!({"appliedTo": {}, "priority": 0, "whenUnavailable": "Drop"})
    );
}

#[test]
fn a_nodes_report_has_no_spec() {
    let mut node = EgressNode::new("n", crate::node::EgressNodeFields {});
    node.status = Some(crate::EgressNodeStatus {
        pods: 3,
        ..Default::default()
    });
    let value = serde_json::to_value(&node).unwrap();
    assert_eq!(value.as_object().unwrap().get("spec"), None);
    let read: EgressNode = serde_json::from_value(value).unwrap();
    assert_eq!(read.status.unwrap().pods, 3);
}
