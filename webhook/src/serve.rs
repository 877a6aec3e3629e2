//! Connections: TLS, what they may take in time and room, and their end.
//!
//! Owns the life of a connection. Handshakes happen beside each other. Who shakes no hands, asks nothing or takes no answer
//! within a time is shown the door, for anybody can come in; when all places are taken, [`crate::guests`] says who goes.
//! At the end nothing is lost: for a while everything is answered as before, but the client is told with
//! each answer to come back on another connection, by when others have been told to send it elsewhere; then those that are
//! left get the answers they wait for. Never reads a request.
//!
//! HTTP/1.1 only: the API server asks webhooks with nothing else.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use egret_runtime::live::Pulse;
use egret_runtime::{describe, socket};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::guests::{Doing, Guests};
use crate::outgoing::Outgoing;

/// Bytes of a connection that are read ahead: a question's head is far smaller, its body is taken as it comes.
const READ_AHEAD: usize = 32 * 1024;
/// After an answer, without another request for so long, a connection ends. The API server's own limit is 90 s: so it is the one that ends it,
/// and no request can cross with the end.
const IDLE_LIMIT: Duration = Duration::from_mins(2);
/// After failing to accept (no file descriptors, for example).
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Lingering and draining together take less than the process has for all of its tasks to stop.
const LIMITS: Limits = Limits {
    connections: 512,
    handshake: Duration::from_secs(5),
    first_question: Duration::from_secs(10),
    answer: Duration::from_secs(5),
    linger: Duration::from_secs(3),
    drain: Duration::from_secs(5),
};

/// How much room and time things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections at once; for more, others have to go.
    connections: usize,
    /// A handshake: it needs two round trips and a signature.
    handshake: Duration,
    /// From then until the first question. The API server opens a connection when it has one; that it is asked over
    /// another, which has become free meanwhile, is rare.
    first_question: Duration,
    /// For the client to take an answer.
    answer: Duration,
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
    pulse: Pulse,
) -> Result<(), Error> {
    let host = Host {
        tls: TlsAcceptor::from(tls),
        router,
        leaving: shutdown,
        limits: LIMITS,
    };
    host.serve(listener, pulse).await;
    Ok(())
}

/// Where connections come in.
struct Door(TcpListener);

impl Door {
    /// The next connection. May be dropped at any time.
    async fn next(&self) -> (TcpStream, IpAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => return (stream, peer.ip().to_canonical()),
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
    async fn serve(self, listener: TcpListener, pulse: Pulse) {
        let door = Door(listener);
        let graceful = GracefulShutdown::new();
        let mut guests = Guests::new(self.limits.connections);
        let closing = self.closing();
        tokio::pin!(closing);
        loop {
            pulse.beat();
            tokio::select! {
                (stream, peer) = door.next() => {
                    if guests.make_room(peer) {
                        let (doing, seen) = watch::channel(Doing::Waiting(Instant::now()));
                        let visit = self.clone().attend(stream, graceful.watcher(), doing);
                        guests.welcome(peer, seen, visit);
                    } else {
                        debug!("no room for another connection of this peer");
                    }
                }
                Some(()) = guests.part() => {}
                () = pulse.due() => {}
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

    async fn attend(self, stream: TcpStream, watcher: Watcher, doing: watch::Sender<Doing>) {
        match self.shake_hands(stream).await {
            Ok(stream) => self.answer(stream, watcher, doing).await,
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

    async fn answer(
        self,
        stream: TlsStream<TcpStream>,
        watcher: Watcher,
        doing: watch::Sender<Doing>,
    ) {
        let Limits {
            first_question,
            answer,
            ..
        } = self.limits;
        let seen = doing.subscribe();
        let doing = Arc::new(doing);
        let service = service_fn(move |request| self.clone().respond(request, doing.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_LIMIT)
            .max_buf_size(READ_AHEAD)
            .serve_connection(TokioIo::new(Outgoing::new(stream, answer)), service);
        tokio::select! {
            ended = watcher.watch(connection) => if let Err(error) = ended {
                debug!(error = describe(&error), "connection broken");
            },
            () = silence(seen, first_question) => debug!("nothing was asked"),
        }
    }

    async fn respond(
        self,
        request: Request<Incoming>,
        doing: Arc<watch::Sender<Doing>>,
    ) -> Result<Response<Body>, Infallible> {
        doing.send_replace(Doing::Answering(Instant::now()));
        let mut response = self.router.oneshot(request.map(Body::new)).await?;
        if self.leaving.is_cancelled() {
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        doing.send_replace(Doing::Waiting(Instant::now()));
        Ok(response)
    }
}

/// Ends when nothing has been asked for so long; never, if something has.
async fn silence(mut seen: watch::Receiver<Doing>, limit: Duration) {
    if timeout(limit, seen.changed()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
