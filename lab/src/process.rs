//! One process that the lab keeps running, as a kubelet does: orders in, state out.
//!
//! Owns start, signals, back-off and the log file. Never knows what the process is for.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::netns::Netns;

#[cfg(test)]
mod tests;

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Its name in the lab, as `agent/node-1`.
    pub name: String,
    /// Where it runs.
    pub netns: Netns,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment beside the supervisor's own.
    pub env: Vec<(String, OsString)>,
    /// Where its output goes, appended.
    pub log: PathBuf,
    /// How long a SIGTERM may take before SIGKILL follows.
    pub grace: Duration,
}

/// What a process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// SIGKILL; it is started again after the back-off.
    Kill,
    /// SIGKILL; it stays away until a start or restart.
    Halt,
    /// SIGTERM, SIGKILL after the grace; it stays away until a start or restart.
    Shutdown,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Cont,
    /// SIGTERM and a new one at once.
    Restart,
    /// A new one, unless one runs.
    Start,
}

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs, under this number in the lab.
    Running(u32),
    /// It is stopped by SIGSTOP.
    Stopped(u32),
    /// It ended and will be started again.
    BackingOff,
    /// It is meant to be away.
    Down,
}

/// Delays between an end and the next start: 0.1 s, doubled up to 5 s, from the beginning again
/// after a life of 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);
    const GOOD_LIFE: Duration = Duration::from_secs(10);

    /// The delay after a life of this length, and the state for the next.
    pub fn after(self, life: Duration) -> (Duration, Self) {
        let delay = if life >= Self::GOOD_LIFE {
            Self::FIRST
        } else {
            self.0
        };
        (delay, Self((delay * 2).min(Self::LONGEST)))
    }
}

/// The process did not carry out an order.
#[derive(Debug, thiserror::Error)]
#[error("{name} did not {order:?}: {reason}")]
pub struct OrderError {
    name: String,
    order: Order,
    reason: String,
}

type Message = (Order, oneshot::Sender<Result<(), String>>);

/// A handle to a process that is being kept.
#[derive(Debug, Clone)]
pub struct Process {
    name: String,
    orders: mpsc::Sender<Message>,
    state: watch::Receiver<State>,
}

impl Process {
    /// Starts to keep a process; it runs soon, or stays down until a start when `down`.
    pub fn keep(launch: Launch) -> Self {
        let (orders, inbox) = mpsc::channel(16);
        let (publish, state) = watch::channel(State::BackingOff);
        let name = launch.name.clone();
        tokio::spawn(
            Keeper {
                launch,
                inbox,
                publish,
                backoff: Backoff::default(),
            }
            .run(),
        );
        Self {
            name,
            orders,
            state,
        }
    }

    /// Gives an order and waits until it is carried out.
    pub async fn order(&self, order: Order) -> Result<(), OrderError> {
        let failed = |reason: String| OrderError {
            name: self.name.clone(),
            order,
            reason,
        };
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send((order, reply)).await;
        sent.map_err(|_| failed("its keeper is gone".to_owned()))?;
        answer
            .await
            .map_err(|_| failed("its keeper is gone".to_owned()))?
            .map_err(failed)
    }

    /// What it is doing now.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }
}

struct Keeper {
    launch: Launch,
    inbox: mpsc::Receiver<Message>,
    publish: watch::Sender<State>,
    backoff: Backoff,
}

/// What follows the end of a life.
enum Next {
    Again,
    Wait(Duration),
    Park,
    End,
}

impl Keeper {
    async fn run(mut self) {
        let mut next = Next::Again;
        let mut waiting = None;
        loop {
            next = match next {
                Next::Again => self.live(waiting.take()).await,
                Next::Wait(delay) => self.pause(Some(delay), &mut waiting).await,
                Next::Park => self.pause(None, &mut waiting).await,
                Next::End => return,
            };
        }
    }

