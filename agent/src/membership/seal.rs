//! The seal on every datagram: a message authentication code under the key that all agents share.
//!
//! Owns the format: HMAC-SHA-256 (RFC 2104) of the message, 32 bytes, then the message. Never encrypts: gossip holds no
//! secrets.

use aws_lc_rs::hmac;
use thiserror::Error;

const TAG_BYTES: usize = 32;
const LEAST_KEY_BYTES: usize = 16;

/// The key is too short to keep anybody out.
#[derive(Debug, Error)]
#[error("the gossip key has {0} bytes; at least {LEAST_KEY_BYTES} random ones are needed")]
pub struct BadKey(usize);

/// Closes and opens datagrams.
#[derive(Debug, Clone)]
pub struct Seal(hmac::Key);

impl Seal {
    /// The seal under this key.
    pub fn new(key: &[u8]) -> Result<Self, BadKey> {
        if key.len() < LEAST_KEY_BYTES {
            return Err(BadKey(key.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The datagram for a message.
    pub fn close(&self, message: &[u8]) -> Vec<u8> {
        let tag = hmac::sign(&self.0, message);
        [tag.as_ref(), message].concat()
    }

    /// The message in a datagram; `None` if it was not closed with the same key.
    pub fn open<'a>(&self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, message) = datagram.split_at_checked(TAG_BYTES)?;
        hmac::verify(&self.0, message, tag).ok()?;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_opens_with_the_same_key_only() {
        let (seal, other) = (Seal::new(&[1; 32]).unwrap(), Seal::new(&[2; 32]).unwrap());
        let datagram = seal.close(b"alive");
        assert_eq!(seal.open(&datagram), Some(b"alive".as_slice()));
        assert_eq!(other.open(&datagram), None);
    }

    #[test]
    fn a_changed_or_cut_datagram_does_not_open() {
        let seal = Seal::new(&[1; 32]).unwrap();
        let datagram = seal.close(b"alive");
        for position in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[position] ^= 1;
            assert_eq!(seal.open(&changed), None);
            assert_eq!(seal.open(&datagram[..position]), None);
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(Seal::new(b"secret").is_err());
    }
}
