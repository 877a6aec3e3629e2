//! Bodies of questions: how large they may be, how long they may take, and how many are looked at at once.
//!
//! Owns the limits on memory. What is read as JSON takes up to eighty times its length (`{"a":0}` over and over), so only a
//! few bodies are judged at once, and of large ones a single one is in memory. Small ones, as nearly all questions are, are
//! read without waiting for anybody: who sends slowly keeps nobody waiting but other large ones. Never looks into a body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The API server stores no larger objects than half of this, and a question has two.
pub(crate) const MOST: usize = 3 * 1024 * 1024;
/// Up to here a body is small; a question about an Egress of many exceptions has a third of this.
const SMALL: usize = 64 * 1024;
/// Bodies that are judged at once. Most take well below a millisecond, those with a second look a few.
const JUDGED: usize = 32;
/// Large bodies at once.
const LARGE: usize = 1;
/// The API server gives up before.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a body is not there.
#[derive(Debug, Error)]
pub enum Error {
    /// It is too large.
    #[error("the body has more than {MOST} bytes")]
    TooLarge,
    /// The connection has failed.
    #[error("the body was cut short")]
    CutShort(#[source] axum::Error),
    /// It is too slow.
    #[error("the body did not come within {}s", LIMIT.as_secs())]
    TooSlow,
    /// Others are in the way.
    #[error("too many questions at once: none of them was done within {}s", LIMIT.as_secs())]
    Busy,
}

/// The room for bodies. Clones share it.
#[derive(Debug, Clone)]
pub struct Room {
    large: Arc<Semaphore>,
    judged: Arc<Semaphore>,
}

/// A body that may be judged. It has its place until it is dropped.
#[derive(Debug)]
pub struct Whole {
    /// What came.
    pub bytes: Bytes,
    _places: [Option<OwnedSemaphorePermit>; 2],
}

impl Default for Room {
    fn default() -> Self {
        Self {
            large: Arc::new(Semaphore::new(LARGE)),
            judged: Arc::new(Semaphore::new(JUDGED)),
        }
    }
}

impl Room {
    /// The whole body, when it has come and there is room to judge it.
    pub async fn read(&self, body: Body) -> Result<Whole, Error> {
        let (bytes, large) = timeout(LIMIT, self.gather(body))
            .await
            .map_err(|_| Error::TooSlow)??;
        let judged = timeout(LIMIT, place(&self.judged))
            .await
            .map_err(|_| Error::Busy)?;
        Ok(Whole {
            bytes,
            _places: [large, judged],
        })
    }

    async fn gather(&self, body: Body) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Error> {
        let mut chunks = body.into_data_stream();
        let (mut bytes, mut large) = (BytesMut::new(), None);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(Error::CutShort)?;
            let length = bytes.len() + chunk.len();
            if length > MOST {
                return Err(Error::TooLarge);
            }
            if length > SMALL && large.is_none() {
                large = place(&self.large).await;
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes.freeze(), large))
    }
}

/// A place among these. There is always one in the end: nobody closes them.
async fn place(among: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    among.clone().acquire_owned().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes, and then nothing more for ever.
    fn stuck_after(length: usize) -> Body {
        let some = futures::stream::iter([Ok::<_, std::io::Error>(vec![b' '; length])]);
        Body::from_stream(some.chain(futures::stream::pending()))
    }

    fn of(length: usize) -> Body {
        Body::from(vec![b' '; length])
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let room = Room::default();
        for length in [0, 1, SMALL, SMALL + 1, MOST] {
            assert_eq!(room.read(of(length)).await.unwrap().bytes.len(), length);
        }
        let error = room.read(of(MOST + 1)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_keep_no_small_one_waiting() {
        let room = Room::default();
        let slow = (0..100).map(|n| room.read(stuck_after(if n % 2 == 0 { 9 } else { SMALL + 1 })));
        let mut slow = futures::future::join_all(slow);
        assert!(futures::poll!(&mut slow).is_pending());
        assert!(futures::poll!(std::pin::pin!(room.read(of(SMALL)))).is_ready());
        let ends = slow.await.into_iter().map(Result::unwrap_err);
        for error in ends {
            assert!(matches!(error, Error::TooSlow), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_large_body_is_in_memory_at_a_time() {
        let room = Room::default();
        let first = room.read(of(SMALL + 1)).await.unwrap();
        let mut second = std::pin::pin!(room.read(of(SMALL + 1)));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_judged_at_once_than_there_is_room_for() {
        let room = Room::default();
        let judged = futures::future::join_all((0..JUDGED).map(|_| room.read(of(1)))).await;
        let error = room.read(of(1)).await.unwrap_err();
        assert!(matches!(error, Error::Busy), "{error}");
        drop(judged);
        assert!(room.read(of(1)).await.is_ok());
    }
}
