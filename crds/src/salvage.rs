//! What can still be read of an object that is not what its type says.
//!
//! Owns the reading of single fields of an Egress, each by itself: what holds an egress IP must be known even where
//! nobody can say what the object asks for. Never makes it look well-formed: its reader is told that it is not.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::egress::{Egress, EgressSpec, EgressStatus};

/// The legible fields of a malformed Egress among those that matter for its address: metadata, whom it applies to, IP
/// and pool, and the status.
pub fn egress(object: &Value) -> Egress {
    let text = |pointer| field::<Option<String>>(object, pointer).filter(|text| !text.is_empty());
    Egress {
        metadata: field(object, "/metadata"),
        spec: EgressSpec {
            applied_to: field(object, "/spec/appliedTo"),
            egress_ip: text("/spec/egressIP"),
            external_ip_pool: text("/spec/externalIPPool"),
            ..EgressSpec::default()
        },
        status: Some(EgressStatus {
            egress_ip: text("/status/egressIP"),
            egress_node: text("/status/egressNode"),
            candidates: items(object, "/status/candidates"),
            conditions: items(object, "/status/conditions"),
        }),
    }
}

fn field<T: DeserializeOwned + Default>(object: &Value, pointer: &str) -> T {
    let value = object.pointer(pointer);
    value
        .and_then(|value| T::deserialize(value).ok())
        .unwrap_or_default()
}

fn items<T: DeserializeOwned>(object: &Value, pointer: &str) -> Vec<T> {
    let items = object.pointer(pointer).and_then(Value::as_array);
    let items = items.into_iter().flatten();
    items.filter_map(|item| T::deserialize(item).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_legible_field_is_read_whatever_the_others_are() {
        let object = json!({
            "metadata": {"name": "web", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"appliedTo": {"podSelector": {"matchLabels": {"app": "web"}}}, "egressIP": "10.0.0.1",
                "externalIPPool": ["prod"], "priority": "high"},
            "status": {"egressNode": "node-1", "egressIP": "10.0.0.1", "candidates": ["node-1", 7],
                "conditions": [{"type": "Ready"}, {"type": "IPAssigned", "status": "True", "reason": "Assigned",
                    "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        let read = egress(&object);
        assert!(read.metadata.deletion_timestamp.is_some());
        assert!(read.spec.applied_to.pod_selector.is_some());
        assert_eq!(read.spec.egress_ip.as_deref(), Some("10.0.0.1"));
        assert_eq!(read.spec.external_ip_pool, None);
        let status = read.status.unwrap();
        assert_eq!(status.egress_node.as_deref(), Some("node-1"));
        assert_eq!(status.candidates, ["node-1"]);
        assert_eq!(status.conditions.len(), 1);
    }

    #[test]
    fn of_nonsense_nothing_is_read() {
        for object in [
            json!(null),
            json!([]),
            json!({"spec": 7, "status": "x", "metadata": 1}),
        ] {
            assert_eq!(egress(&object).spec, EgressSpec::default());
        }
    }
}
