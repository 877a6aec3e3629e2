//! Short digests that are shown.
//!
//! Owns their length: enough to tell things apart, never enough to find out what they are of.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

const BYTES_SHOWN: usize = 8;

/// The beginning of the SHA-256 digest.
pub(crate) fn short(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    hex(digest.as_ref().get(..BYTES_SHOWN).unwrap_or_default())
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
