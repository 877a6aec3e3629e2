//! The life of one of Egret's Pods: volumes first, then its containers as processes, its status, its end.
//!
//! One task per Pod. Owns the order of these steps; whether a Pod shall live at all is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::care::{Care, Place};
use super::container::{IMAGES, Runnable};
use super::field::Fields;
use super::probe::Probes;
use super::report::{Report, View};
use super::slot::{Slot, Slots};
use super::sources::Sources;
use super::status;
use super::supplies::{self, Supplies};
use crate::containment::Containment;
use crate::family::Addresses;
use crate::home::Home;
use crate::netns::Netns;
use crate::process::{Launch, Order, Process};
use crate::spec::LabSpec;
use crate::topology::{NodeId, PodKey};

/// How soon something that did not work is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long a SIGTERM may take unless the Pod says how long.
const GRACE_S: i64 = 30;

/// What all lives share.
pub(super) struct Surroundings {
    pub(super) spec: Arc<LabSpec>,
    pub(super) home: Home,
    pub(super) client: Client,
    pub(super) sources: watch::Receiver<Sources>,
    pub(super) slots: watch::Sender<Slots>,
    /// The nodes that the API server does not hear.
    pub(super) apart: watch::Receiver<BTreeSet<NodeId>>,
    /// Told when the end of a Pod, which it was asked for, has come.
    pub(super) ended: mpsc::Sender<PodKey>,
}

/// Which Pod begins to live, and where.
#[derive(Debug, Clone)]
pub(super) struct Birth {
    pub(super) key: PodKey,
    pub(super) uid: String,
    pub(super) pod: Arc<Pod>,
    pub(super) node: NodeId,
    pub(super) addresses: Addresses,
    /// The name of its network namespace.
    pub(super) netns: String,
    pub(super) slot: String,
}

/// What a life is told.
enum Call {
    /// The node's power went or came.
    Power(bool, oneshot::Sender<()>),
    /// End in order, within this time.
    End(Duration),
    /// End now.
    Kill(oneshot::Sender<()>),
}

/// A handle to a life.
pub(super) struct Life {
    pub(super) uid: String,
    calls: mpsc::Sender<Call>,
}

impl Life {
    /// Begins a life.
    pub(super) fn begin(around: Arc<Surroundings>, birth: Birth) -> Self {
        let (calls, inbox) = mpsc::channel(16);
        let uid = birth.uid.clone();
        tokio::spawn(Living::new(around, birth).run(inbox));
        Self { uid, calls }
    }

    /// Tells it about its node's power and waits until it has done what follows from that.
    pub(super) async fn power(&self, on: bool) {
        self.call(|done| Call::Power(on, done)).await;
    }

    /// Lets it end in order.
    pub(super) async fn end(&self, grace: Duration) {
        // One that is over needs no end.
        let _ = self.calls.send(Call::End(grace)).await;
    }

    /// Ends it now.
    pub(super) async fn kill(&self) {
        self.call(Call::Kill).await;
    }

    async fn call(&self, call: impl FnOnce(oneshot::Sender<()>) -> Call) {
        let (done, answer) = oneshot::channel();
        // One that is over does not answer.
        if self.calls.send(call(done)).await.is_ok() {
            let _ = answer.await;
        }
    }
}

struct Living {
    around: Arc<Surroundings>,
    birth: Birth,
    folder: PathBuf,
    supplies: Supplies,
    containers: Vec<Care>,
    tasks: JoinSet<()>,
    waits_for: Option<String>,
    again_at: Option<Instant>,
    has_power: bool,
    ending: Option<JoinHandle<()>>,
    leaving: watch::Receiver<bool>,
    changed: Arc<Notify>,
    since: Timestamp,
    /// Whether it was ready when that was last said, and since when.
    ready: (bool, Timestamp),
    status: watch::Sender<serde_json::Value>,
}

impl Living {
    fn new(around: Arc<Surroundings>, birth: Birth) -> Self {
        let (leave, leaving) = watch::channel(false);
        let (status, written) = watch::channel(serde_json::Value::Null);
        let slot = Slot {
            node: birth.node,
            addresses: birth.addresses,
            process: None,
            leaving: Arc::new(leave),
        };
        around
            .slots
            .send_modify(|slots| _ = slots.insert(birth.slot.clone(), slot));
        let mut tasks = JoinSet::new();
        let client = around.client.clone();
        tasks.spawn(status::write_own(
            client,
            birth.key.clone(),
            birth.uid.clone(),
            written,
        ));
        let now = Timestamp::now();
        Self {
            folder: around.home.pod(&birth.uid),
            around,
            birth,
            supplies: Supplies::default(),
            containers: Vec::new(),
            tasks,
            waits_for: None,
            again_at: None,
            has_power: true,
            ending: None,
            leaving,
            changed: Arc::new(Notify::new()),
            since: now,
            ready: (false, now),
            status,
        }
    }

    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut sources = self.around.sources.clone();
        let mut apart = self.around.apart.clone();
        let mut leaving = self.leaving.clone();
        let changed = self.changed.clone();
        self.refresh().await;
        loop {
            self.report();
            let due = self.supplies.due().into_iter().chain(self.again_at).min();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let is_over = async {
                match &mut self.ending {
                    Some(ending) => _ = ending.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = is_over => return self.leave(None).await,
                call = calls.recv() => match call {
                    Some(Call::Power(on, done)) => {
                        self.power(on).await;
                        // Whoever asked may be gone.
                        let _ = done.send(());
                    }
                    Some(Call::End(grace)) => self.end(grace),
                    Some(Call::Kill(done)) => return self.leave(Some(done)).await,
                    None => return self.leave(None).await,
                },
                _ = sources.changed() => self.refresh().await,
                () = is_due => self.refresh().await,
                _ = apart.changed() => {}
                _ = leaving.changed() => {}
                () = changed.notified() => {}
            }
        }
    }

