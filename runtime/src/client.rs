//! The client of the API server.
//!
//! Owns where the API server is found (the variable `KUBECONFIG`, `~/.kube/config`, or the Pod's service account) and
//! how soon a dead connection is noticed; every request is counted. Never retries by itself what changes something.

use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::{Config, InferConfigError};
use thiserror::Error;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder};

use crate::fence::{self, Fenced, Permit};

use crate::metrics;

/// An idle connection is probed after this time: a watch alone would not notice for minutes that the API server's
/// machine is gone or that the network was cut.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// Time between probes.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// Unanswered probes after which the connection is given up.
const PROBES: u32 = 3;
/// What was sent must be acknowledged within this time.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum Error {
    /// Neither a kubeconfig nor a service account.
    #[error("no API server known: set KUBECONFIG, or run as a Pod with a service account")]
    NoConfig(#[source] Box<InferConfigError>),
    /// What was found cannot be used.
    #[error("the API server's address or credentials cannot be used")]
    Unusable(#[source] Box<kube::Error>),
}

/// A client for the API server that the environment names.
pub async fn connect() -> Result<kube::Client, Error> {
    let config = config().await?;
    let service = service(&config, connector(config.connect_timeout))?;
    Ok(kube::Client::new(service, config.default_namespace))
}

/// The same, but what it sends, it sends under this permit: it is for writing. It has connections of its own.
pub async fn connect_under(permit: &Permit) -> Result<kube::Client, Error> {
    let config = config().await?;
    let mut connector = connector(config.connect_timeout);
    connector.set_tcp_user_timeout(Some(permit.delivery()));
    let connector = fence::Connector(Fenced::new(connector, permit.clone()));
    let service = Fenced::new(service(&config, connector)?, permit.clone());
    Ok(kube::Client::new(service, config.default_namespace))
}

async fn config() -> Result<Config, Error> {
    Config::infer()
        .await
        .map_err(|error| Error::NoConfig(Box::new(error)))
}

type Sender = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

fn service<C>(config: &Config, connector: C) -> Result<Sender, Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let unusable = |error| Error::Unusable(Box::new(error));
    let https = config.rustls_https_connector_with_connector(connector);
    let http: Http<_, Body> = Http::builder(TokioExecutor::new()).build(https.map_err(unusable)?);
    let service = ServiceBuilder::new()
        .layer(metrics::requests())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(BoxCloneSyncService::new(service))
}

fn connector(connect_timeout: Option<Duration>) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(connect_timeout);
    connector.set_keepalive(Some(PROBE_AFTER));
    connector.set_keepalive_interval(Some(PROBE_EVERY));
    connector.set_keepalive_retries(Some(PROBES));
    connector.set_tcp_user_timeout(Some(ACKNOWLEDGED_WITHIN));
    connector
}
