//! One process that the lab keeps running, as a kubelet does: orders in, state out.
//!
//! Owns start, signals, back-off, the count of its lives and the log file. Never knows what the process is for.

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

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// What it is doing.
    pub state: State,
    /// How often it was started.
    pub starts: u32,
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

type Message = (Order, Answer);

/// A handle to a process that is being kept.
#[derive(Debug, Clone)]
pub struct Process {
    name: String,
    orders: mpsc::Sender<Message>,
    course: watch::Receiver<Course>,
}

impl Process {
    /// Starts to keep a process: it runs soon, and again after every end until ordered otherwise.
    pub fn keep(launch: Launch) -> Self {
        let (orders, inbox) = mpsc::channel(16);
        let (publish, course) = watch::channel(Course {
            state: State::BackingOff,
            starts: 0,
        });
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
            course,
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

    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is doing now.
    pub fn state(&self) -> State {
        self.course.borrow().state
    }

    /// What it is doing, now and from now on.
    pub fn course(&self) -> watch::Receiver<Course> {
        self.course.clone()
    }
}

struct Keeper {
    launch: Launch,
    inbox: mpsc::Receiver<Message>,
    publish: watch::Sender<Course>,
    backoff: Backoff,
}

/// Told when an order is carried out.
type Answer = oneshot::Sender<Result<(), String>>;

/// What follows the end of a life, or of a pause.
enum Next {
    /// Start at once, and tell whoever ordered it.
    Live(Option<Answer>),
    /// Start after this delay.
    Wait(Duration),
    /// Stay away until ordered.
    Park,
    /// The lab ends.
    End,
}

impl Keeper {
    async fn run(mut self) {
        let mut next = Next::Live(None);
        loop {
            next = match next {
                Next::Live(answer) => self.live(answer).await,
                Next::Wait(delay) => self.pause(Some(delay)).await,
                Next::Park => self.pause(None).await,
                Next::End => return,
            };
        }
    }

    /// One life, from start to end.
    async fn live(&mut self, answer: Option<Answer>) -> Next {
        let birth = Instant::now();
        let spawned = spawn(&self.launch);
        if let Some(answer) = answer {
            // Nobody waits any more: the order is carried out all the same.
            let _ = answer.send(spawned.as_ref().map(|_| ()).map_err(ToString::to_string));
        }
        let Ok(mut child) = spawned else {
            return self.wait_after(birth.elapsed());
        };
        let pid = child.id().unwrap_or_default();
        self.publish.send_modify(|course| {
            course.state = State::Running(pid);
            course.starts = course.starts.saturating_add(1);
        });
        loop {
            tokio::select! {
                _ = child.wait() => return self.wait_after(birth.elapsed()),
                message = self.inbox.recv() => {
                    let Some((order, answer)) = message else { return Next::End };
                    match self.end_by(order, &mut child, pid).await {
                        None => answer_done(answer),
                        Some(Next::Live(_)) => return Next::Live(Some(answer)),
                        Some(next) => {
                            self.tell(next.state());
                            answer_done(answer);
                            return next;
                        }
                    }
                }
            }
        }
    }

    fn tell(&self, state: State) {
        self.publish.send_modify(|course| course.state = state);
    }

    fn wait_after(&mut self, life: Duration) -> Next {
        let (delay, backoff) = self.backoff.after(life);
        self.backoff = backoff;
        Next::Wait(delay)
    }

    /// Carries out an order on a living process; what follows when this ended it.
    async fn end_by(&mut self, order: Order, child: &mut Child, pid: u32) -> Option<Next> {
        match order {
            Order::Start => return None,
            Order::Stop => return self.hold(pid, Signal::SIGSTOP, State::Stopped(pid)),
            Order::Cont => return self.hold(pid, Signal::SIGCONT, State::Running(pid)),
            // An error means that it has ended.
            Order::Kill | Order::Halt => _ = child.kill().await,
            Order::Shutdown | Order::Restart => {
                if let Some(next) = self.end(child, pid).await {
                    return Some(next);
                }
            }
        }
        Some(match order {
            Order::Kill => self.wait_after(Duration::ZERO),
            Order::Restart => {
                self.backoff = Backoff::default();
                Next::Live(None)
            }
            _ => Next::Park,
        })
    }

    /// Ends a process: SIGTERM (and SIGCONT, should it be stopped), then SIGKILL after the grace, or as soon as somebody
    /// says so; what follows then.
    async fn end(&mut self, child: &mut Child, pid: u32) -> Option<Next> {
        signal(pid, Signal::SIGTERM);
        signal(pid, Signal::SIGCONT);
        let until = Instant::now() + self.launch.grace;
        let (next, answer) = loop {
            let message = tokio::select! {
                _ = child.wait() => return None,
                () = tokio::time::sleep_until(until) => break (None, None),
                message = self.inbox.recv() => message,
            };
            match message {
                None => break (Some(Next::End), None),
                Some((Order::Halt, answer)) => break (Some(Next::Park), Some(answer)),
                Some((Order::Kill, answer)) => break (None, Some(answer)),
                Some((_, answer)) => {
                    // Nobody waits any more: there is nothing to take back.
                    let _ = answer.send(Err("it is just ending".to_owned()));
                }
            }
        };
        // An error means that it has ended.
        let _ = child.kill().await;
        answer.into_iter().for_each(answer_done);
        next
    }

    fn hold(&self, pid: u32, name: Signal, state: State) -> Option<Next> {
        signal(pid, name);
        self.tell(state);
        None
    }

    /// Between two lives: until the delay is over, or an order says otherwise.
    async fn pause(&mut self, delay: Option<Duration>) -> Next {
        self.tell(delay.map_or(Next::Park, Next::Wait).state());
        let until = delay.map(|delay| Instant::now() + delay);
        loop {
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                () = over => return Next::Live(None),
                message = self.inbox.recv() => message,
            };
            match message {
                None => return Next::End,
                Some((Order::Start | Order::Restart, answer)) => return Next::Live(Some(answer)),
                Some((Order::Halt | Order::Shutdown, answer)) => {
                    self.tell(State::Down);
                    answer_done(answer);
                    return Next::Park;
                }
                Some((Order::Kill, answer)) => answer_done(answer),
                Some((Order::Stop | Order::Cont, answer)) => {
                    // Nobody waits any more: there is nothing to take back.
                    let _ = answer.send(Err("it does not run".to_owned()));
                }
            }
        }
    }
}

impl Next {
    /// What the process is doing until this has happened.
    fn state(&self) -> State {
        match self {
            Self::Live(_) | Self::Wait(_) => State::BackingOff,
            Self::Park | Self::End => State::Down,
        }
    }
}

fn answer_done(answer: Answer) {
    // Nobody waits any more: the order is carried out all the same.
    let _ = answer.send(Ok(()));
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

fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // The child is not reaped yet, so the number is still its own; it may have ended.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
