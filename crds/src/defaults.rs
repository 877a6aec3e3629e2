//! What an object has where its user has written nothing, as a patch of its JSON.
//!
//! Owns the defaults that depend on something: on other fields, other objects, or who wrote what; the fixed ones are in the
//! schema too, which comes first. What the user wrote is never changed: only what is absent is filled in, and what only
//! Egret had filled in may be taken back. An object that the schema will refuse is left to it. A change that leaves the
//! spec as it was gets nothing: it may be meant for labels alone.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use egret_domain::control::Writer;

use crate::manager::{ip_writer, is_written};
use crate::parse::bandwidth::{default_burst, rate};
use crate::quantity;

/// What `kubectl apply` has been told last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The defaults of an Egress that is to be stored in place of `old`, if there is one. `pool` is the one for Egresses
/// that name neither an address nor a pool, if there is just one.
pub fn egress(object: &Value, old: Option<&Value>, pool: Option<&str>) -> Patch {
    let Some(spec) = changed_spec(object, old) else {
        return Patch::default();
    };
    let is_stale = old.is_some_and(|old| is_ip_stale(object, old));
    let takes_back = is_stale.then(|| remove(&["spec", "egressIP"]));
    let pool = pool.filter(|_| lacks_address(spec, is_stale));
    let operations = [
        takes_back,
        pool.map(|pool| add(&["spec", "externalIPPool"], &json!(pool))),
        absent(spec, "whenUnavailable").then(|| add(&["spec", "whenUnavailable"], &json!("Drop"))),
        burst(object, spec, old).map(|burst| add(&["spec", "bandwidth", "burst"], &json!(burst))),
    ];
    Patch(operations.into_iter().flatten().collect())
}

/// The defaults of a pool that is to be stored in place of `old`, if there is one.
pub fn pool(object: &Value, old: Option<&Value>) -> Patch {
    let spec = changed_spec(object, old);
    let is_absent = spec.is_some_and(|spec| absent(spec, "nodeSelector"));
    let selector = is_absent.then(|| add(&["spec", "nodeSelector"], &json!({})));
    Patch(selector.into_iter().collect())
}

/// The spec of an object that is not on its way out, unless it stays as it was.
fn changed_spec<'a>(object: &'a Value, old: Option<&Value>) -> Option<&'a Map<String, Value>> {
    let spec = object.get("spec")?;
    let is_unchanged = old.and_then(|old| old.get("spec")) == Some(spec);
    let is_leaving = object.pointer("/metadata/deletionTimestamp").is_some();
    if is_unchanged || is_leaving {
        return None;
    }
    spec.as_object()
}

fn absent(fields: &Map<String, Value>, field: &str) -> bool {
    fields.get(field).is_none_or(Value::is_null)
}

/// Empty texts and lists stand for fields left out.
fn is_given(fields: &Map<String, Value>, field: &str) -> bool {
    let value = fields.get(field).unwrap_or(&Value::Null);
    !value.is_null() && *value != json!("") && *value != json!([])
}

fn lacks_address(spec: &Map<String, Value>, is_ip_stale: bool) -> bool {
    let others = ["externalIPPool", "egressIPs", "externalIPPools"];
    let has_ip = is_given(spec, "egressIP") && !is_ip_stale;
    !has_ip && !others.iter().any(|field| is_given(spec, field))
}

/// Whether the IP is left over from another pool: only the operator wrote it, and the user changes or removes the pool
/// without a word about the IP.
fn is_ip_stale(object: &Value, old: &Value) -> bool {
    let text = |object: &Value, field: &str| {
        let value = object.pointer(&format!("/spec/{field}"));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let ip = text(object, "egressIP");
    let is_left = !ip.is_empty() && text(old, "egressIP") == ip;
    is_left
        && text(old, "externalIPPool") != text(object, "externalIPPool")
        && ip_writer(&metadata(old)) == Writer::Operator
        && !is_written_now(object, &ip)
}

/// Whether the user has written the IP in this change, although it is the same: with server-side apply he owns it then,
/// with client-side apply only his manifest says it.
fn is_written_now(object: &Value, ip: &str) -> bool {
    let meta = metadata(object);
    applied(&meta, "/spec/egressIP").is_some_and(|applied| applied == ip)
        || ip_writer(&meta) == Writer::Both
}

/// What the manifest of the last client-side apply says at this JSON pointer.
fn applied(meta: &ObjectMeta, field: &str) -> Option<Value> {
    let text = meta.annotations.as_ref()?.get(LAST_APPLIED)?;
    let mut applied = serde_json::from_str::<Value>(text).ok()?;
    applied.pointer_mut(field).map(Value::take)
}

/// The burst for a legal rate without one. One that nobody wrote follows the rate.
fn burst(object: &Value, spec: &Map<String, Value>, old: Option<&Value>) -> Option<String> {
    let limit = spec.get("bandwidth")?.as_object()?;
    let bits = rate(limit.get("rate")?.as_str()?).ok()?;
    let is_wanted = absent(limit, "burst") || old.is_some_and(|old| is_burst_stale(object, old));
    is_wanted.then(|| quantity::decimal_text(default_burst(bits)))
}

/// Whether the burst is left over from another rate: nobody wrote it, and the user changes the rate without a word about
/// the burst. Who applies a manifest that says the same burst owns it no sooner than he changes it.
fn is_burst_stale(object: &Value, old: &Value) -> bool {
    let at = |object: &Value, field: &str| {
        object
            .pointer(&format!("/spec/bandwidth/{field}"))
            .cloned()
            .unwrap_or_default()
    };
    let (meta, burst) = (metadata(object), at(object, "burst"));
    let wrote = |meta: &ObjectMeta| is_written(meta, "/f:spec/f:bandwidth/f:burst");
    let is_applied =
        applied(&meta, "/spec/bandwidth/burst").is_some_and(|applied| applied == burst);
    at(old, "burst") == burst
        && at(old, "rate") != at(object, "rate")
        && !is_applied
        && !wrote(&metadata(old))
        && !wrote(&meta)
}

/// What cannot be read is as good as absent: the API server checks it.
fn metadata(object: &Value) -> ObjectMeta {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    ObjectMeta::deserialize(metadata).unwrap_or_default()
}

fn add(path: &[&str], value: &Value) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: PointerBuf::from_tokens(path.iter().copied()),
        value: value.clone(),
    })
}

fn remove(path: &[&str]) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation {
        path: PointerBuf::from_tokens(path.iter().copied()),
    })
}

#[cfg(test)]
mod tests;
