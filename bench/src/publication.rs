//! Where what was found is published: `docs/benchmarks` of this checkout.
//!
//! Owns the place. Never knows what is written.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Writes a page or a picture.
pub fn write(name: &str, text: &str) -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.parent().unwrap_or(here).join("docs/benchmarks");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
