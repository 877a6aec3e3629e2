//! Who asks, and from where.
//!
//! Owns the two ways to an answer: inside the process, bytes to bytes, and over TLS on the loopback interface as the API
//! server does it, one request after another on a connection that stays open. A time begins with the question's bytes and
//! ends with the answer's last one. Never looks into the answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, header};
use egret_runtime::live::Liveness;
use egret_webhook::certificate::Served;
use egret_webhook::serve::{listen, serve};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use super::question::Prepared;

/// The name that the certificate is for.
const NAME: &str = "egret-webhook.egret-system.svc";
/// More than any answer has.
const ANSWER_MAX: usize = 1 << 20;

/// One who asks.
#[derive(Debug)]
pub enum Asker {
    /// Inside the process.
    Inside(Router),
    /// Over a connection of its own.
    Client(SendRequest<Body>),
}

impl Asker {
    /// Asks; gives the time until the whole answer was there, and the answer.
    pub async fn ask(&mut self, question: &Prepared) -> anyhow::Result<(Duration, Bytes)> {
        let begun = Instant::now();
        let request = Request::post(question.path)
            .header(header::HOST, NAME)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(question.body.clone()))?;
        let body = match self {
            Self::Inside(router) => router.clone().oneshot(request).await?.into_body(),
            Self::Client(connection) => {
                connection.ready().await?;
                Body::new(connection.send_request(request).await?.into_body())
            }
        };
        let answer = to_bytes(body, ANSWER_MAX).await?;
        Ok((begun.elapsed(), answer))
    }
}

/// A webhook's server. It ends with this.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    _end: DropGuard,
}

impl Server {
    /// Serves as the process does.
    pub async fn of(router: Router) -> anyhow::Result<Self> {
        let (secret, trusted) = certificate()?;
        let served = Served::default();
        served.take(&secret)?;
        let tls = Arc::new(served.server_config()?);
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let address = listener.local_addr()?;
        let end = CancellationToken::new();
        let pulse = Liveness::default().pulse("server");
        tokio::spawn(serve(listener, router, tls, end.clone(), pulse));
        Ok(Self {
            address,
            tls: Arc::new(trusting(trusted)?),
            _end: end.drop_guard(),
        })
    }

    /// A client with a connection of its own.
    pub async fn client(&self) -> anyhow::Result<Asker> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME)?;
        let connector = TlsConnector::from(self.tls.clone());
        let stream = connector.connect(name, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Asker::Client(sender))
    }
}

fn trusting(certificate: CertificateDer<'static>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A certificate as the operator stores it, and as a client trusts it.
fn certificate() -> anyhow::Result<(Secret, CertificateDer<'static>)> {
    let key = KeyPair::generate().context("no key")?;
    let made = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
    let entries = [("tls.crt", made.pem()), ("tls.key", key.serialize_pem())];
    let entries = entries.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())));
    let secret = Secret {
        data: Some(entries.into()),
        ..Secret::default()
    };
    Ok((secret, made.der().clone()))
}