    /// Brings the volumes up to date, and starts the containers when that succeeds the first time.
    async fn refresh(&mut self) {
        let done = self.supply().await.and_then(|()| self.start());
        self.again_at = None;
        if let Err(words) = done {
            if self.waits_for.as_ref() != Some(&words) {
                eprintln!("{} ({}): {words}", self.birth.slot, self.birth.key);
            }
            self.again_at = Some(Instant::now() + AGAIN_AFTER);
            self.waits_for = Some(words);
        } else {
            self.waits_for = None;
        }
    }

    async fn supply(&mut self) -> Result<(), String> {
        let sources = self.around.sources.borrow().clone();
        let client = &self.around.client;
        let (birth, supplies) = (&self.birth, &mut self.supplies);
        let filled = supplies.refresh(client, &self.folder, &sources, fields(birth));
        filled.await.map_err(|error| error.to_string())
    }

    fn start(&mut self) -> Result<(), String> {
        if !self.containers.is_empty() || !self.has_power || self.ending.is_some() {
            return Ok(());
        }
        let pod = self.birth.pod.clone();
        let spec = pod.spec.as_ref().ok_or("it has no spec")?;
        if spec.init_containers.iter().flatten().next().is_some() {
            return Err("init containers are not supported in this lab".to_owned());
        }
        let prepared: Result<Vec<_>, String> = (spec.containers.iter().enumerate())
            .map(|(index, container)| self.prepare(spec, index, container))
            .collect();
        let mut containers = Vec::new();
        for (launch, probes, view) in prepared? {
            let place = Place {
                node: Netns::Named(self.birth.node.to_string()),
                addresses: self.birth.addresses,
            };
            let (changed, process) = (self.changed.clone(), Process::keep(launch));
            let tasks = &mut self.tasks;
            containers.push(Care::begin(tasks, process, probes, place, view, changed));
        }
        self.containers = containers;
        self.publish();
        Ok(())
    }

    /// Commands know the first container by the Pod's slot, others below it.
    fn publish(&self) {
        self.around.slots.send_modify(|slots| {
            let Some(slot) = slots.get(&self.birth.slot).cloned() else {
                return;
            };
            for care in &self.containers {
                let mut named = slot.clone();
                named.process = Some(care.process.clone());
                slots.insert(care.process.name().to_owned(), named);
            }
        });
    }

    fn prepare(
        &self,
        spec: &PodSpec,
        index: usize,
        container: &Container,
    ) -> Result<(Launch, Probes, View), String> {
        let runnable = Runnable::of(container, &fields(&self.birth));
        let runnable = runnable.map_err(|error| error.to_string())?;
        let probes = Probes::of(container).map_err(|error| error.to_string())?;
        let name = if index == 0 {
            self.birth.slot.clone()
        } else {
            format!("{}/{}", self.birth.slot, container.name)
        };
        let file = self.folder.join(format!("{}.json", container.name));
        let stage = self.folder.join("stages").join(&container.name);
        let containment = self.containment(runnable, stage)?;
        write(&file, &containment).map_err(|error| format!("{}: {error}", file.display()))?;
        let grace = spec.termination_grace_period_seconds.unwrap_or(GRACE_S);
        let launch = Launch {
            log: self.around.home.log(&name),
            name,
            netns: Netns::Root,
            program: self.around.spec.program.clone(),
            args: vec!["contain".into(), file.into()],
            env: Vec::new(),
            grace: Duration::from_secs(u64::try_from(grace).unwrap_or_default()),
        };
        Ok((launch, probes, new_view(container)))
    }

