//! Enumerations in messages.
//!
//! Owns how many are told by name. Never decides who is meant.

use std::fmt::Display;

/// The first so many, and the number of the others.
pub(crate) fn listed<T: Display>(items: &[T], at_most: usize) -> String {
    let shown: Vec<_> = items.iter().take(at_most).map(T::to_string).collect();
    match items.len().saturating_sub(at_most) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}
