//! The client of the API server.
//!
//! Owns where the API server is found (the variable `KUBECONFIG`, `~/.kube/config`, or the Pod's service account) and
//! how soon a dead connection is noticed; every request is counted. Never retries by itself what changes something.

use std::time::Duration;

use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::{Config, InferConfigError};
use thiserror::Error;
use tower::{BoxError, ServiceBuilder};

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
    let config = Config::infer()
        .await
        .map_err(|error| Error::NoConfig(Box::new(error)))?;
    build(config).map_err(|error| Error::Unusable(Box::new(error)))
}

fn build(config: Config) -> Result<kube::Client, kube::Error> {
    let https = config.rustls_https_connector_with_connector(connector(config.connect_timeout))?;
    let http: Http<_, Body> = Http::builder(TokioExecutor::new()).build(https);
    let service = ServiceBuilder::new()
        .layer(metrics::requests())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(kube::Client::new(service, config.default_namespace))
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
