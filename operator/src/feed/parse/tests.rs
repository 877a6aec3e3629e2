//! Objects become facts, as far as they are legible.

use egret_crds::EgressNode;
use egret_crds::manager::OPERATOR;
use egret_domain::control::Writer;
use serde_json::{Value, json};

use super::*;

fn read(spec: &Value, managers: &[(&str, &Value)]) -> EgressFact {
    let managed: Vec<_> = managers
        .iter()
        .map(|(manager, spec)| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": spec}}))
        .collect();
    let object = json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress",
        "metadata": {"name": "a", "generation": 3, "managedFields": managed,
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [EGRESS_FINALIZER]},
        "spec": spec,
        "status": {"egressIP": "10.10.0.11", "egressNode": "node-1", "candidates": ["node-1"]}});
    egress(&serde_json::from_value(object).unwrap())
}

#[test]
fn an_egress_is_read_with_its_status() {
    let fact = read(&json!({"appliedTo": {}, "externalIPPool": "prod"}), &[]);
    assert_eq!(
        (fact.pool, fact.ip, fact.problems),
        (Some("prod".into()), None, None)
    );
    assert!(fact.has_finalizer && !fact.deleting);
    assert_eq!((fact.generation, fact.created), (3, 1_767_225_600));
    assert_eq!(fact.status.ip, Some("10.10.0.11".parse().unwrap()));
    assert_eq!(fact.status.node, Some("node-1".into()));
    assert_eq!(fact.status.candidates, ["node-1".into()]);
}

#[test]
fn an_invalid_egress_tells_its_problems_and_what_of_it_is_legible() {
    let spec = json!({"appliedTo": {}, "externalIPPool": "prod", "egressIP": "10.10.0.11",
        "bandwidth": {"rate": "fast"}});
    let fact = read(&spec, &[]);
    assert_eq!(
        (fact.pool, fact.ip),
        (Some("prod".into()), Some("10.10.0.11".parse().unwrap()))
    );
    assert!(
        fact.problems
            .is_some_and(|problems| problems.contains("spec.bandwidth.rate"))
    );
}

/// Else the operator would take its IP back from an Egress that has nothing else.
#[test]
fn a_pool_without_a_name_is_none_in_an_invalid_egress_too() {
    let spec = json!({"appliedTo": {}, "externalIPPool": "", "egressIP": "10.10.0.11",
        "bandwidth": {"rate": "fast"}});
    let fact = read(&spec, &[]);
    assert_eq!((fact.pool, fact.problems.is_some()), (None, true));
}

#[test]
fn who_wrote_the_ip_is_read() {
    let spec = json!({"appliedTo": {}, "externalIPPool": "prod", "egressIP": "10.10.0.11"});
    let ip = json!({"f:egressIP": {}});
    let fact = read(&spec, &[(OPERATOR, &ip)]);
    assert_eq!(fact.ip_writer, Writer::Operator);
    assert_eq!(read(&spec, &[]).ip_writer, Writer::User);
}

#[test]
fn a_node_is_fit_unless_its_agent_reports_otherwise() {
    let report = |conditions: &[(&str, &str)]| {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(kind, status)| {
                json!({"type": kind, "status": status, "reason": "r", "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        let object = json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}});
        let object: EgressNode = serde_json::from_value(object).unwrap();
        let told = report("n", object.status.as_ref());
        told.iter()
            .any(|fact| matches!(fact, Fact::NodeFitness { is_fit: true, .. }))
    };
    assert!(report(&[]) && report(&[("Ready", "True")]));
    assert!(!report(&[("Ready", "False")]));
}

#[test]
fn a_node_without_a_report_has_not_reported() {
    assert_eq!(report("n", None), [Fact::ReportGone("n".into())]);
}
