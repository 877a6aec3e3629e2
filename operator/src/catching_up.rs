//! What a new leader has still to see.
//!
//! Owns the rule that whoever begins to lead decides nothing before it has seen everything that the former leader has
//! written: a watch is always a little late, and an address that was given a moment ago would be given again. Never waits
//! for what is gone: an address that is believed to be in use is only not handed out.

use std::collections::BTreeMap;
use std::sync::Arc;

use egret_crds::Egress;
use egret_domain::name::EgressName;
use egret_runtime::apply::{Error, within_limit};
use kube::Api;
use kube::api::{ListParams, ObjectMeta};

/// Objects per request: their metadata only.
const PAGE: u32 = 500;

/// Egresses of which a newer state exists than the one that was seen.
#[derive(Debug, Default)]
pub(crate) struct CatchingUp(BTreeMap<EgressName, ObjectMeta>);

/// What exists now, by the API server's own word and not from a cache: names, UIDs and versions.
pub(crate) async fn existing(egresses: Api<Egress>) -> Result<Vec<ObjectMeta>, Error> {
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = within_limit(egresses.list_metadata(&params)).await?;
        found.extend(page.items.into_iter().map(|egress| ObjectMeta {
            name: egress.metadata.name,
            uid: egress.metadata.uid,
            resource_version: egress.metadata.resource_version,
            ..ObjectMeta::default()
        }));
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        match next {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

impl CatchingUp {
    /// What of this has not been seen.
    pub(crate) fn to(existing: Vec<ObjectMeta>, seen: &BTreeMap<EgressName, Arc<Egress>>) -> Self {
        let named = existing.into_iter().map(|meta| {
            let name = EgressName::from(meta.name.as_deref().unwrap_or_default());
            (name, meta)
        });
        Self(
            named
                .filter(|(name, meta)| {
                    seen.get(name)
                        .is_none_or(|seen| is_newer(meta, &seen.metadata))
                })
                .collect(),
        )
    }

    /// This state of an Egress has been seen.
    pub(crate) fn see(&mut self, name: &EgressName, seen: &ObjectMeta) {
        if self.0.get(name).is_some_and(|meta| !is_newer(meta, seen)) {
            self.0.remove(name);
        }
    }

    /// There is no such Egress any more.
    pub(crate) fn forget(&mut self, name: &EgressName) {
        self.0.remove(name);
    }

    /// Whether everything has been seen.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// How many have not.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Versions are numbers that grow. Where they are not, only the same one is as new.
fn is_newer(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    let number = |meta: &ObjectMeta| meta.resource_version.as_ref()?.parse::<u64>().ok();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one > other,
        _ => one.resource_version != other.resource_version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    fn seen(versions: &[(&str, &str)]) -> BTreeMap<EgressName, Arc<Egress>> {
        let egress = |(name, version): &(&str, &str)| {
            let egress = serde_json::from_value(serde_json::json!({
                "metadata": {"name": name, "resourceVersion": version}, "spec": {"appliedTo": {}}}));
            (EgressName::from(*name), Arc::new(egress.unwrap()))
        };
        versions.iter().map(egress).collect()
    }

    #[test]
    fn what_has_been_seen_as_it_is_or_newer_is_not_waited_for() {
        let existing = vec![meta("a", "9"), meta("b", "10")];
        let catching_up =
            CatchingUp::to(existing, &seen(&[("a", "9"), ("b", "11"), ("gone", "3")]));
        assert!(catching_up.is_done());
    }

    #[test]
    fn what_is_newer_or_new_is_waited_for_until_it_is_seen_or_gone() {
        let existing = vec![meta("a", "10"), meta("b", "7"), meta("c", "8")];
        let mut catching_up = CatchingUp::to(existing, &seen(&[("a", "9"), ("c", "6")]));
        catching_up.see(&"a".into(), &meta("a", "9"));
        assert_eq!(catching_up.len(), 3);
        catching_up.see(&"a".into(), &meta("a", "10"));
        catching_up.see(&"b".into(), &meta("b", "12"));
        assert!(!catching_up.is_done());
        catching_up.forget(&"c".into());
        assert!(catching_up.is_done());
    }
}
