//! Connections: TLS, their number, and their end.
//!
//! Owns the life of a connection. Handshakes happen beside each other and within a time; more connections than there is
//! room for wait. At the end nothing is lost: for a while everything is answered as before, but the client is told with
//! each answer to come back on another connection, by when others have been told to send it elsewhere; then those that are
//! left get the answers they wait for. Never reads a request.
//!
//! HTTP/1.1 only: the API server asks webhooks with nothing else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use egret_runtime::{describe, socket};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

/// Connections at once; more are not accepted until one ends.
const CONNECTIONS: usize = 512;
/// Without a request for so long, a connection ends. The API server's own limit is 90 s: so it is the one that ends it,
/// and no request can cross with the end.
const IDLE_LIMIT: Duration = Duration::from_mins(2);
/// After failing to accept (no file descriptors, for example).
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Together less than the process has for all of its tasks to stop.
const LIMITS: Limits = Limits {
    handshake: Duration::from_secs(5),
    linger: Duration::from_secs(3),
    drain: Duration::from_secs(5),
};

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// A handshake: it needs two round trips and a signature.
    handshake: Duration,
    /// From the wish to stop until connections are refused: by then the API server knows that this replica is leaving.
    linger: Duration,
    /// For the last answers.
    drain: Duration,
}

/// Why the webhook is not served.
#[derive(Debug, Error)]
pub enum Error {
    /// The address cannot be used.
    #[error(
        "cannot listen on {address} for the API server's questions: choose another with --address"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Opens the webhook's socket.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    socket::listen(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

/// Answers until shutdown, and then until nobody waits for an answer.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Arc<ServerConfig>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let host = Host {
        tls: TlsAcceptor::from(tls),
        router,
        leaving: shutdown,
        limits: LIMITS,
    };
    host.serve(listener).await;
    Ok(())
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Door {
    /// The next connection, once there is room for it. May be dropped at any time.
    async fn next(&self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(place) = self.room.clone().acquire_owned().await else {
                // Nobody closes the semaphore.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, place),
                Err(error) => {
                    warn!(%error, "cannot accept a connection, will try again");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }
}

/// What every connection gets.
#[derive(Clone)]
struct Host {
    tls: TlsAcceptor,
    router: Router,
    leaving: CancellationToken,
    limits: Limits,
}

impl Host {
    async fn serve(self, listener: TcpListener) {
        let door = Door {
            listener,
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        };
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let closing = self.closing();
        tokio::pin!(closing);
        loop {
            tokio::select! {
                (stream, place) = door.next() => {
                    let visit = self.clone().attend(stream, graceful.watcher());
                    connections.spawn(async move {
                        visit.await;
                        drop(place);
                    });
                }
                Some(_) = connections.join_next() => {}
                () = &mut closing => break,
            }
        }
        drop(door);
        if timeout(self.limits.drain, graceful.shutdown())
            .await
            .is_err()
        {
            warn!("some connections did not end in time");
        }
        info!("no more questions");
    }

    async fn closing(&self) {
        self.leaving.cancelled().await;
        sleep(self.limits.linger).await;
    }

    async fn attend(self, stream: TcpStream, watcher: Watcher) {
        match self.shake_hands(stream).await {
            Ok(stream) => self.answer(stream, watcher).await,
            // Whoever knocks without TLS, a port scanner for example, is not worth a warning.
            Err(error) => debug!(error = describe(&error), "no TLS connection"),
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        timeout(self.limits.handshake, self.tls.accept(stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn answer(self, stream: TlsStream<TcpStream>, watcher: Watcher) {
        let service = service_fn(move |request| self.clone().respond(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            debug!(error = describe(&error), "connection broken");
        }
    }

    async fn respond(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let mut response = self.router.oneshot(request.map(Body::new)).await?;
        if self.leaving.is_cancelled() {
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
