//! An object as it was read, kept small until it is written.
//!
//! Owns how it is kept: as JSON, a tenth of what the decoded object takes, most of which are trees of
//! `metadata.managedFields`. Never decides what is written; see [`crate::apply`].

use std::marker::PhantomData;

use kube::Resource;
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use crate::apply::{Error, is_applied_by};

/// An object as it was read, for a write by one field manager.
#[derive(Debug)]
pub struct Packed<K> {
    /// Or why there is none: whoever writes hears of it.
    json: Result<Box<[u8]>, String>,
    version: Box<str>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Packed<K>
where
    K: Resource + Serialize + DeserializeOwned,
{
    /// Packs an object that this field manager may write to. Of `metadata.managedFields` only what it has applied is
    /// kept, for no write reads more.
    pub fn new(mut object: K, manager: &str) -> Self {
        let meta = object.meta_mut();
        if let Some(entries) = &mut meta.managed_fields {
            entries.retain(|entry| is_applied_by(entry, manager));
        }
        let version = meta.resource_version.clone().unwrap_or_default();
        let json = serde_json::to_vec(&object);
        Self {
            json: json
                .map(Vec::into_boxed_slice)
                .map_err(|error| error.to_string()),
            version: version.into_boxed_str(),
            kind: PhantomData,
        }
    }

    /// The object, for writing it. Fails if it is not what its type says, which is as a write that has failed.
    pub fn unpack(&self) -> Result<K, Error> {
        let json = self.json.as_deref().map_err(serde_json::Error::custom)?;
        Ok(serde_json::from_slice(json)?)
    }
}

impl<K> Packed<K> {
    /// Its `metadata.resourceVersion`, empty if it has none.
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::*;
    use crate::apply::{How, Part, is_as_wanted};

    const MANAGER: &str = "egret-test";

    /// One that two managers have applied, and the first has updated before.
    fn shared() -> ConfigMap {
        let entry = |manager: &str, operation: &str, key: &str| {
            json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {key: {}}}})
        };
        let entries = [
            entry("kubectl", "Apply", "f:theirs"),
            entry(MANAGER, "Update", "f:former"),
            entry(MANAGER, "Apply", "f:ours"),
        ];
        serde_json::from_value(json!({
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "managedFields": entries},
            "data": {"ours": "1", "theirs": "2", "former": "3"},
        }))
        .unwrap()
    }

    fn dynamic(data: Value) -> Packed<DynamicObject> {
        let object = DynamicObject {
            types: None,
            metadata: shared().metadata,
            data,
        };
        Packed::new(object, MANAGER)
    }

    #[test]
    fn an_object_comes_out_as_it_went_in_but_for_what_others_own() {
        let mut expected = shared();
        let packed = Packed::new(expected.clone(), MANAGER);
        let entries = expected.metadata.managed_fields.take().unwrap();
        expected.metadata.managed_fields = Some(entries[2..].to_vec());
        assert_eq!(packed.unpack().unwrap(), expected);
        assert_eq!(packed.version(), "7");
    }

    #[test]
    fn what_is_as_wanted_is_the_same_before_and_after() {
        let (before, packed) = (shared(), Packed::new(shared(), MANAGER));
        let after = packed.unpack().unwrap();
        for part in [Part::Object, Part::Status] {
            let how = How {
                manager: MANAGER,
                part,
                force: true,
                if_unchanged: true,
            };
            for wanted in [
                json!({}),
                json!({"data": {"ours": "1"}}),
                json!({"data": {"ours": "2"}}),
                json!({"data": {"ours": "1", "theirs": "2"}}),
                json!({"data": {"former": "3"}}),
            ] {
                let is = is_as_wanted(&after, &wanted, how).unwrap();
                assert_eq!(is, is_as_wanted(&before, &wanted, how).unwrap(), "{wanted}");
            }
        }
    }

    #[test]
    fn what_cannot_be_packed_or_unpacked_is_an_error_of_the_write() {
        for data in [json!("no object"), json!({"metadata": {"name": "another"}})] {
            let error = dynamic(data).unpack().unwrap_err();
            assert_eq!(error.category().as_str(), "encode");
        }
    }
}
