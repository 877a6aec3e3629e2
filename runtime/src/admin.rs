//! The admin server: `/live`, `/ready`, `/metrics` and `/log-level` over plain HTTP.
//!
//! Owns these answers, and who may change what is logged: only who is on the same machine (or in the same Pod, where
//! `kubectl port-forward` arrives). Never changes anything else: whoever reaches it can only read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::levels::{self, Levels};
use crate::live::Liveness;
use crate::ready::Readiness;
use crate::socket;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Of a request's body.
const MOST_BYTES: usize = 1024;
const FROM_ELSEWHERE: &str = "the log level is changed only from this machine or Pod: run `kubectl port-forward POD 6090` and \
                              then `curl -X PUT -d info,kube=debug localhost:6090/log-level`\n";

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
#[derive(Debug, Clone)]
pub struct Sources {
    /// For `/live`.
    pub liveness: Liveness,
    /// For `/ready`.
    pub readiness: Readiness,
    /// For `/metrics`.
    pub metrics: Arc<Registry>,
    /// For `/log-level`.
    pub levels: Levels,
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
    sources: Sources,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let service = router(sources).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(Error::Serve)
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/log-level", get(log_level).put(set_log_level))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(sources)
}

async fn live(State(sources): State<Sources>) -> (StatusCode, String) {
    let stuck = sources.liveness.stuck();
    if stuck.is_empty() {
        return (StatusCode::OK, "live\n".to_owned());
    }
    let stuck = stuck
        .iter()
        .map(|(name, time)| format!("{name} is stuck for {} s\n", time.as_secs()));
    (StatusCode::SERVICE_UNAVAILABLE, stuck.collect())
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

async fn log_level(State(sources): State<Sources>) -> String {
    format!("{}\n", sources.levels)
}

async fn set_log_level(
    State(sources): State<Sources>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    text: String,
) -> (StatusCode, String) {
    if !peer.ip().to_canonical().is_loopback() {
        return (StatusCode::FORBIDDEN, FROM_ELSEWHERE.to_owned());
    }
    let targets = match levels::parse(&text) {
        Ok(targets) => targets,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    // Whoever looks for lines that are missing finds this one: it is written while the former levels apply.
    warn!(from = %sources.levels, to = %targets, "what is logged changes");
    match sources.levels.set(targets) {
        Ok(()) => (StatusCode::OK, format!("{}\n", sources.levels)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use http::{Method, Request};
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::advance;
    use tower::ServiceExt;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::{Registry as Subscriber, reload};

    use super::*;

    type Filter = reload::Layer<Targets, Subscriber>;

    /// Also what the levels are kept in.
    fn sources() -> (Sources, Filter) {
        let mut metrics = Registry::default();
        let writes: Counter = Counter::default();
        metrics.register("writes", "Writes", writes.clone());
        writes.inc();
        let (filter, handle) = reload::Layer::new(levels::parse("info").unwrap());
        let sources = Sources {
            liveness: Liveness::default(),
            readiness: Readiness::default(),
            metrics: Arc::new(metrics),
            levels: Levels::new(handle),
        };
        (sources, filter)
    }

    async fn send(sources: &Sources, request: Request<Body>) -> (StatusCode, String) {
        let answer = router(sources.clone()).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 65_536).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn ask(sources: &Sources, path: &str) -> (StatusCode, String) {
        send(sources, Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn put_log_level(sources: &Sources, peer: &str, text: &str) -> (StatusCode, String) {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = Request::builder()
            .method(Method::PUT)
            .uri("/log-level")
            .extension(ConnectInfo(peer))
            .body(Body::from(text.to_owned()));
        send(sources, request.unwrap()).await
    }

    #[tokio::test]
    async fn ready_names_what_is_awaited_until_it_comes() {
        let (sources, _) = sources();
        let nodes = sources.readiness.wait_for("nodes");
        let (status, text) = ask(&sources, "/ready").await;
        assert_eq!(
            (status, text.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "waiting for nodes\n")
        );
        nodes.done();
        assert_eq!(ask(&sources, "/ready").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn live_while_not_yet_ready() {
        let (sources, _) = sources();
        let _nodes = sources.readiness.wait_for("nodes");
        assert_eq!(ask(&sources, "/live").await.0, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn not_live_while_a_loop_is_stuck_and_the_answer_names_it() {
        let (sources, _) = sources();
        let pulse = sources.liveness.pulse("reconciler");
        pulse.beat();
        advance(Duration::from_secs(90)).await;
        assert_eq!(
            ask(&sources, "/live").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "reconciler is stuck for 90 s\n".to_owned()
            )
        );
        pulse.beat();
        assert_eq!(ask(&sources, "/live").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_log_level_is_shown_and_changed() {
        let (sources, _filter) = sources();
        assert_eq!(ask(&sources, "/log-level").await.1, "info\n");
        let answer = put_log_level(&sources, "[::ffff:127.0.0.1]:40000", "warn,kube=debug").await;
        assert_eq!(answer, (StatusCode::OK, "kube=debug,warn\n".to_owned()));
        assert_eq!(ask(&sources, "/log-level").await.1, "kube=debug,warn\n");
    }

    #[tokio::test]
    async fn nobody_changes_the_log_level_from_another_machine() {
        let (sources, _filter) = sources();
        let (status, text) = put_log_level(&sources, "10.0.0.1:40000", "debug").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(text.contains("kubectl port-forward"), "{text}");
        assert_eq!(ask(&sources, "/log-level").await.1, "info\n");
    }

    #[tokio::test]
    async fn what_is_no_level_changes_nothing_and_is_answered_with_what_is_right() {
        let (sources, _filter) = sources();
        let (status, text) = put_log_level(&sources, "[::1]:40000", "loud").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            text.contains("\"loud\"") && text.contains("info,kube=debug"),
            "{text}"
        );
        let (status, _) = put_log_level(&sources, "[::1]:40000", &"x".repeat(5000)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(ask(&sources, "/log-level").await.1, "info\n");
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_text() {
        let (sources, _) = sources();
        let (status, text) = ask(&sources, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("writes_total 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn a_connection_over_loopback_may_change_the_log_level() {
        let (sources, _filter) = sources();
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        tokio::spawn(serve(listener, sources, end));
        // Arrives as ::ffff:127.0.0.1 where there is IPv6.
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let request = "PUT /log-level HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\ndebug";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("\r\n\r\ndebug\n"), "{answer}");
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
