//! Conditions: the words in which Egret says what is so and why.
//!
//! Owns types, reasons and the rule of merging. Never knows who writes them where.

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