    fn containment(&self, runnable: Runnable, stage: PathBuf) -> Result<Containment, String> {
        let mut program = runnable.program;
        if IMAGES.iter().any(|image| program == Path::new(image)) {
            let egret = self.around.spec.egret.as_ref();
            let egret = egret.ok_or("the lab is up --without-egret: it runs no image")?;
            program = egret.programs.join(program);
        }
        let volumes = runnable.mounts.into_iter();
        let mounts: BTreeMap<_, _> = volumes
            .map(|(to, volume)| (to, supplies::place(&self.folder, &volume)))
            .collect();
        Ok(Containment {
            netns: self.birth.netns.clone(),
            stage,
            mounts,
            capabilities: runnable.capabilities,
            program,
            args: runnable.args,
            env: runnable.env,
        })
    }

    async fn power(&mut self, on: bool) {
        self.has_power = on;
        let order = if on { Order::Start } else { Order::Halt };
        self.order(order).await;
        if on && self.containers.is_empty() {
            self.refresh().await;
        }
    }

    async fn order(&self, order: Order) {
        let orders = self.containers.iter().map(|care| care.process.order(order));
        for error in join_all(orders).await.into_iter().filter_map(Result::err) {
            eprintln!("{}: {error}", self.birth.key);
        }
    }

    /// What the Pod does before its end is part of its grace.
    fn end(&mut self, grace: Duration) {
        if self.ending.is_some() {
            return;
        }
        let pause = pause_before_end(&self.birth.pod).min(grace);
        let processes: Vec<Process> = (self.containers.iter())
            .map(|care| care.process.clone())
            .collect();
        let task = async move {
            if !processes.is_empty() {
                tokio::time::sleep(pause).await;
            }
            let ends = processes.iter().map(|one| one.order(Order::Shutdown));
            // Too late or never: they are ended now.
            let _ = tokio::time::timeout(grace.saturating_sub(pause), join_all(ends)).await;
        };
        self.ending = Some(tokio::spawn(task));
    }

    /// The end of all that is left of it here.
    async fn leave(self, done: Option<oneshot::Sender<()>>) {
        self.order(Order::Halt).await;
        if let Some(ending) = &self.ending {
            ending.abort();
        }
        self.around.slots.send_modify(|slots| {
            slots.remove(&self.birth.slot);
            for care in &self.containers {
                slots.remove(care.process.name());
            }
        });
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("{}: {error}", self.folder.display());
        }
        // Whoever asked may be gone, and at the lab's end there is nobody to tell.
        match done {
            Some(done) => _ = done.send(()),
            None => _ = self.around.ended.send(self.birth.key.clone()).await,
        }
    }

    /// Says what is so.
    fn report(&mut self) {
        let views = if self.containers.is_empty() {
            let spec = self.birth.pod.spec.as_ref();
            let containers = spec.map(|spec| spec.containers.as_slice());
            containers
                .unwrap_or_default()
                .iter()
                .map(new_view)
                .collect()
        } else {
            self.containers.iter().map(Care::view).collect()
        };
        let mut report = Report {
            fields: fields(&self.birth),
            since: self.since,
            waits_for: self.waits_for.as_deref(),
            views,
            unready: self.unready(),
            ready_since: self.ready.1,
        };
        let is_ready = report.is_ready();
        if is_ready != self.ready.0 {
            report.ready_since = Timestamp::now();
        }
        let ready = (is_ready, report.ready_since);
        let status = report.status();
        self.ready = ready;
        self.status.send_if_modified(|said| {
            let is_new = *said != status;
            *said = status;
            is_new
        });
    }

    fn unready(&self) -> Option<&'static str> {
        if !self.has_power {
            return Some("its node is off");
        }
        if self.around.apart.borrow().contains(&self.birth.node) {
            return Some("its node is cut off from the API server");
        }
        (*self.leaving.borrow()).then_some("it is about to be restarted")
    }
}

fn fields(birth: &Birth) -> Fields<'_> {
    Fields {
        pod: &birth.pod,
        node: birth.node,
        addresses: birth.addresses,
    }
}

fn new_view(container: &Container) -> View {
    View {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        course: None,
        since: Timestamp::now(),
        has_started: false,
        is_ready: false,
    }
}

fn write(file: &Path, containment: &Containment) -> std::io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    fs::write(file, serde_json::to_vec(containment)?)
}

/// The longest sleep before the end that a container of the Pod asks for.
fn pause_before_end(pod: &Pod) -> Duration {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let pauses = containers.filter_map(|container| {
        let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
        u64::try_from(hook.sleep.as_ref()?.seconds).ok()
    });
    Duration::from_secs(pauses.max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_pauses_before_its_end_as_long_as_it_says() {
        let pod = |hook: serde_json::Value| {
            let container = json!({"name": "c", "lifecycle": hook});
            serde_json::from_value::<Pod>(json!({"spec": {"containers": [container]}})).unwrap()
        };
        let hook = json!({"preStop": {"sleep": {"seconds": 5}}});
        assert_eq!(pause_before_end(&pod(hook)), Duration::from_secs(5));
        assert_eq!(pause_before_end(&pod(json!({}))), Duration::ZERO);
    }
}
