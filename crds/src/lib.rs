//! Egret's API: the objects as YAML spells them, their schemas, and their parsing into domain types.
//!
//! Owns every field name, default and structural rule of `crd.antrea.io` and `egret.dev`. Never decides anything: an
//! object that parses is handed to [`egret_domain`], one that does not yields [`Problems`](egret_domain::problem::Problems), all of them at once.
//!
//! Start reading at [`egress`] and [`pool`]. `TryFrom<&Egress>` and `TryFrom<&ExternalIPPool>` do the parsing; what can
//! be read of an object although the rest cannot is a draft ([`egret_domain::admission`]); [`defaults`] fills in what is
//! absent, and [`manifest`] prints the schemas.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod defaults;
pub mod egress;
pub mod manager;
pub mod manifest;
pub mod node;
pub mod pool;
pub mod quantity;
pub mod selector;

mod parse;

pub use egress::{Egress, EgressSpec, EgressStatus};
pub use node::{EgressNode, EgressNodeStatus};
pub use pool::{ExternalIPPool, ExternalIPPoolSpec, ExternalIPPoolStatus};

#[cfg(test)]
mod tests {
    use kube::core::{DeserializeGuard, ObjectList, WatchEvent};
    use kube::{Resource, ResourceExt};
    use serde_json::json;

    use super::*;

    fn egress(name: &str, spec: &serde_json::Value) -> serde_json::Value {
        json!({
            "apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress", "metadata": {"name": name}, "spec": spec,
        })
    }

    #[test]
    fn one_malformed_object_does_not_hide_the_others() {
        let list: ObjectList<DeserializeGuard<Egress>> = serde_json::from_value(json!({
            "apiVersion": "crd.antrea.io/v1beta1", "kind": "EgressList", "metadata": {},
            "items": [
                egress("good", &json!({"appliedTo": {}, "egressIP": "10.0.0.1"})),
                egress("bad", &json!({"appliedTo": {}, "priority": "high"})),
                egress("later", &json!({"appliedTo": {}, "whenUnavailable": "Queue"})),
                egress("also-good", &json!({"appliedTo": {}, "externalIPPool": "p"})),
            ],
        }))
        .unwrap();
        let seen: Vec<_> = list
            .items
            .iter()
            .map(|item| (item.name_any(), item.0.is_ok()))
            .collect();
        let expected = [
            ("good", true),
            ("bad", false),
            ("later", false),
            ("also-good", true),
        ];
        assert_eq!(seen, expected.map(|(name, is_ok)| (name.to_owned(), is_ok)));
    }

    #[test]
    fn a_malformed_object_in_a_watch_says_what_is_wrong() {
        let event: WatchEvent<DeserializeGuard<ExternalIPPool>> = serde_json::from_value(json!({
            "type": "MODIFIED",
            "object": {
                "apiVersion": "crd.antrea.io/v1beta1", "kind": "ExternalIPPool",
                "metadata": {"name": "p", "resourceVersion": "5"}, "spec": {"ipRanges": 5},
            },
        }))
        .unwrap();
        let WatchEvent::Modified(pool) = event else {
            panic!("not an update")
        };
        assert_eq!(pool.meta().resource_version.as_deref(), Some("5"));
        let error = pool.0.unwrap_err().to_string();
        assert!(error.contains("sequence"), "{error}");
    }

    #[test]
    fn the_guard_is_what_a_watcher_takes() {
        fn watched<K>() -> std::borrow::Cow<'static, str>
        where
            K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
            K: serde::de::DeserializeOwned,
        {
            K::plural(&())
        }
        assert_eq!(watched::<DeserializeGuard<Egress>>(), "egresses");
        assert_eq!(
            watched::<DeserializeGuard<ExternalIPPool>>(),
            "externalippools"
        );
        assert_eq!(watched::<DeserializeGuard<EgressNode>>(), "egressnodes");
    }
}
