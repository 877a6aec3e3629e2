//! Conditions: the words in which Egret says what is so and why.
//!
//! Owns their types, the rule of merging, and what of a change is news. Never has a reason of its own, nor knows who
//! writes them where.

use std::fmt;

/// What a condition speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// The Egress has an IP of its pool.
    IpAllocated,
    /// A node holds the egress IP.
    IpAssigned,
    /// Some of its Pods use another Egress.
    Overlapped,
    /// All is well: the sum for `kubectl wait`.
    Ready,
    /// The pool has no address left.
    Exhausted,
}

impl Type {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::IpAllocated,
        Self::IpAssigned,
        Self::Overlapped,
        Self::Ready,
        Self::Exhausted,
    ];

    /// As it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IpAllocated => "IPAllocated",
            Self::IpAssigned => "IPAssigned",
            Self::Overlapped => "Overlapped",
            Self::Ready => "Ready",
            Self::Exhausted => "Exhausted",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition without its times: those depend on when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it speaks of.
    pub kind: Type,
    /// Whether it is so.
    pub is_true: bool,
    /// One word in `CamelCase`, for programs.
    pub reason: &'static str,
    /// One sentence for people: what is the matter and what to do.
    pub message: String,
    /// The generation of the object that was looked at.
    pub observed_generation: i64,
}

/// A condition as it stands in an object's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What it speaks of.
    pub kind: Type,
    /// Whether it is so.
    pub is_true: bool,
    /// One word in `CamelCase`, for programs.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// The generation of the object that was looked at.
    pub observed_generation: i64,
    /// `lastTransitionTime` in Unix seconds: since when it is so, or not so.
    pub since: i64,
}

/// What stands in the status after `new` has been decided at `now` (Unix seconds).
///
/// Everything comes from `new`, except that the time stays as it was while the condition does not change between true
/// and false. So a result that is already in `old` needs no write.
pub fn merge(old: &[Recorded], new: Condition, now: i64) -> Recorded {
    let unchanged = old
        .iter()
        .find(|old| old.kind == new.kind && old.is_true == new.is_true);
    Recorded {
        kind: new.kind,
        is_true: new.is_true,
        reason: new.reason.to_owned(),
        message: new.message,
        observed_generation: new.observed_generation,
        since: unchanged.map_or(now, |old| old.since),
    }
}

/// What is so of every object at first: nobody has to be told.
const AT_FIRST: [&str; 2] = ["NotAssigned", "FreeAddresses"];

impl Condition {
    /// Whether this is how it should be.
    pub fn is_good(&self) -> bool {
        let is_of_trouble = matches!(self.kind, Type::Overlapped | Type::Exhausted);
        self.is_true != is_of_trouble
    }

    /// Whether it says something else than `old`. Of an allocation the message is what it says: which address.
    fn is_news_after(&self, old: &Recorded) -> bool {
        let is_same_address = self.kind != Type::IpAllocated || self.message == old.message;
        self.is_true != old.is_true || self.reason != old.reason || !is_same_address
    }
}

/// What of `new` people should hear of in an Event, where `old` stood in the status: each transition once, also where
/// two conditions have the same reason.
pub fn news<'a>(old: &[Recorded], new: &'a [Condition]) -> Vec<&'a Condition> {
    let mut news: Vec<&Condition> = Vec::new();
    for condition in new {
        let before = old.iter().find(|old| old.kind == condition.kind);
        let is_news = match before {
            Some(before) => condition.is_news_after(before),
            None => !AT_FIRST.contains(&condition.reason),
        };
        if is_news && news.iter().all(|told| told.reason != condition.reason) {
            news.push(condition);
        }
    }
    news
}

#[cfg(test)]
mod tests;
