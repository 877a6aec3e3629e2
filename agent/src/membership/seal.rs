//! The seal on every datagram: a message authentication code under keys that all agents share.
//!
//! Owns the format: HMAC-SHA-256 (RFC 2104) of the message, 32 bytes, then the message. What is sent is sealed with the
//! primary key; what any accepted key has sealed is let in, so keys can change. Never encrypts: gossip holds no secrets.

use aws_lc_rs::hmac;
use egret_crds::keyring::{Key, Keyring};

const TAG_BYTES: usize = 32;

/// Closes and opens datagrams.
#[derive(Debug, Clone)]
pub struct Seal {
    primary: hmac::Key,
    /// The primary one first: nearly everything is sealed with it.
    accepted: Vec<hmac::Key>,
}

impl Seal {
    /// The seal under these keys.
    pub fn new(keys: &Keyring) -> Self {
        let key = |key: &Key| hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        Self {
            primary: key(&keys.primary),
            accepted: keys.accepted().map(key).collect(),
        }
    }

    /// The datagram for a message.
    pub fn close(&self, message: &[u8]) -> Vec<u8> {
        let tag = hmac::sign(&self.primary, message);
        [tag.as_ref(), message].concat()
    }

    /// The message in a datagram; `None` if it was not closed with an accepted key.
    pub fn open<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, message) = datagram.split_at_checked(TAG_BYTES)?;
        let mut keys = self.accepted.iter();
        keys.any(|key| hmac::verify(key, message, tag).is_ok())
            .then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 32])
    }

    fn seal(byte: u8) -> Seal {
        Seal::new(&Keyring::of(key(byte)))
    }

    #[test]
    fn what_was_closed_opens_with_the_same_key_only() {
        let datagram = seal(1).close(b"alive");
        assert_eq!(seal(1).open(&datagram), Some(b"alive".as_slice()));
        assert_eq!(seal(2).open(&datagram), None);
    }

    #[test]
    fn the_next_and_the_former_key_open_and_only_the_primary_one_closes() {
        let ring = Keyring {
            primary: key(1),
            next: Some(key(2)),
            former: Some(key(3)),
        };
        let seal_of_all = Seal::new(&ring);
        for byte in [1, 2, 3] {
            let datagram = seal(byte).close(b"alive");
            assert_eq!(seal_of_all.open(&datagram), Some(b"alive".as_slice()));
        }
        assert_eq!(seal_of_all.open(&seal(4).close(b"alive")), None);
        let datagram = seal_of_all.close(b"alive");
        assert_eq!(seal(1).open(&datagram), Some(b"alive".as_slice()));
        assert_eq!(seal(2).open(&datagram), None);
    }

    #[test]
    fn a_changed_or_cut_datagram_does_not_open() {
        let seal = seal(1);
        let datagram = seal.close(b"alive");
        for position in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[position] ^= 1;
            assert_eq!(seal.open(&changed), None);
            assert_eq!(seal.open(&datagram[..position]), None);
        }
    }
}
