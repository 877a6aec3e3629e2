//! Asking the webhook's replicas for their certificate.
//!
//! Owns the question, which is the API server's own: a TLS handshake that trusts one authority. Never sends a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::plan::Der;
use super::read::{provider, trust};

/// A replica that has not answered by then does not count as serving.
const LIMIT: Duration = Duration::from_secs(2);
/// Replicas that are asked at once.
const AT_ONCE: usize = 16;

/// How many of these serve a certificate for this name that this authority has signed.
pub async fn serving(
    replicas: Vec<SocketAddr>,
    name: &str,
    root: &Der,
) -> Result<usize, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trust(root)?)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(name.to_owned())
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let answers = futures::stream::iter(replicas).map(|replica| {
        let (connector, name) = (connector.clone(), name.clone());
        async move {
            let answer = timeout(LIMIT, shake_hands(replica, &connector, name)).await;
            debug!(%replica, ?answer, "asked for its certificate");
            matches!(answer, Ok(Ok(())))
        }
    });
    let serving = answers
        .buffer_unordered(AT_ONCE)
        .filter(|serves| std::future::ready(*serves));
    Ok(serving.count().await)
}

async fn shake_hands(
    replica: SocketAddr,
    connector: &TlsConnector,
    name: ServerName<'static>,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(replica).await?;
    connector.connect(name, stream).await.map(drop)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::issue::{self, Pair};
    use super::super::read::roots;
    use super::super::registration::server_names;
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A replica that serves what this authority signs.
    async fn replica(authority: &Pair) -> SocketAddr {
        let names = server_names("egret-system");
        let leaf = issue::leaf(Timestamp::now(), DAY, &names, authority).unwrap();
        let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let (listener, address) = listener().await;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        });
        address
    }

    #[tokio::test]
    async fn serving_are_those_whose_certificate_the_authority_has_signed() {
        let authority = || issue::authority(Timestamp::now(), DAY).unwrap();
        let (ours, other) = (authority(), authority());
        let root = roots(ours.certificate.as_bytes()).remove(0).der;
        let (closed, gone) = listener().await;
        drop(closed);
        // It takes connections and says nothing.
        let (_silent, silent) = listener().await;
        let replicas = vec![
            replica(&ours).await,
            replica(&other).await,
            replica(&ours).await,
            gone,
            silent,
        ];
        let name = "egret-webhook.egret-system.svc";
        assert_eq!(serving(replicas, name, &root).await.unwrap(), 2);
        let other_name = serving(vec![replica(&ours).await], "elsewhere.svc", &root).await;
        assert_eq!(other_name.unwrap(), 0);
    }
}
