//! Certificates, keys and the administrator's token and kubeconfig of one lab, made anew for each.
//!
//! Everything is a file that only the user may read.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use serde_json::json;

use crate::family::Families;
use crate::home::{Home, HomeError};
#[cfg(test)]
use crate::topology::api_address;
use crate::topology::api_url;

/// The namespace that Egret lives in.
pub const EGRET_NAMESPACE: &str = "egret-system";

const SERVER_NAMES: [&str; 8] = [
    "10.10.0.1",
    "fd10::1",
    "fd96::1",
    "127.0.0.1",
    "10.96.0.1",
    "localhost",
    "kubernetes.default",
    "kubernetes.default.svc",
];

/// Why the credentials could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file could not be written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The system has no random numbers.
    #[error("/dev/urandom could not be read: {0}")]
    Random(#[from] std::io::Error),
}

/// The user who may do everything, and the name of his files. Everybody else has a service account.
pub const ADMIN: &str = "admin";

/// Where the API server's files are.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Certificate of the lab's authority.
    pub ca: PathBuf,
    /// The server's certificate.
    pub server_certificate: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// The key that signs service account tokens.
    pub account_key: PathBuf,
    /// The key that they are checked with.
    pub account_public_key: PathBuf,
    /// The administrator's token.
    pub tokens: PathBuf,
}

impl Credentials {
    /// Makes everything and writes it into the lab's folder.
    pub fn make(home: &Home, families: Families) -> Result<Self, CredentialsError> {
        let authority = authority()?;
        let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let server = server_certificate(&server_key, &authority)?;
        let account_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let ca = authority.pem();
        Ok(Self {
            tokens: home.write_secret("tokens.csv", users(home, families)?.as_bytes())?,
            ca: home.write_secret("ca.crt", ca.as_bytes())?,
            server_certificate: home.write_secret("server.crt", server.as_bytes())?,
            server_key: home.write_secret("server.key", server_key.serialize_pem().as_bytes())?,
            account_public_key: home
                .write_secret("account.pub", account_key.public_key_pem().as_bytes())?,
            account_key: home
                .write_secret("account.key", account_key.serialize_pem().as_bytes())?,
        })
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "egret-lab");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    expire(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn server_certificate(
    key: &KeyPair,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    expire(&mut params);
    Ok(params.signed_by(key, authority)?.pem())
}

/// A lab does not live for years; the default would be the year 4096.
fn expire(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 1, 1);
}

/// Writes the administrator's kubeconfig; gives the API server's list of tokens: token, user, id, groups.
fn users(home: &Home, families: Families) -> Result<String, CredentialsError> {
    let token = hex(&random()?);
    let config = kubeconfig(&token, home, families);
    home.write_secret(&format!("{ADMIN}.kubeconfig"), config.as_bytes())?;
    Ok(format!("{token},{ADMIN},{ADMIN},system:masters\n"))
}

/// JSON is YAML, so this is what kubectl reads.
fn kubeconfig(token: &str, home: &Home, families: Families) -> String {
    let cluster =
        json!({"server": api_url(families), "certificate-authority": home.secret("ca.crt")});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    })
    .to_string()
}

fn random() -> Result<[u8; 32], std::io::Error> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_called_as_the_kubeconfigs_say() {
        for families in [Families::Ipv4, Families::Ipv6, Families::Dual] {
            let address = api_address(families.first()).to_string();
            assert!(SERVER_NAMES.contains(&address.as_str()), "{address}");
        }
    }

    #[test]
    fn no_two_labs_share_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let tokens: Vec<String> = ["one", "two"]
            .map(|name| {
                let home = Home::at(folder.path().join(name).join("lab"));
                home.create().unwrap();
                home.prepare(&home.try_lock().unwrap().unwrap()).unwrap();
                std::fs::read_to_string(Credentials::make(&home, Families::Dual).unwrap().tokens)
                    .unwrap()
            })
            .into();
        assert_ne!(tokens.first(), tokens.last());
    }
}
