//! What an object gets before it is checked.
//!
//! Owns the one refusal at this stage: an Egress that names no address, and gets none. The schema's rule would refuse it
//! next, with a fixed text, and hide what else is wrong. And the words about what a change without a pool leads to: an
//! address that only the operator wrote goes with the pool. It is not left as a static one, for the operator owns that
//! field and gives it up with the pool; who has left out the pool by mistake hears of it. All else is left to
//! what follows. Never refuses anything else.

use egret_crds::{Egress, defaults};
use egret_domain::admission::{DefaultPool, EgressDraft, Index};
use egret_domain::name::PoolName;
use egret_domain::problem::Problem;
use json_patch::Patch;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Verdict};
use crate::review::{Change, Kind, Request, Unexpected};
use crate::validate::Opinion;

/// Where the address stands.
const IP: &str = "/spec/egressIP";
/// And its pool.
const POOL: &str = "/spec/externalIPPool";

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
    let gone = old.and_then(|old| gone_with_its_pool(new, old, &filled));
    if let Some(mut filled) = draft(&filled).filter(|filled| filled.lacks_address) {
        filled.problems.extend(gone);
        let review = index.review_egress(&filled, old.and_then(draft).as_ref());
        return if review.refusal.is_some() {
            review.into()
        } else {
            allowed(patch)
        };
    }
    let changed = old.and_then(|_| filled_in(new, &filled));
    let mut opinion = allowed(patch);
    opinion.answer.warnings = gone.into_iter().chain(changed).collect();
    opinion
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let value = object.pointer(pointer);
    value.and_then(Value::as_str).unwrap_or_default()
}

/// What to say of an address that is taken back because its pool is no longer named.
fn gone_with_its_pool(new: &Value, old: &Value, filled: &Value) -> Option<Problem> {
    let (ip, pool) = (text(new, IP), text(old, POOL));
    let is_gone = !ip.is_empty() && text(filled, IP).is_empty();
    (is_gone && text(new, POOL).is_empty()).then(|| {
        let reason = format!(
            "was allocated from pool {pool} and goes with it: to keep it without a pool, apply it with kubectl apply \
             --server-side"
        );
        Problem::of("spec.egressIP", ip, reason)
    })
}

/// What to say when a change makes the default pool step in.
fn filled_in(new: &Value, filled: &Value) -> Option<Problem> {
    let pool = text(filled, POOL);
    (text(new, POOL) != pool).then(|| {
        let reason = "is filled in, since it is the default pool and neither this nor spec.egressIP is given";
        Problem::of("spec.externalIPPool", pool, reason)
    })
}

fn allowed(patch: Patch) -> Opinion {
    let answer = Answer {
        verdict: Verdict::Allowed(patch),
        ..Answer::default()
    };
    answer.into()
}
