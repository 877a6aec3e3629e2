//! Making keys and certificates.
//!
//! Owns what stands in them. Never decides when one is made, never stores one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// An authority lives so many times as long as what it signs. It is renewed after two thirds: what it has signed last
/// ends before it does.
const LIVES: i32 = 3;
/// The clocks of others may be behind by this time, or by a tenth of the certificate's life if that is less.
const BEHIND: SignedDuration = SignedDuration::from_mins(5);

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    /// Without the key: it must not end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// An authority for certificates of this lifetime.
pub fn authority(now: Timestamp, lifetime: SignedDuration) -> Result<Pair, rcgen::Error> {
    let mut params = CertificateParams::default();
    // A name of its own: whoever looks at a bundle of two can tell which is which.
    let name = format!("egret-webhook-authority-{}", now.as_second());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    last(&mut params, now, lifetime.saturating_mul(LIVES));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(Pair {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// A certificate for a server of these names, the first of which becomes its common name.
pub fn leaf(
    now: Timestamp,
    lifetime: SignedDuration,
    names: &[String],
    authority: &Pair,
) -> Result<Pair, rcgen::Error> {
    let signer =
        Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = CertificateParams::new(names)?;
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    last(&mut params, now, lifetime);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(Pair {
        certificate: params.signed_by(&key, &signer)?.pem(),
        key: key.serialize_pem(),
    })
}

fn last(params: &mut CertificateParams, now: Timestamp, lifetime: SignedDuration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // To whole seconds, as certificates have them.
    let moment = |time: Timestamp| epoch + Duration::from_secs(time.as_second().unsigned_abs());
    let behind = BEHIND.min(lifetime / 10);
    params.not_before = moment(now.checked_sub(behind).unwrap_or(now));
    params.not_after = moment(now.checked_add(lifetime).unwrap_or(now));
}