    /// One life, from start to end.
    async fn live(&mut self, started: Option<oneshot::Sender<Result<(), String>>>) -> Next {
        let birth = Instant::now();
        let spawned = spawn(&self.launch);
        if let Some(started) = started {
            // Nobody waits any more: the order is carried out all the same.
            let _ = started.send(spawned.as_ref().map(|_| ()).map_err(ToString::to_string));
        }
        let Ok(mut child) = spawned else {
            return self.wait_after(birth);
        };
        let pid = child.id().unwrap_or_default();
        self.publish.send_replace(State::Running(pid));
        loop {
            tokio::select! {
                _ = child.wait() => return self.wait_after(birth),
                message = self.inbox.recv() => {
                    let Some((order, reply)) = message else { return Next::End };
                    if let Some(next) = self.obey(order, reply, &mut child, pid).await {
                        return next;
                    }
                }
            }
        }
    }

    fn wait_after(&mut self, birth: Instant) -> Next {
        let (delay, backoff) = self.backoff.after(birth.elapsed());
        self.backoff = backoff;
        Next::Wait(delay)
    }

    /// Carries out an order on a living process; something when this ended it.
    async fn obey(
        &mut self,
        order: Order,
        reply: oneshot::Sender<Result<(), String>>,
        child: &mut Child,
        pid: u32,
    ) -> Option<Next> {
        let next = match order {
            Order::Start => None,
            Order::Stop | Order::Cont => {
                let (name, state) = match order {
                    Order::Stop => (Signal::SIGSTOP, State::Stopped(pid)),
                    _ => (Signal::SIGCONT, State::Running(pid)),
                };
                signal(pid, name);
                self.publish.send_replace(state);
                None
            }
            Order::Kill | Order::Halt => {
                end(child, pid, Duration::ZERO).await;
                let (delay, backoff) = self.backoff.after(Duration::ZERO);
                self.backoff = backoff;
                Some(if order == Order::Kill {
                    Next::Wait(delay)
                } else {
                    Next::Park
                })
            }
            Order::Shutdown => {
                end(child, pid, self.launch.grace).await;
                Some(Next::Park)
            }
            Order::Restart => {
                end(child, pid, self.launch.grace).await;
                let spawned = self.live_again(reply).await;
                return Some(spawned);
            }
        };
        if let Some(next) = &next {
            self.publish.send_replace(match next {
                Next::Park => State::Down,
                _ => State::BackingOff,
            });
        }
        let _ = reply.send(Ok(()));
        next
    }

    async fn live_again(&mut self, reply: oneshot::Sender<Result<(), String>>) -> Next {
        self.backoff = Backoff::default();
        Box::pin(self.live(Some(reply))).await
    }

    /// Between two lives: until the delay is over, or an order says otherwise.
    async fn pause(
        &mut self,
        delay: Option<Duration>,
        waiting: &mut Option<oneshot::Sender<Result<(), String>>>,
    ) -> Next {
        let state = if delay.is_some() {
            State::BackingOff
        } else {
            State::Down
        };
        self.publish.send_replace(state);
        let until = delay.map(|delay| Instant::now() + delay);
        loop {
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                () = over => return Next::Again,
                message = self.inbox.recv() => message,
            };
            let Some((order, reply)) = message else {
                return Next::End;
            };
            if matches!(order, Order::Start | Order::Restart) {
                *waiting = Some(reply);
                return Next::Again;
            }
            let refused = matches!(order, Order::Stop | Order::Cont);
            let answer = if refused {
                Err("it does not run".to_owned())
            } else {
                Ok(())
            };
            let _ = reply.send(answer);
            if matches!(order, Order::Halt | Order::Shutdown) {
                return Next::Park;
            }
        }
    }
}

fn spawn(launch: &Launch) -> std::io::Result<Child> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&launch.log)?;
    let mut line = launch.netns.entry();
    line.push(launch.program.clone().into());
    line.extend(launch.args.iter().cloned());
    let (program, args) = line.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(args)
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
}

/// Ends a process: SIGTERM (and SIGCONT, should it be stopped), then SIGKILL after the grace.
async fn end(child: &mut Child, pid: u32, grace: Duration) {
    if !grace.is_zero() {
        signal(pid, Signal::SIGTERM);
        signal(pid, Signal::SIGCONT);
        if tokio::time::timeout(grace, child.wait()).await.is_ok() {
            return;
        }
    }
    // An error means that it has ended.
    let _ = child.kill().await;
}

fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // The child is not reaped yet, so the number is still its own; it may have ended.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
