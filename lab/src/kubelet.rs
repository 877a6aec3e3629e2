//! The kubelet of every node, and its CNI: Pods of the API become network namespaces, and those of Egret's own
//! workloads processes.
//!
//! One task owns all Pods' networks and says which Pods live; events and power orders reach it in turn, so nothing
//! needs a lock. It decides with [`decision::decide`], works in batches, and never waits for the API server: what is to
//! be written goes to [`status`]. What a container does is up to a task of its Pod, [`life`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, utils::Backoff, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, oneshot, watch};

use self::decision::{PodFacts, Remains, Step, decide};
use self::life::{Birth, Life, Surroundings};
use self::slot::Slots;
use self::status::Write;
use crate::family::Addresses;
use crate::home::Home;
use crate::netns::CommandError;
use crate::node::Powered;
use crate::sandbox::{self, Sandbox};
use crate::spec::LabSpec;
use crate::stray;
use crate::topology::{NodeId, PodKey};
use crate::underlay;

mod care;
pub mod container;
pub mod decision;
pub mod field;
mod folder;
mod life;
pub mod probe;
pub mod report;
pub mod slot;
pub mod sources;
mod status;
mod supplies;
mod token;
pub mod volume;

/// The Pods that run and whose status says so: uid and address.
pub type Running = BTreeMap<PodKey, (String, Addresses)>;

/// Events taken in one go.
const BATCH: usize = 128;

/// A change of a node's power.
#[derive(Debug)]
pub enum PowerOrder {
    /// The node has lost its power.
    Off(NodeId, oneshot::Sender<Result<(), CommandError>>),
    /// The node boots: new kernel state, the same Pods.
    On(NodeId, oneshot::Sender<Result<(), CommandError>>),
}

/// A handle to the running kubelet.
#[derive(Debug, Clone)]
pub struct Kubelet {
    orders: mpsc::Sender<PowerOrder>,
    /// Which Pods run.
    pub running: watch::Receiver<Running>,
    /// Which nodes have power.
    pub powered: watch::Receiver<Powered>,
    /// Egret's own Pods.
    pub slots: watch::Receiver<Slots>,
    apart: watch::Sender<BTreeSet<NodeId>>,
}

/// The kubelet has ended.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// The node's network could not be changed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There is nobody to do it.
    #[error("the lab's kubelet has ended: run `hack/lab down`, then `hack/lab up`")]
    Ended,
}

impl Kubelet {
    /// Starts the kubelet of all nodes.
    pub fn start(spec: Arc<LabSpec>, home: Home, client: Client) -> Self {
        let (orders, inbox) = mpsc::channel(16);
        let (writes, outbox) = mpsc::channel(4096);
        let (publish, running) = watch::channel(Running::new());
        let (power, powered) = watch::channel(spec.node_ids().collect());
        let (slots, slots_seen) = watch::channel(Slots::new());
        let (apart, apart_seen) = watch::channel(BTreeSet::new());
        let (ended, ends) = mpsc::channel(64);
        tokio::spawn(status::write_all(client.clone(), outbox, publish.clone()));
        let around = Surroundings {
            spec: spec.clone(),
            home,
            client: client.clone(),
            sources: sources::follow(&client),
            slots,
            apart: apart_seen,
            ended,
        };
        let worker = Worker {
            spec,
            pods: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            lives: BTreeMap::new(),
            around: Arc::new(around),
            power,
            running: publish,
            writes,
        };
        tokio::spawn(worker.run(events(client), inbox, ends));
        Self {
            orders,
            running,
            powered,
            slots: slots_seen,
            apart,
        }
    }

    /// Tells the kubelet which nodes the API server does not hear: it plays the controller that finds this out.
    pub fn set_apart(&self, nodes: BTreeSet<NodeId>) {
        self.apart.send_replace(nodes);
    }

