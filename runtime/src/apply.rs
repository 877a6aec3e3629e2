//! Writing objects: compare, then server-side apply.
//!
//! Owns the rule that nothing is sent which would change nothing, and that an owned field which is no longer wanted
//! is given up; and the guarded merge patch for what applying cannot take away. Never retries: who asked decides whether
//! the wish still holds.
//!
//! The comparison reads `metadata.managedFields` (format `FieldsV1`, structured-merge-diff v4: `f:NAME` is a field,
//! `k:{KEYS}` the item of an associative list with these keys, `v:VALUE` an item of a set, `.` the place itself, and an
//! empty object a leaf, which is owned as a whole).

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::fence::Refusal;

/// A write that has no answer by then has failed, as far as its writer is concerned.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a write failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused it, or could not be asked.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// No answer in time; the write may or may not have happened.
    #[error("no answer from the API server within {}s", LIMIT.as_secs())]
    TimedOut,
    /// A value that is no JSON, or not what its type says.
    #[error("not an object of the API")]
    Encode(#[from] serde_json::Error),
}

impl Error {
    /// Whether somebody else was faster, or owns the field.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_conflict())
    }

    /// Whether there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_not_found())
    }

    /// What kind of failure it is.
    pub fn category(&self) -> Category {
        match self {
            Self::TimedOut => Category::Timeout,
            Self::Encode(_) => Category::Encode,
            Self::Api(kube::Error::Api(status)) => match status.code {
                403 => Category::Forbidden,
                404 => Category::NotFound,
                409 => Category::Conflict,
                400..=499 => Category::Refused,
                _ => Category::Server,
            },
            Self::Api(error) => match Refusal::in_error(error) {
                Some(Refusal::Expired) => Category::NotLeading,
                Some(Refusal::Unanswered) => Category::Timeout,
                None => Category::Connection,
            },
        }
    }
}

/// The kind of a failure: what to do about it depends on that alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The account has no right to it.
    Forbidden,
    /// There is no such object, or no such kind of object.
    NotFound,
    /// Somebody else was faster, or owns the field.
    Conflict,
    /// The API server will not have it, for another reason.
    Refused,
    /// The API server could not do it.
    Server,
    /// The API server could not be reached.
    Connection,
    /// It has not answered in time.
    Timeout,
    /// It was not sent, because another replica may write now.
    NotLeading,
    /// It was not sent, because it is nothing that the API has.
    Encode,
}

impl Category {
    /// One word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Server => "server",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::NotLeading => "not_leading",
            Self::Encode => "encode",
        }
    }
}

/// Which part of an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Object,
    /// The status, through its subresource.
    Status,
}

/// How to write.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// The field manager: the name under which fields are owned.
    pub manager: &'static str,
    /// The part that is written.
    pub part: Part,
    /// Whether fields that others own are taken over; else the write fails with a conflict.
    pub force: bool,
    /// Whether the write fails with a conflict if the object has changed since it was read.
    pub if_unchanged: bool,
}

/// Makes `wanted` the fields that the manager owns in an object: `wanted` holds just these, without `apiVersion`,
/// `kind` and the object's identity. An owned field that is missing there is removed. Where
/// somebody else owns such a field too, it stays: see [`amend`]. `current` is the object as it was last read, `None` if there is none yet (it is then created); a write never creates anew an object that was
/// read before. Gives the object as written, or `None` if there was nothing to change.
pub async fn apply<K>(
    api: &Api<K>,
    name: &str,
    current: Option<&K>,
    wanted: &Value,
    how: How,
) -> Result<Option<K>, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    if let Some(current) = current
        && is_as_wanted(current, wanted, how)?
    {
        return Ok(None);
    }
    let patch = Patch::Apply(configuration::<K>(name, current, wanted, how));
    let params = PatchParams {
        force: how.force,
        ..PatchParams::apply(how.manager)
    };
    let write = async {
        match how.part {
            Part::Object => api.patch(name, &params, &patch).await,
            Part::Status => api.patch_status(name, &params, &patch).await,
        }
    };
    within_limit(write).await.map(Some)
}

/// Changes an object by a merge patch if it is still as it was read, else it is a conflict. So a value goes whoever owns
/// it too, and a list may be written as a whole. `patch` is without the object's identity.
pub async fn amend<K>(
    api: &Api<K>,
    current: &K,
    patch: &Value,
    manager: &str,
    part: Part,
) -> Result<(), Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let name = current.meta().name.as_deref().unwrap_or_default();
    let patch = Patch::Merge(guarded(patch, current.meta()));
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    let write = async {
        match part {
            Part::Object => api.patch(name, &params, &patch).await,
            Part::Status => api.patch_status(name, &params, &patch).await,
        }
    };
    within_limit(write).await.map(drop)
}

