//! From Secrets to what they hold.
//!
//! Owns when a Secret counts as usable: a key that fits, the right names, a signature that verifies. Times are read, not
//! judged. Never asks the API server.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{KeyPair, PublicKeyData};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;

use super::issue::Pair;
use super::plan::{Authority, Der, Leaf, Root, Validity};

/// The certificate, in both Secrets.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key, in both Secrets.
pub const KEY: &str = "tls.key";
/// What is trusted, beside the webhook's certificate.
pub const BUNDLE: &str = "ca.crt";
/// The authorities before the present one that are still trusted, beside the present one.
pub const PREVIOUS: &str = "previous.crt";

/// Why a Secret cannot be used.
#[derive(Debug, Error)]
pub enum Unusable {
    /// There is none.
    #[error("there is no such Secret")]
    Missing,
    /// Something is not in it.
    #[error("it has no {0}")]
    Lacks(&'static str),
    /// Something in it is not PEM.
    #[error("{0} is not in PEM")]
    Pem(&'static str, #[source] PemError),
    /// Something in it is no certificate.
    #[error("{0} is not an X.509 certificate")]
    NotCertificate(&'static str),
    /// A certificate may not sign others.
    #[error("{0} is not the certificate of an authority")]
    NotAuthority(&'static str),
    /// A key cannot be read.
    #[error("{KEY} cannot be read")]
    Key(#[from] rcgen::Error),
    /// Key and certificate are of different pairs.
    #[error("{KEY} is not the key of {CERTIFICATE}")]
    OtherKey,
    /// A certificate that clients would refuse.
    #[error("{CERTIFICATE} is not for {name}, or not signed by an authority that is trusted")]
    Refused {
        /// The name that was tried.
        name: String,
        /// What does not fit.
        source: Box<rustls::Error>,
    },
}

/// The authority in its Secret, and its key.
pub fn authority(secret: Option<&Secret>) -> Result<(Authority, Pair), Unusable> {
    let secret = secret.ok_or(Unusable::Missing)?;
    let (certificate, key) = (text(secret, CERTIFICATE)?, text(secret, KEY)?);
    let root = root(&first_certificate(&certificate)?, CERTIFICATE)?;
    let pair = KeyPair::from_pem(&key)?;
    let parsed = parse(&root.der, CERTIFICATE)?;
    if pair.subject_public_key_info() != parsed.public_key().raw {
        return Err(Unusable::OtherKey);
    }
    // Without those before, they are only forgotten too early.
    let previous = text(secret, PREVIOUS).map_or_else(|_| Vec::new(), |pem| roots(pem.as_bytes()));
    Ok((Authority { root, previous }, Pair { certificate, key }))
}

/// The webhook's certificate in its Secret, for a server of all these names, signed by one that is trusted.
pub fn leaf(
    secret: Option<&Secret>,
    authority: &Authority,
    names: &[String],
) -> Result<Leaf, Unusable> {
    let secret = secret.ok_or(Unusable::Missing)?;
    let certificate = first_certificate(&text(secret, CERTIFICATE)?)?;
    let key = text(secret, KEY)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|source| Unusable::Pem(KEY, source))?;
    CertifiedKey::from_der(vec![certificate.clone()], key, &provider())
        .map_err(|_| Unusable::OtherKey)?;
    let validity = validity(&parse(&certificate, CERTIFICATE)?);
    let signed_by = signer(&certificate, validity, authority, names)?;
    let bundle = text(secret, BUNDLE).map_or_else(|_| Vec::new(), |pem| roots(pem.as_bytes()));
    Ok(Leaf {
        der: certificate.to_vec(),
        validity,
        signed_by,
        bundle: bundle.into_iter().map(|root| root.der).collect(),
    })
}

/// The certificates of authorities in PEM; anything else there is left out.
pub fn roots(pem: &[u8]) -> Vec<Root> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    certificates
        .filter_map(|certificate| root(&certificate, BUNDLE).ok())
        .collect()
}

/// Certificates in PEM, as [`roots`] reads them.
pub fn pem_of<'a>(roots: impl IntoIterator<Item = &'a Root>) -> String {
    let blocks: Vec<_> = roots
        .into_iter()
        .map(|root| pem::Pem::new("CERTIFICATE", root.der.clone()))
        .collect();
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_many_config(&blocks, lines)
}

/// Trust in one authority, as TLS wants it.
pub fn trust(der: &Der) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from(der.clone()))?;
    Ok(Arc::new(store))
}

/// The one implementation of TLS that is linked.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn text(secret: &Secret, entry: &'static str) -> Result<String, Unusable> {
    let data = secret.data.as_ref().and_then(|data| data.get(entry));
    let found = data.filter(|bytes| !bytes.0.is_empty());
    let bytes = found.ok_or(Unusable::Lacks(entry))?;
    Ok(String::from_utf8_lossy(&bytes.0).into_owned())
}

fn first_certificate(pem: &str) -> Result<CertificateDer<'static>, Unusable> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|source| Unusable::Pem(CERTIFICATE, source))
}

fn parse<'a>(der: &'a [u8], entry: &'static str) -> Result<X509Certificate<'a>, Unusable> {
    let parsed = x509_parser::parse_x509_certificate(der);
    parsed
        .map(|(_, certificate)| certificate)
        .map_err(|_| Unusable::NotCertificate(entry))
}

fn root(der: &[u8], entry: &'static str) -> Result<Root, Unusable> {
    let certificate = parse(der, entry)?;
    if !certificate.is_ca() {
        return Err(Unusable::NotAuthority(entry));
    }
    Ok(Root {
        der: der.to_vec(),
        validity: validity(&certificate),
    })
}

/// A time that no calendar has makes the certificate one that has never been valid.
fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let told = certificate.validity();
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN);
    Validity {
        from: time(told.not_before.timestamp()),
        until: time(told.not_after.timestamp()),
    }
}

/// The authority that a client of all these names needs to trust for this certificate.
fn signer(
    certificate: &CertificateDer<'_>,
    validity: Validity,
    authority: &Authority,
    names: &[String],
) -> Result<Der, Unusable> {
    let mut refusal = Unusable::NotCertificate(CERTIFICATE);
    for root in authority.bundle() {
        match accepted(certificate, validity, &root.der, names) {
            Ok(()) => return Ok(root.der.clone()),
            Err(refused) => refusal = refused,
        }
    }
    Err(refusal)
}

/// Asks the same code that clients run. As of the certificate's first moment: whether it is valid now is not the question.
fn accepted(
    certificate: &CertificateDer<'_>,
    validity: Validity,
    root: &Der,
    names: &[String],
) -> Result<(), Unusable> {
    let refused = |name: &str| {
        let name = name.to_owned();
        |source| Unusable::Refused {
            name,
            source: Box::new(source),
        }
    };
    let store = trust(root).map_err(refused("anybody"))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(store, provider())
        .build()
        .map_err(|error| refused("anybody")(rustls::Error::General(error.to_string())))?;
    let seconds = u64::try_from(validity.from.as_second()).unwrap_or_default();
    let then = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    for name in names {
        let server = ServerName::try_from(name.as_str())
            .map_err(|error| refused(name)(rustls::Error::General(error.to_string())))?;
        verifier
            .verify_server_cert(certificate, &[], &server, &[], then)
            .map_err(refused(name))?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
