//! Connections, with a client that speaks TLS.

use axum::routing::get;
use egret_runtime::live::Liveness;
use hyper::client::conn::http1 as client;
use hyper::client::conn::http1::SendRequest;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;

const NAME: &str = "localhost";

/// A server of two paths: one answers at once, one when told to.
struct Served {
    address: SocketAddr,
    trusted: CertificateDer<'static>,
    shutdown: CancellationToken,
    go_on: Arc<Notify>,
    asked: Arc<Notify>,
    end: JoinHandle<()>,
}

impl Served {
    async fn start(limits: Limits) -> Self {
        let (tls, trusted) = tls();
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go_on, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = (go_on.clone(), asked.clone());
        let slow = async move || {
            slow.1.notify_one();
            slow.0.notified().await;
            "slow"
        };
        let router = Router::new()
            .route("/quick", get(async || "quick"))
            .route("/slow", get(slow));
        let shutdown = CancellationToken::new();
        let host = Host {
            tls: TlsAcceptor::from(Arc::new(tls)),
            router,
            leaving: shutdown.clone(),
            limits,
        };
        let end = tokio::spawn(host.serve(listener, Liveness::default().pulse("server")));
        Self {
            address,
            trusted,
            shutdown,
            go_on,
            asked,
            end,
        }
    }

    async fn connect(&self) -> SendRequest<Body> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.unwrap();
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A server's settings, and the certificate to trust.
fn tls() -> (ServerConfig, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([NAME.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key);
    (config.unwrap(), certificate)
}

fn ask(path: &str) -> Request<Body> {
    Request::get(path)
        .header("Host", NAME)
        .body(Body::empty())
        .unwrap()
}

fn is_closing<B>(response: &Response<B>) -> bool {
    response.headers().get(header::CONNECTION) == Some(&HeaderValue::from_static("close"))
}

const SHORT: Limits = Limits {
    handshake: Duration::from_millis(50),
    linger: Duration::ZERO,
    drain: Duration::from_mins(1),
    ..LIMITS
};

#[tokio::test]
async fn one_connection_takes_many_questions() {
    let served = Served::start(LIMITS).await;
    let mut connection = served.connect().await;
    for _ in 0..3 {
        connection.ready().await.unwrap();
        let response = connection.send_request(ask("/quick")).await.unwrap();
        assert!(response.status().is_success() && !is_closing(&response));
    }
}

#[tokio::test]
async fn who_does_not_shake_hands_is_shown_the_door_and_disturbs_nobody() {
    let served = Served::start(SHORT).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut bytes = Vec::new();
    assert_eq!(silent.read_to_end(&mut bytes).await.unwrap_or_default(), 0);
}

/// Ends when the server has closed the connection.
async fn closed(connection: &mut SendRequest<Body>) {
    while connection.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_asks_nothing_is_shown_the_door_and_who_has_asked_is_not() {
    let served = Served::start(Limits {
        first_question: Duration::from_millis(500),
        ..LIMITS
    })
    .await;
    let (mut silent, mut known) = (served.connect().await, served.connect().await);
    known.send_request(ask("/quick")).await.unwrap();
    closed(&mut silent).await;
    known.ready().await.unwrap();
    let response = known.send_request(ask("/quick")).await.unwrap();
    assert!(response.status().is_success());
}

#[tokio::test]
async fn when_all_places_are_taken_the_connection_goes_that_has_waited_longest() {
    let served = Served::start(Limits {
        connections: 2,
        ..LIMITS
    })
    .await;
    let (mut first, mut second) = (served.connect().await, served.connect().await);
    first.send_request(ask("/quick")).await.unwrap();
    second.send_request(ask("/quick")).await.unwrap();
    let mut third = served.connect().await;
    closed(&mut first).await;
    for connection in [&mut second, &mut third] {
        connection.ready().await.unwrap();
        let response = connection.send_request(ask("/quick")).await.unwrap();
        assert!(response.status().is_success());
    }
}

#[tokio::test]
async fn a_question_under_way_is_answered_after_the_wish_to_stop() {
    let served = Served::start(SHORT).await;
    let (mut connection, mut idle) = (served.connect().await, served.connect().await);
    let answer = tokio::spawn(async move { connection.send_request(ask("/slow")).await });
    served.asked.notified().await;
    served.shutdown.cancel();
    // The other connection, of which nobody waits for anything, is closed.
    closed(&mut idle).await;
    assert!(TcpStream::connect(served.address).await.is_err());
    assert!(!served.end.is_finished());
    served.go_on.notify_one();
    let response = answer.await.unwrap().unwrap();
    assert!(response.status().is_success() && is_closing(&response));
    served.end.await.unwrap();
}

#[tokio::test]
async fn for_a_while_after_the_wish_to_stop_all_are_served_and_told_to_come_back_elsewhere() {
    let served = Served::start(LIMITS).await;
    let mut old = served.connect().await;
    served.shutdown.cancel();
    let mut new = served.connect().await;
    for connection in [&mut old, &mut new] {
        let response = connection.send_request(ask("/quick")).await.unwrap();
        assert!(response.status().is_success() && is_closing(&response));
    }
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_the_flag_to_change_it() {
    let taken = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let error = listen(taken.local_addr().unwrap()).await.unwrap_err();
    assert!(
        error.to_string().contains("choose another with --address"),
        "{error}"
    );
}