/// The patch, for just this state of this object.
fn guarded(patch: &Value, meta: &ObjectMeta) -> Value {
    let mut all = patch.as_object().cloned().unwrap_or_default();
    let of_object = all.entry("metadata").or_insert_with(|| json!({}));
    if let Some(of_object) = of_object.as_object_mut() {
        of_object.insert("uid".to_owned(), json!(meta.uid));
        of_object.insert("resourceVersion".to_owned(), json!(meta.resource_version));
    }
    Value::Object(all)
}

/// Whether applying this to an object that was read would change nothing: see [`apply`].
pub fn is_as_wanted<K>(current: &K, wanted: &Value, how: How) -> Result<bool, Error>
where
    K: Resource + Serialize,
{
    Ok(is_applied(
        current.meta(),
        &serde_json::to_value(current)?,
        wanted,
        how,
    ))
}

/// Bounds the time of one request.
pub async fn within_limit<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    Ok(tokio::time::timeout(LIMIT, request)
        .await
        .map_err(|_| Error::TimedOut)??)
}

/// The applied configuration: the wanted fields and the identity of the object they are meant for.
fn configuration<K>(name: &str, current: Option<&K>, wanted: &Value, how: How) -> Value
where
    K: Resource,
    K::DynamicType: Default,
{
    let kind = K::DynamicType::default();
    let mut all = wanted.as_object().cloned().unwrap_or_default();
    all.insert("apiVersion".to_owned(), json!(K::api_version(&kind)));
    all.insert("kind".to_owned(), json!(K::kind(&kind)));
    let mut meta = match all.remove("metadata") {
        Some(Value::Object(meta)) => meta,
        _ => Map::new(),
    };
    meta.insert("name".to_owned(), json!(name));
    if let Some(ObjectMeta {
        uid,
        resource_version,
        ..
    }) = current.map(Resource::meta)
    {
        // With the UID, a missing object is a conflict instead of being created.
        meta.extend(uid.iter().map(|uid| ("uid".to_owned(), json!(uid))));
        let version = resource_version.iter().filter(|_| how.if_unchanged);
        meta.extend(version.map(|version| ("resourceVersion".to_owned(), json!(version))));
    }
    all.insert("metadata".to_owned(), Value::Object(meta));
    Value::Object(all)
}

/// Whether the manager owns just the wanted fields and they have the wanted values.
fn is_applied(meta: &ObjectMeta, current: &Value, wanted: &Value, how: How) -> bool {
    let owned = meta
        .managed_fields
        .iter()
        .flatten()
        .find(|entry| is_by(entry, how));
    match owned.and_then(|entry| entry.fields_v1.as_ref()) {
        Some(fields) => is_same(&fields.0, current, wanted),
        None => wanted.as_object().is_some_and(Map::is_empty),
    }
}

fn is_by(entry: &ManagedFieldsEntry, how: How) -> bool {
    let subresource = match how.part {
        Part::Object => "",
        Part::Status => "status",
    };
    is_applied_by(entry, how.manager)
        && entry.subresource.as_deref().unwrap_or_default() == subresource
}

/// Whether a manager owns these fields because it has applied them: no comparison reads the others.
pub(crate) fn is_applied_by(entry: &ManagedFieldsEntry, manager: &str) -> bool {
    entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply")
}

/// Whether the owned fields at one place are the wanted ones and have their values.
fn is_same(owned: &Value, current: &Value, wanted: &Value) -> bool {
    let below: Vec<(&str, &Value)> = owned
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(path, _)| *path != ".")
        .map(|(path, owned)| (path.as_str(), owned))
        .collect();
    match wanted {
        _ if below.is_empty() => current == wanted,
        Value::Object(wanted) => {
            below.len() == wanted.len()
                && below
                    .iter()
                    .all(|(path, owned)| is_same_field(path, owned, current, wanted))
        }
        Value::Array(wanted) => {
            below.len() == wanted.len()
                && below
                    .iter()
                    .all(|(path, owned)| is_same_item(path, owned, current, wanted))
        }
        _ => false,
    }
}

fn is_same_field(path: &str, owned: &Value, current: &Value, wanted: &Map<String, Value>) -> bool {
    path.strip_prefix("f:")
        .and_then(|name| Some((current.get(name)?, wanted.get(name)?)))
        .is_some_and(|(current, wanted)| is_same(owned, current, wanted))
}

fn is_same_item(path: &str, owned: &Value, current: &Value, wanted: &[Value]) -> bool {
    let current = current.as_array().map_or(&[][..], Vec::as_slice);
    match path.split_once(':') {
        Some(("k", keys)) => find(current, keys)
            .zip(find(wanted, keys))
            .is_some_and(|(current, wanted)| is_same(owned, current, wanted)),
        Some(("v", item)) => serde_json::from_str::<Value>(item)
            .is_ok_and(|item| current.contains(&item) && wanted.contains(&item)),
        _ => false,
    }
}

/// The item of an associative list that has these keys, given as a JSON object.
fn find<'a>(items: &'a [Value], keys: &str) -> Option<&'a Value> {
    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
    items
        .iter()
        .find(|item| keys.iter().all(|(key, value)| item.get(key) == Some(value)))
}

#[cfg(test)]
mod tests;
