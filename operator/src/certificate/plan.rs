//! What to do next for the webhook's certificates.
//!
//! Owns the order: a new authority is trusted before anything is signed with it, and an old one is forgotten only when no
//! replica needs it. A function of what was read and of the time: never reads a clock, an object or a certificate.

use jiff::{SignedDuration, Timestamp};

/// After an authority has been written into the registration, every API server has had this time to read it there.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(10);
/// Replicas that did not all give the wanted answer are asked again after this time, and then less and less often.
pub const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// However long they do not give it, they are asked again after this time.
const ASK_AT_LEAST_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A certificate, as it goes over the wire.
pub type Der = Vec<u8>;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: Timestamp,
    /// Up to then.
    pub until: Timestamp,
}

impl Validity {
    fn is_at(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// When a third of its life is left, and up to a tenth of its life earlier. How much earlier is a byte of the
    /// certificate's own signature: chance, but the same for everybody who looks.
    fn renew_at(self, der: &[u8]) -> Timestamp {
        let life = self.until.duration_since(self.from);
        let early = i32::from(der.last().copied().unwrap_or_default());
        let rest = life / 3 + life / 10 / 256 * early;
        self.until.checked_sub(rest).unwrap_or(self.from)
    }
}

/// The certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The certificate.
    pub der: Der,
    /// When it is valid.
    pub validity: Validity,
}

/// The authority, with those before it that are still trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The one that signs.
    pub root: Root,
    /// Those that have signed what a replica may still serve.
    pub previous: Vec<Root>,
}

impl Authority {
    /// All that is trusted, the one that signs first.
    pub fn bundle(&self) -> impl Iterator<Item = &Root> {
        std::iter::once(&self.root).chain(&self.previous)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.root.validity.is_at(now) && now < self.renew_at()
    }

    fn renew_at(&self) -> Timestamp {
        self.root.validity.renew_at(&self.root.der)
    }

    /// When the last of those before ends.
    fn last_end(&self) -> Option<Timestamp> {
        let ends = self.previous.iter().map(|root| root.validity.until);
        ends.max()
    }
}

/// The certificate that the webhook is to serve. Its names, its key and its signature are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate.
    pub der: Der,
    /// When it is valid.
    pub validity: Validity,
    /// Which of the trusted authorities has signed it.
    pub signed_by: Der,
    /// What stands beside it as trusted.
    pub bundle: Vec<Der>,
}

/// What the API server knows of the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Nothing: it asks no webhook.
    Absent,
    /// It asks, or tries to.
    Present {
        /// The authorities that it trusts in whatever it asks.
        trusted: Vec<Root>,
        /// Whether all stands there as it should.
        is_right: bool,
    },
}

/// What the replicas said when they were asked for their certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// The authority by which it had to be signed.
    pub root: Der,
    /// When they were asked.
    pub asked_at: Timestamp,
    /// Since when they have not all given the wanted answer; `None` if they have.
    pub behind_since: Option<Timestamp>,
    /// How many there are.
    pub listed: usize,
    /// How many of them served such a certificate.
    pub serving: usize,
}

/// All that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The authority; `None` if there is none that can be used.
    pub authority: Option<Authority>,
    /// The webhook's certificate; `None` if there is none that can be used.
    pub leaf: Option<Leaf>,
    /// What the API server knows.
    pub registration: Registration,
    /// Since when the API server is known to trust the authority that signs.
    pub trusted_since: Option<Timestamp>,
    /// The replicas' last answers.
    pub replicas: Option<Replicas>,
}

impl Observed {
    /// Whether anything waits for what the replicas serve: the registration, or that a former authority is forgotten.
    pub fn waits_for_replicas(&self) -> bool {
        let is_former_trusted = |authority: &Authority| !authority.previous.is_empty();
        self.registration == Registration::Absent
            || self.authority.as_ref().is_some_and(is_former_trusted)
    }
}

/// One thing to do; afterwards everything is looked at anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make an authority, and go on trusting these.
    IssueAuthority {
        /// What is trusted now.
        previous: Vec<Root>,
    },
    /// Make the webhook's certificate.
    IssueLeaf,
    /// Put what is trusted beside the webhook's certificate.
    ShareBundle,
    /// Tell the API server to ask the webhook, and whom to trust in this.
    Register,
    /// Ask every replica for its certificate.
    AskReplicas,
    /// No longer trust the authorities before the present one.
    ForgetPrevious,
    /// Nothing, until then or until something changes.
    Rest {
        /// The time to look again.
        until: Timestamp,
    },
}