    /// Tells the kubelet about a node's power and waits until that is done.
    pub async fn power(&self, node: NodeId, on: bool) -> Result<(), PowerError> {
        let (reply, answer) = oneshot::channel();
        let order = if on {
            PowerOrder::On(node, reply)
        } else {
            PowerOrder::Off(node, reply)
        };
        self.orders
            .send(order)
            .await
            .map_err(|_| PowerError::Ended)?;
        Ok(answer.await.map_err(|_| PowerError::Ended)??)
    }
}

type Event = Result<watcher::Event<Pod>, watcher::Error>;

fn events(client: Client) -> impl Stream<Item = Event> {
    let assigned = watcher::Config::default().fields("spec.nodeName!=");
    watcher(Api::<Pod>::all(client), assigned).backoff(Soon)
}

/// The API server is next door and may be stopped on purpose: ask again soon, always.
pub(crate) struct Soon;

impl Iterator for Soon {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(200))
    }
}

impl Backoff for Soon {
    fn reset(&mut self) {}
}

struct Worker {
    spec: Arc<LabSpec>,
    pods: BTreeMap<PodKey, PodFacts>,
    sandboxes: BTreeMap<PodKey, Sandbox>,
    lives: BTreeMap<PodKey, Life>,
    around: Arc<Surroundings>,
    power: watch::Sender<Powered>,
    running: watch::Sender<Running>,
    writes: mpsc::Sender<Write>,
}

/// The Pods to look at, and those that a fresh list has not named yet.
#[derive(Default)]
struct Touched {
    keys: BTreeSet<PodKey>,
    unlisted: BTreeSet<PodKey>,
}

