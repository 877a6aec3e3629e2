//! A stream whose other end has to take what it is sent.
//!
//! Owns the limit on that: hyper has one for what is read, but none for what is written. Never looks at what passes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream that fails when the other end has not taken everything within a time.
#[derive(Debug)]
pub struct Outgoing<S> {
    stream: S,
    limit: Duration,
    /// Runs from the first byte that has to wait until all are gone: taking them one by one gains no time.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> Outgoing<S> {
    /// The stream with its limit.
    pub fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            end: None,
        }
    }

    /// What is left to say when the stream has to wait.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = self.limit;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outgoing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outgoing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => {
                self.end = None;
                done
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (near, _far) = duplex(1);
        let error = Outgoing::new(near, LIMIT).write_all(b"answer").await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_one_byte_at_a_time_is_given_up_too() {
        let (near, mut far) = duplex(1);
        tokio::spawn(async move {
            while far.read_u8().await.is_ok() {
                sleep(LIMIT / 2).await;
            }
        });
        let error = Outgoing::new(near, LIMIT).write_all(b"answer").await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_own_time() {
        let (near, mut far) = duplex(1);
        let mut near = BufWriter::with_capacity(8, Outgoing::new(near, LIMIT));
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 4];
            for _ in 0..4 {
                sleep(LIMIT / 2).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
        });
        for _ in 0..4 {
            near.write_all(b"yes\n").await.unwrap();
            near.flush().await.unwrap();
        }
        reading.await.unwrap();
    }
}
