//! Who wrote a field, by its field managers.
//!
//! Owns the name under which the operator writes and the reading of `metadata.managedFields`. Never decides what follows
//! from it.

use egret_domain::control::Writer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

/// The name under which the operator owns fields.
pub const OPERATOR: &str = "egret-operator";

/// Who wrote `spec.egressIP`.
pub fn ip_writer(meta: &ObjectMeta) -> Writer {
    let owns_ip = |entry: &&ManagedFieldsEntry| owns(entry, "/f:spec/f:egressIP");
    let entries = || meta.managed_fields.iter().flatten().filter(owns_ip);
    let is_operators = entries().any(is_operators);
    let is_users = entries().any(|entry| !self::is_operators(entry));
    match (is_operators, is_users) {
        (true, true) => Writer::Both,
        (true, false) => Writer::Operator,
        (false, _) => Writer::User,
    }
}

/// Whether anybody wrote the field at this JSON pointer into `fieldsV1`: a default is nobody's.
pub(crate) fn is_written(meta: &ObjectMeta, field: &str) -> bool {
    let mut entries = meta.managed_fields.iter().flatten();
    entries.any(|entry| owns(entry, field))
}

fn is_operators(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(OPERATOR)
}

fn owns(entry: &ManagedFieldsEntry, field: &str) -> bool {
    let fields = entry.fields_v1.as_ref();
    fields.is_some_and(|fields| fields.0.pointer(field).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn who_wrote_the_ip_is_told_by_its_field_managers() {
        let (ip, other) = (json!({"f:egressIP": {}}), json!({"f:externalIPPool": {}}));
        let cases: [(&[(&str, &Value)], Writer); 5] = [
            (&[], Writer::User),
            (&[("kubectl", &ip)], Writer::User),
            (&[(OPERATOR, &ip), ("kubectl", &other)], Writer::Operator),
            (&[(OPERATOR, &ip), ("kubectl", &ip)], Writer::Both),
            (&[(OPERATOR, &other), ("kubectl", &ip)], Writer::User),
        ];
        for (managers, writer) in cases {
            let entry = |(manager, spec): &(&str, &Value)| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": spec}});
            let entries: Vec<_> = managers.iter().map(entry).collect();
            let meta = serde_json::from_value(json!({"managedFields": entries})).unwrap();
            assert_eq!(ip_writer(&meta), writer, "{managers:?}");
        }
    }
}
