//! Certificates change while connections are open.

use std::io;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use egret_runtime::ready::Readiness;
use egret_runtime::watch::Key;

use super::*;

const NAME: &str = "egret-webhook.egret-system.svc";

fn secret(certificate: &str, key: &str) -> Secret {
    let entries = [(CERTIFICATE, certificate), (KEY, key)];
    let entries = entries.map(|(name, text)| (name.to_owned(), ByteString(text.into())));
    Secret {
        metadata: ObjectMeta::default(),
        data: Some(entries.into()),
        ..Secret::default()
    }
}

/// A certificate that is its own authority: as PEM in a Secret, and as a client trusts it.
fn made() -> (Secret, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([NAME.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let secret = secret(&certificate.pem(), &key.serialize_pem());
    (secret, certificate.der().clone())
}

/// What a client sees that connects now.
async fn connect(
    served: &Served,
    trusted: &CertificateDer<'static>,
) -> io::Result<TlsStream<DuplexStream>> {
    let acceptor = TlsAcceptor::from(Arc::new(served.server_config().unwrap()));
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (here, there) = tokio::io::duplex(65_536);
    tokio::spawn(async move {
        let mut stream = acceptor.accept(there).await?;
        let mut byte = [0];
        while stream.read(&mut byte).await? > 0 {
            stream.write_all(&byte).await?;
            stream.flush().await?;
        }
        io::Result::Ok(())
    });
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, here)
        .await
}

async fn is_echoing(stream: &mut TlsStream<DuplexStream>) -> bool {
    let mut answer = [0];
    stream.write_all(b"x").await.is_ok()
        && stream.flush().await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && &answer == b"x"
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_the_open_ones_go_on() {
    let ((first, of_first), (second, of_second)) = (made(), made());
    let served = Served::default();
    served.take(&first).unwrap();
    let mut open = connect(&served, &of_first).await.unwrap();
    served.take(&second).unwrap();
    assert!(is_echoing(&mut open).await);
    assert!(is_echoing(&mut connect(&served, &of_second).await.unwrap()).await);
    assert!(connect(&served, &of_first).await.is_err());
}

#[tokio::test]
async fn without_a_certificate_no_connection_is_made() {
    let (_, trusted) = made();
    assert!(connect(&Served::default(), &trusted).await.is_err());
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_leaves_the_last_certificate() {
    let ((good, trusted), (other, _)) = (made(), made());
    let text = |secret: &Secret, name: &str| {
        let bytes = secret.data.as_ref().unwrap()[name].0.clone();
        String::from_utf8(bytes).unwrap()
    };
    let (certificate, key) = (text(&good, CERTIFICATE), text(&good, KEY));
    let cases = [
        (Secret::default(), "no tls.crt"),
        (secret("x", &key), "tls.crt is not in PEM"),
        (secret(&certificate, "x"), "tls.key is not in PEM"),
        (
            secret(&text(&other, CERTIFICATE), &key),
            "is not the key of",
        ),
    ];
    let served = Served::default();
    served.take(&good).unwrap();
    for (bad, word) in cases {
        let error = served.take(&bad).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(connect(&served, &trusted).await.is_ok(), "{word}");
    }
}

#[tokio::test]
async fn ready_with_the_first_certificate_and_not_taken_back_by_a_deletion() {
    let (good, trusted) = made();
    let key = Key {
        namespace: Some("egret-system".to_owned()),
        name: SECRET.to_owned(),
    };
    let readiness = Readiness::default();
    let served = Served::default();
    let ready = readiness.wait_for("the certificate");
    let bad = Event::Applied(Secret::default());
    let mut events = futures::stream::iter([Event::Synced, bad]);
    take_all(&mut events, &served, ready).await;
    assert_eq!(readiness.awaited(), ["the certificate"]);

    let ready = readiness.wait_for("the certificate");
    let mut events = futures::stream::iter([Event::Applied(good), Event::Deleted(key)]);
    take_all(&mut events, &served, ready).await;
    assert_eq!(readiness.awaited(), [""; 0]);
    assert!(connect(&served, &trusted).await.is_ok());
}
