//! Asking the webhook's replicas for their certificate.
//!
//! Owns the question, which is the API server's own: a TLS handshake that trusts one authority. Never sends a request.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_runtime::describe;
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

/// What came of asking replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many serve the wanted certificate.
    pub serving: usize,
    /// Of those that do not, one and why: for people.
    pub failure: Option<(SocketAddr, String)>,
}

/// Which of these serve a certificate for this name that this authority has signed.
pub async fn serving(
    replicas: Vec<SocketAddr>,
    name: &str,
    root: &Der,
) -> Result<Answers, rustls::Error> {
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
            (
                replica,
                answer.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())),
            )
        }
    });
    let all = answers.buffered(AT_ONCE).collect::<Vec<_>>().await;
    Ok(Answers {
        serving: all.iter().filter(|(_, answer)| answer.is_ok()).count(),
        failure: all.into_iter().find_map(failure),
    })
}

fn failure((replica, answer): (SocketAddr, std::io::Result<()>)) -> Option<(SocketAddr, String)> {
    answer.err().map(|error| (replica, describe(&error)))
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
        let answers = serving(replicas.clone(), name, &root).await.unwrap();
        assert_eq!(answers.serving, 2);
        let (first, why) = answers.failure.unwrap();
        assert_eq!(first, replicas[1]);
        assert!(why.contains("certificate"), "{why}");
        let other_name = serving(vec![replica(&ours).await], "elsewhere.svc", &root).await;
        assert_eq!(other_name.unwrap().serving, 0);
    }

    #[tokio::test]
    async fn of_one_that_cannot_be_reached_is_said_why() {
        let authority = issue::authority(Timestamp::now(), DAY).unwrap();
        let root = roots(authority.certificate.as_bytes()).remove(0).der;
        let (closed, gone) = listener().await;
        drop(closed);
        let answers = serving(vec![gone], "egret-webhook.egret-system.svc", &root).await;
        let (replica, why) = answers.unwrap().failure.unwrap();
        assert_eq!(replica, gone);
        assert!(why.contains("refused"), "{why}");
    }
}
