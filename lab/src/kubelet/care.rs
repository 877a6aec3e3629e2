//! One container that runs: its process and its probes.
//!
//! Owns what a probe's verdict does to the process. Whoever drops it ends the process.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::probe::{Probe, Probes, Tally};
use super::report::View;
use crate::family::Addresses;
use crate::netns::Netns;
use crate::process::{Order, Process, State};

/// Who is not ready yet is asked this often, however seldom its manifest says: nobody wants to wait for it.
const SOON: Duration = Duration::from_millis(100);

/// A container that is cared for.
#[derive(Debug)]
pub(super) struct Care {
    /// Its process.
    pub(super) process: Process,
    view: watch::Receiver<View>,
    task: AbortHandle,
}

impl Drop for Care {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a container is asked, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The node's network.
    pub(super) node: Netns,
    /// The Pod's address.
    pub(super) addresses: Addresses,
}

impl Care {
    /// Begins to care for a process, whose view is this so far. Tells when that changes.
    pub(super) fn begin(
        tasks: &mut JoinSet<()>,
        process: Process,
        probes: Probes,
        place: Place,
        view: View,
        changed: Arc<Notify>,
    ) -> Self {
        let (publish, view) = watch::channel(view);
        let carer = Carer {
            process: process.clone(),
            probes,
            place,
            publish,
            changed,
        };
        let task = tasks.spawn(carer.run());
        Self {
            process,
            view,
            task,
        }
    }

    /// What it does now.
    pub(super) fn view(&self) -> View {
        self.view.borrow().clone()
    }
}

struct Carer {
    process: Process,
    probes: Probes,
    place: Place,
    publish: watch::Sender<View>,
    changed: Arc<Notify>,
}

impl Carer {
    async fn run(self) {
        let mut course = self.process.course();
        let mut life = None;
        loop {
            let now = *course.borrow_and_update();
            let alive = match now.state {
                State::Running(_) | State::Stopped(_) => Some(now.starts),
                State::BackingOff | State::Down => None,
            };
            let is_new = alive.is_none() || alive != life;
            life = alive;
            self.tell(|view| {
                view.course = Some(now);
                if is_new {
                    (view.has_started, view.is_ready) = (false, false);
                    view.since = Timestamp::now();
                }
            });
            let ended = async {
                let is_over = |starts| {
                    move |course: &crate::process::Course| {
                        course.starts != starts
                            || matches!(course.state, State::BackingOff | State::Down)
                    }
                };
                match alive {
                    Some(starts) => course.wait_for(is_over(starts)).await.map(drop),
                    None => course.changed().await,
                }
            };
            let ended = tokio::select! {
                ended = ended => ended,
                () = self.probe(), if alive.is_some() => return,
            };
            if ended.is_err() {
                return;
            }
        }
    }

    fn tell(&self, change: impl FnOnce(&mut View)) {
        self.publish.send_modify(change);
        self.changed.notify_one();
    }

    /// Probes one life of the process, to its end.
    async fn probe(&self) {
        if let Some(startup) = &self.probes.startup {
            self.await_start(startup).await;
        }
        let is_ready = self.probes.readiness.is_none();
        self.tell(|view| (view.has_started, view.is_ready) = (true, is_ready));
        tokio::join!(self.watch_readiness(), self.watch_liveness());
        std::future::pending::<()>().await;
    }

    async fn await_start(&self, probe: &Probe) {
        tokio::time::sleep(probe.delay).await;
        let mut tally = Tally::default();
        loop {
            let is_good = probe
                .ask(&self.place.node, self.place.addresses.first)
                .await;
            let (next, verdict) = tally.after(probe, is_good);
            tally = next;
            match verdict {
                Some(true) => return,
                Some(false) => self.restart("it does not start").await,
                None => {}
            }
            tokio::time::sleep(probe.period).await;
        }
    }

    async fn watch_readiness(&self) {
        let Some(probe) = &self.probes.readiness else {
            return;
        };
        tokio::time::sleep(probe.delay).await;
        let mut tally = Tally::default();
        loop {
            let is_good = probe
                .ask(&self.place.node, self.place.addresses.first)
                .await;
            let (next, verdict) = tally.after(probe, is_good);
            tally = next;
            let was_ready = self.publish.borrow().is_ready;
            let is_ready = verdict.unwrap_or(was_ready);
            if is_ready != was_ready {
                self.tell(|view| view.is_ready = is_ready);
            }
            let pause = if is_ready { probe.period } else { SOON };
            tokio::time::sleep(pause).await;
        }
    }

    async fn watch_liveness(&self) {
        let Some(probe) = &self.probes.liveness else {
            return;
        };
        tokio::time::sleep(probe.delay).await;
        let mut tally = Tally::default();
        loop {
            tokio::time::sleep(probe.period).await;
            if matches!(self.process.state(), State::Stopped(_)) {
                // Who stopped it wants to see it stopped.
                tally = Tally::default();
                continue;
            }
            let is_good = probe
                .ask(&self.place.node, self.place.addresses.first)
                .await;
            let (next, verdict) = tally.after(probe, is_good);
            tally = next;
            if verdict == Some(false) {
                self.restart("it does not live").await;
            }
        }
    }

    async fn restart(&self, why: &str) {
        eprintln!(
            "{} is restarted, its probe says that {why}",
            self.process.name()
        );
        if let Err(error) = self.process.order(Order::Restart).await {
            eprintln!("{error}");
        }
    }
}
