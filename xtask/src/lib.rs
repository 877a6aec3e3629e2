//! Chores of the repository: what is derived from the code is written ([`generate`]), rules about the code are checked
//! ([`tidy`]), and the code is measured ([`stats`]).
//!
//! Owns no decision of Egret's: what is written comes from the crates that own it. Never changes a file that it did not
//! generate.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

pub mod code;
pub mod generate;
pub mod measure;
pub mod paint;
pub mod stats;
pub mod tidy;
pub mod tree;

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
