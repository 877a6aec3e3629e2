//! A client that sends only while it may.
//!
//! Owns the last look at the clock before anything is sent: once before a request, and once more before each time that
//! bytes are handed to the kernel, for the process may have been stopped in between, or have waited for a connection.
//! And the end of what was sent: the kernel, the API server and this client each give it up, so that after a known time it
//! has been made or never will be. Never decides who may write.
//!
//! What is left: a process that is stopped between the look at the clock and the system call, some instructions later,
//! sends one request when it goes on; and an API server that is itself stopped takes up late what it has received.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use nix::time::{ClockId, clock_gettime};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower::{BoxError, Service};

/// The time since this machine was started, which goes on while it sleeps. A clock that cannot be read is at the end of
/// all times: nobody may write any more.
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}

/// Why something was not sent, or was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// This process may not write, or not any more.
    #[error("not sent: another replica may write now")]
    Expired,
    /// It was not answered in time. It may have happened.
    #[error("given up: not answered in time")]
    Unanswered,
}

impl Refusal {
    /// The refusal that has led to an error, if one has.
    pub(crate) fn in_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        // An error of input and output does not count its content among its causes.
        let inside = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let inside = inside.and_then(|inside| inside.downcast_ref::<Self>());
        let own = error.downcast_ref::<Self>().or(inside).copied();
        own.or_else(|| Self::in_error(error.source()?))
    }
}

/// The right to write, until a time. Clones share it.
#[derive(Debug, Clone)]
pub struct Permit {
    shared: Arc<Shared>,
    in_flight: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    /// Since boot, in nanoseconds.
    until_ns: AtomicU64,
    under_way: Mutex<UnderWay>,
    answered: Notify,
}

#[derive(Debug, Default)]
struct UnderWay {
    requests: usize,
    /// Until then something may happen that was given up.
    unsure_until: Duration,
}

impl Permit {
    /// No right. What is sent under it has happened after `in_flight`, or never does.
    pub fn none(in_flight: Duration) -> Self {
        Self {
            shared: Arc::default(),
            in_flight,
        }
    }

    /// From now on it may be written until this time since boot; `None`: not at all.
    pub fn set(&self, until: Option<Duration>) {
        let until_ns = until.map_or(0, |until| {
            u64::try_from(until.as_nanos()).unwrap_or(u64::MAX)
        });
        self.shared.until_ns.store(until_ns, Ordering::SeqCst);
    }

    /// Whether it may be written now.
    pub fn check(&self) -> Result<(), Refusal> {
        let until = Duration::from_nanos(self.shared.until_ns.load(Ordering::SeqCst));
        if since_boot() < until {
            Ok(())
        } else {
            Err(Refusal::Expired)
        }
    }

    /// Waits until nothing that was sent can happen any more. It ends soon after the right has.
    pub async fn settled(&self) {
        loop {
            let answered = self.shared.answered.notified();
            let (requests, unsure_until) = {
                let under_way = self.lock();
                (under_way.requests, under_way.unsure_until)
            };
            let unsure = unsure_until.saturating_sub(since_boot());
            match (requests, unsure) {
                (0, Duration::ZERO) => return,
                (0, unsure) => sleep(unsure).await,
                _ => answered.await,
            }
        }
    }

    /// How long the kernel tries to deliver what was sent.
    pub(crate) fn delivery(&self) -> Duration {
        self.in_flight / 3
    }

    /// How long the API server works on what it has received.
    fn handling(&self) -> Duration {
        self.in_flight.saturating_sub(self.delivery())
    }

    fn begin(&self) -> Result<Passage, Refusal> {
        self.check()?;
        self.lock().requests += 1;
        Ok(Passage {
            permit: self.clone(),
            is_answered: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        let under_way = &self.shared.under_way;
        under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has been sent, or is about to be.
struct Passage {
    permit: Permit,
    is_answered: bool,
}

impl Drop for Passage {
    fn drop(&mut self) {
        let unsure_until = since_boot().saturating_add(self.permit.in_flight);
        let mut under_way = self.permit.lock();
        under_way.requests = under_way.requests.saturating_sub(1);
        if !self.is_answered {
            under_way.unsure_until = under_way.unsure_until.max(unsure_until);
        }
        drop(under_way);
        self.permit.shared.answered.notify_waiters();
    }
}

/// A service, or a connection, or what makes connections, that sends only under a permit.
#[derive(Debug, Clone)]
pub(crate) struct Fenced<T> {
    inner: T,
    permit: Permit,
}

impl<T> Fenced<T> {
    /// Puts this behind the permit.
    pub(crate) fn new(inner: T, permit: Permit) -> Self {
        Self { inner, permit }
    }
}

type Sending<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl<S, B, R> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>, Response = R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = R;
    type Error = BoxError;
    type Future = Sending<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that is ready; its clone need not be.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let permit = self.permit.clone();
        Box::pin(async move {
            limit(request.uri_mut(), permit.handling())?;
            let mut passage = permit.begin()?;
            let answer = timeout(permit.in_flight, inner.call(request)).await;
            let answer = answer.map_err(|_| Refusal::Unanswered)??;
            passage.is_answered = true;
            Ok(answer)
        })
    }
}

/// Has the API server give up a request after this time: its parameter `timeout`.
fn limit(uri: &mut Uri, handling: Duration) -> Result<(), http::Error> {
    let mark = if uri.query().is_some() { '&' } else { '?' };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = format!("{path}{mark}timeout={}ms", handling.as_millis());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.try_into()?);
    *uri = Uri::from_parts(parts)?;
    Ok(())
}

/// Makes connections that send only under a permit.
#[derive(Debug, Clone)]
pub(crate) struct Connector<C>(pub Fenced<C>);

impl<C> Service<Uri> for Connector<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = Fenced<C::Response>;
    type Error = BoxError;
    type Future = Sending<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, permit) = (self.0.inner.call(uri), self.0.permit.clone());
        Box::pin(async move {
            let connection = connecting.await.map_err(Into::into)?;
            Ok(Fenced::new(connection, permit))
        })
    }
}

impl<T: Connection> Connection for Fenced<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl<T: Read + Unpin> Read for Fenced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for Fenced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.permit.check().map_err(io::Error::other)?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