impl Worker {
    async fn run(
        mut self,
        events: impl Stream<Item = Event>,
        mut inbox: mpsc::Receiver<PowerOrder>,
        mut ends: mpsc::Receiver<PodKey>,
    ) {
        let mut events = std::pin::pin!(events.ready_chunks(BATCH));
        let mut touched = Touched::default();
        let mut again = false;
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.change_power(order).await,
                    None => return,
                },
                batch = events.next() => match batch {
                    Some(batch) => batch.into_iter().for_each(|event| self.take(event, &mut touched)),
                    None => return,
                },
                Some(ended) = ends.recv() => {
                    self.lives.remove(&ended);
                    touched.keys.insert(ended);
                }
                () = tokio::time::sleep(Duration::from_secs(1)), if again => {}
            }
            let failed = self.settle(&std::mem::take(&mut touched.keys)).await;
            again = !failed.is_empty();
            touched.keys = failed;
        }
    }

    /// Notes what an event says.
    fn take(&mut self, event: Event, touched: &mut Touched) {
        match event {
            Ok(watcher::Event::Init) => touched.unlisted = self.pods.keys().cloned().collect(),
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                if let Some(facts) = self.facts_of(&pod) {
                    touched.unlisted.remove(&facts.key);
                    touched.keys.insert(facts.key.clone());
                    self.pods.insert(facts.key.clone(), facts);
                }
            }
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(facts) = self.facts_of(&pod) {
                    self.pods.remove(&facts.key);
                    touched.keys.insert(facts.key);
                }
            }
            Ok(watcher::Event::InitDone) => {
                for key in std::mem::take(&mut touched.unlisted) {
                    self.pods.remove(&key);
                    touched.keys.insert(key);
                }
            }
            Err(error) => eprintln!("the watch on Pods was interrupted: {error}"),
        }
    }

    fn facts_of(&self, pod: &Pod) -> Option<PodFacts> {
        PodFacts::of(pod).filter(|facts| self.spec.node_ids().any(|node| node == facts.node))
    }

    /// Does what these Pods need; gives those to try again.
    async fn settle(&mut self, keys: &BTreeSet<PodKey>) -> BTreeSet<PodKey> {
        let steps = self.steps(keys);
        let with = |wanted: &[Step]| of(&steps, wanted);
        // A status that was on its way when its Pod went is taken back here too.
        let mut leaving = with(&[Step::Remove, Step::Finish, Step::Replace]);
        leaving.extend(
            keys.iter()
                .filter(|key| !self.pods.contains_key(*key))
                .cloned(),
        );
        self.remove(&leaving).await;
        for facts in self.facts(&with(&[Step::Finish])) {
            self.write(Write::Gone(facts)).await;
        }
        for facts in self.facts(&with(&[Step::End])) {
            if let Some(life) = self.lives.get(&facts.key) {
                life.end(facts.grace).await;
            }
        }
        // Of those whose name came again, there is nothing left now.
        let replaced = self.steps(&with(&[Step::Replace]).into_iter().collect());
        let steps = [steps, replaced].concat();
        let started = self.set_up(&of(&steps, &[Step::Start])).await;
        let running = of(&steps, &[Step::Report, Step::Run]).into_iter();
        self.run_now(&running.chain(started.made).collect::<Vec<_>>())
            .await;
        started.failed
    }

    fn steps(&self, keys: &BTreeSet<PodKey>) -> Vec<(PodKey, Step)> {
        let step = |key: &PodKey| (key.clone(), self.step(key));
        keys.iter().map(step).collect()
    }

    /// Says that these Pods run, or lets them live; in the order of their nodes, so that Egret's replicas are numbered
    /// in it.
    async fn run_now(&mut self, keys: &[PodKey]) {
        let mut all = self.facts(keys);
        all.sort_by_key(|facts| facts.node);
        for facts in all {
            let sandbox = self.sandboxes.get(&facts.key);
            let addresses = sandbox.map_or_else(
                || facts.node.addresses(self.spec.families),
                Sandbox::addresses,
            );
            let Some(pod) = facts.own.clone() else {
                self.write(Write::Running(facts, addresses)).await;
                continue;
            };
            let netns = match sandbox {
                Some(sandbox) => sandbox.pod.netns(),
                None => facts.node.to_string(),
            };
            let slots = self.around.slots.borrow().clone();
            let birth = Birth {
                slot: slot::name(&pod, facts.node, |name| slots.contains_key(name)),
                key: facts.key.clone(),
                uid: facts.uid,
                node: facts.node,
                pod,
                addresses,
                netns,
            };
            let life = Life::begin(self.around.clone(), birth);
            self.lives.insert(facts.key, life);
        }
    }

    fn step(&self, key: &PodKey) -> Step {
        let (facts, sandbox) = (self.pods.get(key), self.sandboxes.get(key));
        let node = facts
            .map(|facts| facts.node)
            .or(sandbox.map(|sandbox| sandbox.node));
        let has_power = node.is_some_and(|node| self.power.borrow().contains(&node));
        let life = self.lives.get(key).map(|life| life.uid.as_str());
        decide(facts, Remains { sandbox, life }, has_power)
    }

    fn facts(&self, keys: &[PodKey]) -> Vec<PodFacts> {
        keys.iter()
            .filter_map(|key| self.pods.get(key).cloned())
            .collect()
    }

    async fn write(&self, write: Write) {
        // The writer lives as long as this task: only at the lab's end is there nobody to write.
        let _ = self.writes.send(write).await;
    }

    async fn remove(&mut self, keys: &[PodKey]) {
        let lives = keys.iter().filter_map(|key| self.lives.remove(key));
        join_all(lives.map(|life| async move { life.kill().await })).await;
        let gone: Vec<Sandbox> = keys
            .iter()
            .filter_map(|key| self.sandboxes.remove(key))
            .collect();
        if !gone.is_empty() {
            let netns = gone.iter().map(|one| one.pod.netns());
            stray::kill_in(netns);
            sandbox::tear_down(&gone).await;
        }
        self.running.send_if_modified(|running| {
            let before = running.len();
            for key in keys {
                running.remove(key);
            }
            running.len() < before
        });
    }

    async fn set_up(&mut self, keys: &[PodKey]) -> Started {
        let planned = self.plan(keys);
        if planned.is_empty() {
            return Started::default();
        }
        let keys: BTreeSet<PodKey> = planned.iter().map(|one| one.pod.clone()).collect();
        if let Err(error) = sandbox::set_up(&planned, self.spec.mtu).await {
            eprintln!("Pods' networks could not be made, trying again: {error}");
            sandbox::tear_down(&planned).await;
            return Started {
                made: BTreeSet::new(),
                failed: keys,
            };
        }
        self.sandboxes
            .extend(planned.into_iter().map(|one| (one.pod.clone(), one)));
        Started {
            made: keys,
            failed: BTreeSet::new(),
        }
    }

    /// An address for each of these Pods that finds one.
    fn plan(&self, keys: &[PodKey]) -> Vec<Sandbox> {
        let mut taken: BTreeSet<(NodeId, u8)> = self
            .sandboxes
            .values()
            .map(|sandbox| (sandbox.node, sandbox.number))
            .collect();
        let mut planned = Vec::new();
        for facts in self.facts(keys) {
            let free = if facts.own.is_some() {
                sandbox::last_free_number(facts.node, &taken)
            } else {
                sandbox::free_number(facts.node, &taken)
            };
            let Some(number) = free else {
                eprintln!("{} has no Pod address left for {}", facts.node, facts.key);
                continue;
            };
            taken.insert((facts.node, number));
            planned.push(Sandbox {
                pod: facts.key,
                uid: facts.uid,
                node: facts.node,
                number,
                families: self.spec.families,
            });
        }
        planned
    }

    async fn change_power(&mut self, order: PowerOrder) {
        match order {
            PowerOrder::Off(node, reply) => {
                self.power.send_modify(|powered| {
                    powered.remove(&node);
                });
                self.tell_lives(node, false).await;
                let here = self.on(node);
                let places = here
                    .iter()
                    .map(|one| one.pod.netns())
                    .chain([node.to_string()]);
                stray::kill_in(places);
                sandbox::unplug(node, &here).await;
                let _ = reply.send(Ok(()));
            }
            PowerOrder::On(node, reply) => {
                let booted = self.boot(node).await;
                if booted.is_ok() {
                    self.power.send_modify(|powered| {
                        powered.insert(node);
                    });
                    let pods = self.pods.values().filter(|facts| facts.node == node);
                    let keys = pods.map(|facts| facts.key.clone()).collect();
                    self.settle(&keys).await;
                    self.tell_lives(node, true).await;
                }
                let _ = reply.send(booted);
            }
        }
    }

    /// Those that are about to end are not told that they can go on.
    async fn tell_lives(&self, node: NodeId, has_power: bool) {
        let here = self.pods.values().filter(|facts| facts.node == node);
        let here = here.filter(|facts| !(has_power && facts.is_deleting));
        let lives = here.filter_map(|facts| self.lives.get(&facts.key));
        join_all(lives.map(|life| life.power(has_power))).await;
    }

    fn on(&self, node: NodeId) -> Vec<Sandbox> {
        self.sandboxes
            .values()
            .filter(|one| one.node == node)
            .cloned()
            .collect()
    }

    /// A reboot loses all kernel state, Pods keep their addresses.
    async fn boot(&self, node: NodeId) -> Result<(), CommandError> {
        let here = self.on(node);
        sandbox::tear_down(&here).await;
        underlay::detach_node(node).await;
        underlay::attach_node(&self.spec, node).await?;
        if here.is_empty() {
            return Ok(());
        }
        sandbox::set_up(&here, self.spec.mtu).await
    }
}

/// The Pods for which one of these is to be done.
fn of(steps: &[(PodKey, Step)], wanted: &[Step]) -> Vec<PodKey> {
    let chosen = steps.iter().filter(|(_, step)| wanted.contains(step));
    chosen.map(|(key, _)| key.clone()).collect()
}

#[derive(Default)]
struct Started {
    made: BTreeSet<PodKey>,
    failed: BTreeSet<PodKey>,
}
