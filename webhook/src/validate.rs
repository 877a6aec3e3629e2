//! Whether an object may be stored.
//!
//! Owns the way from the JSON of a question to a review of the domain. Never asks anybody: the index has all that is
//! known.

use std::collections::BTreeSet;

use egret_crds::{Egress, ExternalIPPool};
use egret_domain::admission::{Doubt, EgressDraft, Index, PoolDraft, Review};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{Answer, Verdict};
use crate::review::{Change, Kind, Request, Unexpected};

/// An answer, and what it may be worth looking at again before it is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opinion {
    /// What is to be said as far as is known.
    pub answer: Answer,
    /// On what a refusal rests.
    pub doubts: BTreeSet<Doubt>,
}

impl From<Answer> for Opinion {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            doubts: BTreeSet::new(),
        }
    }
}

impl From<Review> for Opinion {
    fn from(review: Review) -> Self {
        let Review {
            refusal,
            warnings,
            doubts,
        } = review;
        let verdict = refusal.map_or_else(Verdict::default, Verdict::Invalid);
        Self {
            answer: Answer { verdict, warnings },
            doubts,
        }
    }
}

/// Whether what is asked for may be, and what to say about it.
pub fn validate(index: &Index, request: &Request) -> Opinion {
    try_validate(index, request).unwrap_or_else(|unexpected| Answer::from(unexpected).into())
}

fn try_validate(index: &Index, request: &Request) -> Result<Opinion, Unexpected> {
    let kind = request.subject()?;
    Ok(match request.change()? {
        Change::Status => Opinion::default(),
        Change::Delete => deletion(index, kind, &request.name).into(),
        Change::Create(new) => storage(index, kind, request.dry_run, new, None),
        Change::Update { old, new } => storage(index, kind, request.dry_run, new, Some(old)),
    })
}

/// Never refused: what must not go yet is kept by its finalizer.
fn deletion(index: &Index, kind: Kind, name: &str) -> Answer {
    let warnings = match kind {
        Kind::Egress => Vec::new(),
        Kind::Pool => index.review_pool_deletion(&name.into()),
    };
    Answer {
        warnings,
        ..Answer::default()
    }
}

fn storage(
    index: &Index,
    kind: Kind,
    is_rehearsed: bool,
    new: &Value,
    old: Option<&Value>,
) -> Opinion {
    if is_leaving(new) {
        return Opinion::default();
    }
    match kind {
        Kind::Egress => review(new, old, |new: &Egress, old: Option<&Egress>| {
            let old = old.map(EgressDraft::from);
            let new = EgressDraft {
                is_rehearsed,
                ..EgressDraft::from(new)
            };
            index.review_egress(&new, old.as_ref())
        }),
        Kind::Pool => review(
            new,
            old,
            |new: &ExternalIPPool, old: Option<&ExternalIPPool>| {
                let old = old.map(PoolDraft::from);
                index.review_pool(&PoolDraft::from(new), old.as_ref())
            },
        ),
    }
}

/// Nothing keeps an object from going, whatever it looks like.
fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn review<K: DeserializeOwned>(
    new: &Value,
    old: Option<&Value>,
    review: impl FnOnce(&K, Option<&K>) -> Review,
) -> Opinion {
    let spec = |object: &Value| object.get("spec").cloned();
    match K::deserialize(new) {
        // An old object that cannot be read has no problems that could be tolerated.
        Ok(object) => {
            let old = old.and_then(|old| K::deserialize(old).ok());
            review(&object, old.as_ref()).into()
        }
        Err(_) if old.is_some_and(|old| spec(old) == spec(new)) => Opinion::default(),
        Err(error) => Answer::unreadable(format!("the object cannot be read: {error}")).into(),
    }
}
