//! Label keys and values, as the API server accepts them.
//!
//! Owns their grammar, and that of the DNS names that they and object names are made of. Never says what they match.

use thiserror::Error;

/// Longest label value, and longest key without its prefix.
const NAME_MAX: usize = 63;
/// Longest DNS name.
const DNS_MAX: usize = 253;

/// Why a text cannot be a label's key or value, or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BadLabel {
    #[error(
        "is not a label key: write NAME or PREFIX/NAME, NAME with at most 63 letters, digits, '-', '_' and '.', \
         beginning and ending with a letter or digit, PREFIX a DNS name"
    )]
    Key,
    #[error(
        "is not a label value: write at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter \
         or digit"
    )]
    Value,
    #[error(
        "cannot be an object's name: write at most 253 small letters, digits, '-' and '.', with a letter or digit at \
         the beginning and end and beside every '.'"
    )]
    ObjectName,
}

pub(super) fn key(text: &str) -> Result<&str, BadLabel> {
    let is_key = match text.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_name(name),
        None => is_name(text),
    };
    if is_key { Ok(text) } else { Err(BadLabel::Key) }
}

pub(super) fn value(text: &str) -> Result<&str, BadLabel> {
    if text.is_empty() || is_name(text) {
        Ok(text)
    } else {
        Err(BadLabel::Value)
    }
}

pub(super) fn object_name(text: &str) -> Result<&str, BadLabel> {
    if is_dns_name(text) {
        Ok(text)
    } else {
        Err(BadLabel::ObjectName)
    }
}

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= NAME_MAX && text.bytes().all(inside) && has_ends(text, u8::is_ascii_alphanumeric)
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= DNS_MAX && text.split('.').all(is_dns_label)
}

fn is_dns_label(text: &str) -> bool {
    let end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().all(|byte| end(&byte) || byte == b'-') && has_ends(text, end)
}

fn has_ends(text: &str, end: impl Fn(&u8) -> bool) -> bool {
    text.as_bytes().first().is_some_and(&end) && text.as_bytes().last().is_some_and(end)
}

#[cfg(test)]
mod tests;
