//! What domain types need of `metadata`.
//!
//! Owns what stands for a field that an object does not have yet: manifests and objects on their way through admission
//! lack some. Never checks what the API server has checked.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use egret_domain::problem::Problems;

/// The name, or how it begins where the API server is still to make one up.
pub(super) fn name(metadata: &ObjectMeta) -> Result<&str, Problems> {
    metadata
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .or(metadata.generate_name.as_deref())
        .ok_or_else(|| Problems::at("metadata.name", "is missing: give the object a name"))
}

/// Creation time in Unix seconds. An object that is not stored yet is younger than all that are.
pub(super) fn created(metadata: &ObjectMeta) -> i64 {
    metadata
        .creation_timestamp
        .as_ref()
        .map_or(i64::MAX, |time| time.0.as_second())
}

/// The generation; 0 before there is one.
pub(super) fn generation(metadata: &ObjectMeta) -> i64 {
    metadata.generation.unwrap_or_default()
}

/// Whether deletion has been asked for.
pub(super) fn deleting(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some()
}
