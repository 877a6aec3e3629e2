//! What is legal, but probably not meant.
//!
//! Owns what only the text shows and no domain type keeps. Never refuses anything.

use egret_domain::problem::Problem;

use super::address;

/// Networks whose host bits are set, among texts with their paths.
pub(super) fn host_bits<'a>(texts: impl Iterator<Item = (String, &'a str)>) -> Vec<Problem> {
    let remark = |(path, text): (String, &str)| {
        let network = address::masked(text)?;
        let remark = format!("has bits set beyond its prefix: it is taken as {network}");
        Some(Problem::of(&path, text, remark))
    };
    texts.filter_map(remark).collect()
}
