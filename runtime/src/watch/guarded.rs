//! An object whose type may be wrong about it.
//!
//! Owns the decoding that keeps one malformed object from stopping a list or a watch, as kube's `DeserializeGuard` does;
//! unlike that it keeps the whole object, so that a consumer can still find in it what must not be lost. Never
//! mends one.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What came for a `K`.
#[derive(Debug, Clone)]
pub struct Guarded<K>(pub(super) Result<K, Malformed>);

/// An object that is no `K`.
#[derive(Debug, Clone)]
pub(super) struct Malformed {
    pub(super) meta: ObjectMeta,
    pub(super) object: Value,
    pub(super) error: String,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        K::deserialize(&object)
            .map(Ok)
            .or_else(|error| {
                let meta = object.get("metadata").unwrap_or(&Value::Null);
                let meta = ObjectMeta::deserialize(meta).map_err(D::Error::custom)?;
                let error = error.to_string();
                Ok(Err(Malformed {
                    meta,
                    object,
                    error,
                }))
            })
            .map(Self)
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0
            .as_ref()
            .map_or_else(|malformed| &malformed.meta, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0
            .as_mut()
            .map_or_else(|malformed| &mut malformed.meta, K::meta_mut)
    }
}
