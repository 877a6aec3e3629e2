//! The keys that seal the agents' gossip, as the operator writes them for the agents.
//!
//! Owns the format of the one entry in the Secret `egret-gossip`: a line per key, each `ROLE HEX`. One entry, so that an
//! agent never reads half of a change. Never decides which key comes next, and shows none.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use crate::digest::{hex, short};

/// The Secret's entry, and the file of this name in the agents' folder.
pub const ENTRY: &str = "keys";

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// More is not read: three keys need a third of it.
pub const MOST_BYTES: usize = 1024;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of these bytes.
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What tells it from other keys and tells nothing else about it.
    pub fn digest(&self) -> String {
        short(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.digest()).finish()
    }
}

/// The keys of one time. Whoever has them accepts all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// What everything that is sent is sealed with.
    pub primary: Key,
    /// What is to be the primary one once all agents accept it.
    pub next: Option<Key>,
    /// What was the primary one, until no agent seals with it any more.
    pub former: Option<Key>,
}

/// Why a text is no keyring. It tells no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadKeyring {
    /// Too much.
    #[error("it has more than {MOST_BYTES} bytes")]
    TooLong,
    /// Not text.
    #[error("it is not text")]
    NotText,
    /// A line that says nothing known.
    #[error("line {0} is not \"primary\", \"next\" or \"former\" and 64 hexadecimal digits")]
    Line(usize),
    /// Two lines for one role.
    #[error("line {0} repeats the role of a line before it")]
    Twice(usize),
    /// No line for the one role that is needed.
    #[error("it has no primary key")]
    NoPrimary,
}

impl Keyring {
    /// A keyring of one key.
    pub const fn of(primary: Key) -> Self {
        Self {
            primary,
            next: None,
            former: None,
        }
    }

    /// All keys that are accepted, the primary one first.
    pub fn accepted(&self) -> impl Iterator<Item = &Key> {
        [
            Some(&self.primary),
            self.next.as_ref(),
            self.former.as_ref(),
        ]
        .into_iter()
        .flatten()
    }

    /// The digests of all keys that are accepted, the primary one's first.
    pub fn digests(&self) -> Vec<String> {
        self.accepted().map(Key::digest).collect()
    }

    /// The entry that is read as this.
    pub fn text(&self) -> String {
        let Self {
            primary,
            next,
            former,
        } = self;
        [
            ("primary", Some(primary)),
            ("next", next.as_ref()),
            ("former", former.as_ref()),
        ]
        .into_iter()
        .filter_map(|(role, key)| Some(format!("{role} {}\n", hex(&key?.0))))
        .collect()
    }

    /// Reads an entry.
    pub fn read(entry: &[u8]) -> Result<Self, BadKeyring> {
        if entry.len() > MOST_BYTES {
            return Err(BadKeyring::TooLong);
        }
        let text = std::str::from_utf8(entry).map_err(|_| BadKeyring::NotText)?;
        let (mut primary, mut next, mut former) = (None, None, None);
        let mut seen = BTreeSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            let bad = || BadKeyring::Line(number);
            let (role, digits) = line.split_once(' ').ok_or_else(bad)?;
            let place = match role {
                "primary" => &mut primary,
                "next" => &mut next,
                "former" => &mut former,
                _ => return Err(bad()),
            };
            if !seen.insert(role) {
                return Err(BadKeyring::Twice(number));
            }
            *place = Some(unhex(digits).ok_or_else(bad)?);
        }
        Ok(Self {
            primary: primary.ok_or(BadKeyring::NoPrimary)?,
            next,
            former,
        })
    }
}

fn unhex(digits: &str) -> Option<Key> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Key(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; KEY_BYTES])
    }

    #[test]
    fn what_is_written_is_read() {
        for (next, former) in [
            (None, None),
            (Some(2), None),
            (None, Some(3)),
            (Some(2), Some(3)),
        ] {
            let ring = Keyring {
                primary: key(1),
                next: next.map(key),
                former: former.map(key),
            };
            assert_eq!(Keyring::read(ring.text().as_bytes()), Ok(ring));
        }
    }

    #[test]
    fn what_is_not_understood_in_full_is_refused() {
        let line = |role: &str| format!("{role} {}\n", "ab".repeat(KEY_BYTES));
        let table = [
            (String::new(), BadKeyring::NoPrimary),
            (line("next"), BadKeyring::NoPrimary),
            (line("primary") + &line("primary"), BadKeyring::Twice(2)),
            (line("primary") + "more", BadKeyring::Line(2)),
            (line("primary") + &line("third"), BadKeyring::Line(2)),
            (line("primary").replace("ab", "xy"), BadKeyring::Line(1)),
            (line("primary").replacen("ab", "+b", 1), BadKeyring::Line(1)),
            ("primary ab\n".to_owned(), BadKeyring::Line(1)),
            (line("primary").repeat(99), BadKeyring::TooLong),
        ];
        for (text, why) in table {
            assert_eq!(Keyring::read(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(Keyring::read(&[0xff]), Err(BadKeyring::NotText));
    }

    #[test]
    fn neither_a_digest_nor_a_log_line_shows_a_key() {
        let ring = Keyring::of(key(0xab));
        let shown = format!("{ring:?} {:?}", ring.digests());
        assert!(!shown.contains("abab"), "{shown}");
        assert_ne!(key(1).digest(), key(2).digest());
        assert_eq!(key(1).digest().len(), 16);
    }
}