/// The next step. Each makes the next call answer something else, up to [`Step::Rest`].
pub fn plan(now: Timestamp, seen: &Observed) -> Step {
    let fresh = seen.authority.as_ref().filter(|one| one.is_fresh(now));
    let Some(authority) = fresh else {
        return Step::IssueAuthority {
            previous: still_trusted(now, seen),
        };
    };
    if let Registration::Present {
        is_right: false, ..
    } = seen.registration
    {
        return Step::Register;
    }
    let leaf = match usable_leaf(now, seen, authority) {
        Ok(leaf) => leaf,
        Err(step) => return step,
    };
    let replicas = seen.replicas.as_ref();
    let replicas = replicas.filter(|replicas| replicas.is_answer(now, &authority.root));
    introduce(seen, replicas)
        .or_else(|| forget(now, authority, replicas))
        .unwrap_or(Step::Rest {
            until: due(authority, leaf),
        })
}

fn due(authority: &Authority, leaf: &Leaf) -> Timestamp {
    let first = authority.renew_at().min(leaf.renew_at());
    authority.last_end().map_or(first, |end| end.min(first))
}

/// What a new authority may not push aside. Nothing becomes trusted by this: without a usable record of what is trusted, it
/// is what the API server trusts anyway, until the replicas have changed over.
fn still_trusted(now: Timestamp, seen: &Observed) -> Vec<Root> {
    let known: Vec<Root> = match (&seen.authority, &seen.registration) {
        (Some(authority), _) => authority.bundle().cloned().collect(),
        (None, Registration::Present { trusted, .. }) => trusted.clone(),
        (None, Registration::Absent) => Vec::new(),
    };
    known
        .into_iter()
        .filter(|root| root.validity.is_at(now))
        .collect()
}

/// The webhook's certificate if it may stay as it is, or what to do first.
fn usable_leaf<'a>(
    now: Timestamp,
    seen: &'a Observed,
    authority: &Authority,
) -> Result<&'a Leaf, Step> {
    let is_trusted = |leaf: &Leaf| authority.bundle().any(|root| root.der == leaf.signed_by);
    // Where it is lost, the replicas go on with what they have read of it.
    let leaf = seen.leaf.as_ref().ok_or_else(|| change_over(now, seen))?;
    // Without a valid one that is trusted nothing can get worse.
    if !leaf.validity.is_at(now) || !is_trusted(leaf) {
        return Err(Step::IssueLeaf);
    }
    if leaf.signed_by != authority.root.der {
        return Err(change_over(now, seen));
    }
    if now >= leaf.renew_at() {
        return Err(Step::IssueLeaf);
    }
    if !authority.bundle().map(|root| &root.der).eq(&leaf.bundle) {
        return Err(Step::ShareBundle);
    }
    Ok(leaf)
}

/// From a certificate by a former authority, or one that is not known any more, to one by the present: once every API server trusts the present one.
fn change_over(now: Timestamp, seen: &Observed) -> Step {
    if seen.registration == Registration::Absent {
        return Step::IssueLeaf;
    }
    let since = seen.trusted_since.unwrap_or(now);
    match since.checked_add(SETTLE) {
        Ok(until) if now < until => Step::Rest { until },
        _ => Step::IssueLeaf,
    }
}

/// A webhook that the API server does not know yet is introduced when a replica serves: before, it would only stand in
/// the way.
fn introduce(seen: &Observed, replicas: Option<&Replicas>) -> Option<Step> {
    if seen.registration != Registration::Absent {
        return None;
    }
    match replicas {
        None => Some(Step::AskReplicas),
        Some(replicas) if replicas.serving > 0 => Some(Step::Register),
        Some(replicas) => replicas.ask_again(),
    }
}

/// Former authorities go when every replica serves a certificate by the present one, at the latest with their own end.
fn forget(now: Timestamp, authority: &Authority, replicas: Option<&Replicas>) -> Option<Step> {
    let last = authority.last_end()?;
    match replicas {
        _ if now >= last => Some(Step::ForgetPrevious),
        None => Some(Step::AskReplicas),
        Some(replicas) if replicas.do_all_serve() => Some(Step::ForgetPrevious),
        Some(replicas) => replicas.ask_again(),
    }
}

impl Leaf {
    fn renew_at(&self) -> Timestamp {
        self.validity.renew_at(&self.der)
    }
}

impl Replicas {
    /// Whether this answers the question now. That there are none stands until there are.
    fn is_answer(&self, now: Timestamp, root: &Root) -> bool {
        self.root == root.der && (self.listed == 0 || now < self.asked_again_at())
    }

    /// Nobody is not everybody: replicas that are away now may come back as they were.
    fn do_all_serve(&self) -> bool {
        self.listed > 0 && self.serving == self.listed
    }

    /// What has lasted for a while may last as long again.
    fn asked_again_at(&self) -> Timestamp {
        let since = self.behind_since.unwrap_or(self.asked_at);
        let so_far = self.asked_at.duration_since(since);
        let again = so_far.clamp(ASK_AGAIN, ASK_AT_LEAST_EVERY);
        self.asked_at.checked_add(again).unwrap_or(Timestamp::MAX)
    }

    fn ask_again(&self) -> Option<Step> {
        let until = self.asked_again_at();
        (self.listed > 0).then_some(Step::Rest { until })
    }
}

#[cfg(test)]
mod tests;
