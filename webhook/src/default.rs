//! What an object gets before it is checked.
//!
//! Owns the one refusal at this stage: an Egress that names no address, and gets none. The schema's rule would refuse it
//! next, with a fixed text, and hide what else is wrong. All else is left to what follows.

use egret_crds::{Egress, defaults};
use egret_domain::admission::{DefaultPool, EgressDraft, Index};
use egret_domain::name::PoolName;
use json_patch::Patch;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Verdict};
use crate::review::{Change, Kind, Request, Unexpected};
use crate::validate::Opinion;

/// The defaults for what is asked about.
pub fn default(index: &Index, request: &Request) -> Opinion {
    try_default(index, request).unwrap_or_else(|unexpected| Answer::from(unexpected).into())
}

fn try_default(index: &Index, request: &Request) -> Result<Opinion, Unexpected> {
    let kind = request.subject()?;
    let (new, old) = match request.change()? {
        Change::Status | Change::Delete => return Ok(Opinion::default()),
        Change::Create(new) => (new, None),
        Change::Update { old, new } => (new, Some(old)),
    };
    Ok(match kind {
        Kind::Egress => egress(index, request.dry_run, new, old),
        Kind::Pool => allowed(defaults::pool(new, old)),
    })
}

fn egress(index: &Index, is_rehearsed: bool, new: &Value, old: Option<&Value>) -> Opinion {
    let pool = match index.default_pool() {
        DefaultPool::One(pool) => Some(pool),
        DefaultPool::None | DefaultPool::Several(_) => None,
    };
    let patch = defaults::egress(new, old, pool.as_ref().map(PoolName::as_str));
    let draft = |object: &Value| {
        let egress = Egress::deserialize(object).ok()?;
        Some(EgressDraft {
            is_rehearsed,
            ..EgressDraft::from(&egress)
        })
    };
    let mut filled = new.clone();
    if json_patch::patch(&mut filled, &patch).is_err() {
        // The patch was made for this object; should it not fit all the same, nothing is filled in.
        return Opinion::default();
    }
    if let Some(filled) = draft(&filled).filter(|filled| filled.lacks_address) {
        let review = index.review_egress(&filled, old.and_then(draft).as_ref());
        if review.refusal.is_some() {
            return review.into();
        }
    }
    allowed(patch)
}

fn allowed(patch: Patch) -> Opinion {
    let answer = Answer {
        verdict: Verdict::Allowed(patch),
        ..Answer::default()
    };
    answer.into()
}
