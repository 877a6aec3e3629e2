//! Named tasks and their common end.
//!
//! Owns the rule that a task which ends before shutdown ends the process: a process that has lost a part of itself is
//! started again rather than left half alive. Never ignores how a task ended.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::Failure;

/// Why a process ends though nobody asked it to.
#[derive(Debug, Error)]
pub enum Fatal {
    /// A task failed.
    #[error("{task} failed")]
    Failed {
        /// The task.
        task: &'static str,
        /// Why.
        source: Failure,
    },
    /// A task came to an end that has none.
    #[error("{task} ended unexpectedly")]
    Ended {
        /// The task.
        task: &'static str,
    },
    /// A task panicked.
    #[error("{task} panicked")]
    Panicked {
        /// The task.
        task: &'static str,
        /// With its message.
        source: JoinError,
    },
    /// Tasks did not end in time after shutdown.
    #[error("{} did not stop within {}s", tasks.join(", "), grace.as_secs())]
    Stuck {
        /// The tasks.
        tasks: Vec<&'static str>,
        /// The time they had.
        grace: Duration,
    },
}

/// The tasks of a process.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<Result<(), Failure>>,
    names: BTreeMap<Id, &'static str>,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Cancelled when the process is to end; a task may then return `Ok`.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task. Returning before shutdown, with or without an error, or panicking, ends the process.
    pub fn spawn<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure> + 'static,
    {
        let handle = self
            .running
            .spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Starts a task that never fails and needs no time to stop: it is dropped at shutdown.
    pub fn spawn_until_shutdown<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.shutdown();
        self.spawn(name, async move {
            shutdown.run_until_cancelled_owned(task).await;
            Ok::<(), Failure>(())
        });
    }

    /// Starts a task that never fails, and ends by itself soon after shutdown, which it is given to wait for.
    pub fn spawn_to_end<F>(
        &mut self,
        name: &'static str,
        task: impl FnOnce(WaitForCancellationFutureOwned) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.shutdown().cancelled_owned());
        self.spawn(name, async move {
            task.await;
            Ok::<(), Failure>(())
        });
    }

    /// Waits for a task that ends before shutdown, or for `asked` and then, at most for `grace`, for all tasks.
    pub async fn run(
        mut self,
        asked: impl Future<Output = ()>,
        grace: Duration,
    ) -> Result<(), Fatal> {
        tokio::pin!(asked);
        let first = tokio::select! {
            () = &mut asked => Ok(()),
            fatal = self.first_end() => Err(fatal),
        };
        self.shutdown.cancel();
        let rest = self.stop(grace).await;
        first.and(rest)
    }

    async fn first_end(&mut self) -> Fatal {
        loop {
            match self.running.join_next_with_id().await {
                Some(Ok((id, Ok(())))) => {
                    return Fatal::Ended {
                        task: self.take_name(id),
                    };
                }
                Some(end) => {
                    if let Err(fatal) = self.judge(end) {
                        return fatal;
                    }
                }
                // A process without tasks waits for its signal.
                None => std::future::pending().await,
            }
        }
    }

    async fn stop(mut self, grace: Duration) -> Result<(), Fatal> {
        match timeout(grace, self.join_all()).await {
            Ok(result) => result,
            Err(_) => Err(Fatal::Stuck {
                tasks: self.names.into_values().collect(),
                grace,
            }),
        }
    }

    async fn join_all(&mut self) -> Result<(), Fatal> {
        let mut result = Ok(());
        while let Some(end) = self.running.join_next_with_id().await {
            result = result.and(self.judge(end));
        }
        result
    }

    fn judge(&mut self, end: Result<(Id, Result<(), Failure>), JoinError>) -> Result<(), Fatal> {
        match end {
            Ok((id, result)) => {
                let task = self.take_name(id);
                result.map_err(|source| Fatal::Failed { task, source })
            }
            Err(source) => Err(Fatal::Panicked {
                task: self.take_name(source.id()),
                source,
            }),
        }
    }

    fn take_name(&mut self, id: Id) -> &'static str {
        self.names.remove(&id).unwrap_or("a task")
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::io;

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_ends_the_others_and_the_process() {
        let mut tasks = Tasks::default();
        let told = tasks.shutdown();
        tasks.spawn("feed", ready(Err(io::Error::other("no more"))));
        tasks.spawn_until_shutdown("writer", pending());
        let fatal = tasks.run(pending(), GRACE).await.unwrap_err();
        assert!(
            matches!(&fatal, Fatal::Failed { task: "feed", .. }),
            "{fatal:?}"
        );
        assert!(told.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_too_early_ends_the_process() {
        let mut tasks = Tasks::default();
        tasks.spawn("feed", ready(Ok::<(), Failure>(())));
        let fatal = tasks.run(pending(), GRACE).await.unwrap_err();
        assert_eq!(fatal.to_string(), "feed ended unexpectedly");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_the_process() {
        let mut tasks = Tasks::default();
        tasks.spawn_until_shutdown("feed", async { panic!("out of range") });
        let fatal = tasks.run(pending(), GRACE).await.unwrap_err();
        assert!(
            crate::describe(&fatal).contains("out of range"),
            "{fatal:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_may_finish_their_work_at_shutdown() {
        let mut tasks = Tasks::default();
        let shutdown = tasks.shutdown();
        tasks.spawn("writer", async move {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE / 2).await;
            Ok::<(), Failure>(())
        });
        assert!(tasks.run(ready(()), GRACE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_given_the_end_finishes_after_it() {
        let mut tasks = Tasks::default();
        let (done, is_done) = tokio::sync::oneshot::channel();
        tasks.spawn_to_end("keeper", |end| async move {
            end.await;
            let _ = done.send("finished");
        });
        assert!(tasks.run(ready(()), GRACE).await.is_ok());
        assert_eq!(is_done.await, Ok("finished"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("writer", pending::<Result<(), Failure>>());
        let fatal = tasks.run(ready(()), GRACE).await.unwrap_err();
        assert_eq!(fatal.to_string(), "writer did not stop within 5s");
    }
}
