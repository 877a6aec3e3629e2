//! What a new leader has still to see.
//!
//! Owns the rule that whoever begins to lead decides nothing before it has seen everything that the former leader has
//! written: a watch is always a little late, and an address that was given a moment ago would be given again. Never waits
//! for what is gone: an address that is believed to be in use is only not handed out.

use std::collections::BTreeMap;

use egret_crds::Egress;
use egret_domain::name::EgressName;
use egret_runtime::apply::{Error, within_limit};
use kube::Api;
use kube::api::ListParams;

/// Objects per request: their metadata only.
const PAGE: u32 = 500;

/// Egresses, each with its `resourceVersion`.
pub(crate) type Versions = BTreeMap<EgressName, String>;

/// Egresses of which a newer state exists than the one that was seen.
#[derive(Debug, Default)]
pub(crate) struct CatchingUp(Versions);

/// What exists now, by the API server's own word and not from a cache.
pub(crate) async fn existing(egresses: Api<Egress>) -> Result<Versions, Error> {
    let mut found = Versions::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = within_limit(egresses.list_metadata(&params)).await?;
        found.extend(page.items.into_iter().map(|egress| {
            let name = egress.metadata.name.unwrap_or_default().into();
            (name, egress.metadata.resource_version.unwrap_or_default())
        }));
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        match next {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

impl CatchingUp {
    /// What of this has not been seen; `seen` is the version in which one was seen last.
    pub(crate) fn to<'a>(
        existing: Versions,
        seen: impl Fn(&EgressName) -> Option<&'a str>,
    ) -> Self {
        let is_unseen =
            |name: &_, version: &_| seen(name).is_none_or(|seen| is_newer(version, seen));
        let existing = existing.into_iter();
        Self(
            existing
                .filter(|(name, version)| is_unseen(name, version))
                .collect(),
        )
    }

    /// This version of an Egress has been seen.
    pub(crate) fn see(&mut self, name: &EgressName, seen: &str) {
        if self
            .0
            .get(name)
            .is_some_and(|exists| !is_newer(exists, seen))
        {
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
fn is_newer(one: &str, other: &str) -> bool {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one > other,
        _ => one != other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(versions: &[(&str, &str)]) -> Versions {
        let version = |(name, version): &(&str, &str)| ((*name).into(), (*version).to_owned());
        versions.iter().map(version).collect()
    }

    fn catching_up(existing: &[(&str, &str)], seen: &[(&str, &str)]) -> CatchingUp {
        let seen = versions(seen);
        CatchingUp::to(versions(existing), |name| {
            seen.get(name).map(String::as_str)
        })
    }

    #[test]
    fn what_has_been_seen_as_it_is_or_newer_is_not_waited_for() {
        let seen = [("a", "9"), ("b", "11"), ("gone", "3")];
        assert!(catching_up(&[("a", "9"), ("b", "10")], &seen).is_done());
    }

    #[test]
    fn what_is_newer_or_new_is_waited_for_until_it_is_seen_or_gone() {
        let existing = [("a", "10"), ("b", "7"), ("c", "8")];
        let mut catching_up = catching_up(&existing, &[("a", "9"), ("c", "6")]);
        catching_up.see(&"a".into(), "9");
        assert_eq!(catching_up.len(), 3);
        catching_up.see(&"a".into(), "10");
        catching_up.see(&"b".into(), "12");
        assert!(!catching_up.is_done());
        catching_up.forget(&"c".into());
        assert!(catching_up.is_done());
    }
}
