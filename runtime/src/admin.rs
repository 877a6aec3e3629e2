//! The admin server: `/live`, `/ready` and `/metrics` over plain HTTP.
//!
//! Owns these three answers. Never changes anything: whoever reaches it can only read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::ready::Readiness;
use crate::socket;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the admin server does not run.
#[derive(Debug, Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("cannot listen on {address} for the admin server: choose another with --admin-address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// It stopped.
    #[error("the admin server failed")]
    Serve(#[source] io::Error),
}

/// What the server's answers are made of.
#[derive(Clone)]
struct Sources {
    readiness: Readiness,
    metrics: Arc<Registry>,
}

/// Opens the admin server's socket.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    socket::listen(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

/// Answers until shutdown.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Registry,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let router = router(Sources {
        readiness,
        metrics: Arc::new(metrics),
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(Error::Serve)
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(sources)
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(sources): State<Sources>) -> (StatusCode, String) {
    let awaited = sources.readiness.awaited();
    if awaited.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("waiting for {}\n", awaited.join(", ")),
    )
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &sources.metrics) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::{Body, to_bytes};
    use http::Request;
    use prometheus_client::metrics::counter::Counter;
    use tower::ServiceExt;

    use super::*;

    async fn ask(sources: Sources, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router(sources).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 65_536).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn sources(readiness: &Readiness) -> Sources {
        let mut metrics = Registry::default();
        let writes: Counter = Counter::default();
        metrics.register("writes", "Writes", writes.clone());
        writes.inc();
        Sources {
            readiness: readiness.clone(),
            metrics: Arc::new(metrics),
        }
    }

    #[tokio::test]
    async fn ready_names_what_is_awaited_until_it_comes() {
        let readiness = Readiness::default();
        let nodes = readiness.wait_for("nodes");
        let (status, text) = ask(sources(&readiness), "/ready").await;
        assert_eq!(
            (status, text.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "waiting for nodes\n")
        );
        nodes.done();
        assert_eq!(ask(sources(&readiness), "/ready").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn live_while_not_yet_ready() {
        let readiness = Readiness::default();
        let _nodes = readiness.wait_for("nodes");
        assert_eq!(ask(sources(&readiness), "/live").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_text() {
        let (status, text) = ask(sources(&Readiness::default()), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("writes_total 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn an_address_in_use_is_reported_with_the_flag_to_change_it() {
        let taken = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let error = listen(taken.local_addr().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("--admin-address"), "{error}");
    }
}
