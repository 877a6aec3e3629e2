//! A running lab: its processes, its nodes' power, its cables, its Pods; what each command does to it.
//!
//! Owns the handles. Each operation is a short sequence of steps of other modules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Mutex;

use crate::control::{NetRequest, NodeStatus, PodRequest, Reply, Request, Status};
use crate::family::Addresses;
use crate::kubelet::slot::Slot;
use crate::kubelet::{Kubelet, PowerError};
use crate::netns::CommandError;
use crate::partition::{Partition, Sides};
use crate::process::{Order, OrderError, Process};
use crate::spec::LabSpec;
use crate::topology::{Endpoint, NodeId, PodKey};
use crate::{control_plane, endpoints, underlay};

/// How long Pods may take to run or go.
const POD_PATIENCE: Duration = Duration::from_mins(1);

/// Nothing in a Pod of the lab needs time to end, but it is told that it shall, as in a cluster.
const GRACE_S: u32 = 1;

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No such node.
    #[error("{0} is not in this lab: it has node-1 to node-{1}")]
    NoNode(NodeId, u8),
    /// No such process.
    #[error("no process {0:?} in this lab: `hack/lab status` lists them")]
    NoProcess(String),
    /// It has not been started yet.
    #[error(
        "{0} does not run yet: `hack/lab logs` and `hack/lab kubectl -n egret-system get pods` may say why"
    )]
    NotStarted(String),
    /// The node is off.
    #[error("{0} is off: `hack/lab node on {0}` first")]
    NodeOff(NodeId),
    /// The API server refused or is away.
    #[error("the API server did not do it: {}", reason(.0))]
    Api(#[from] kube::Error),
    /// A command of the system failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A process did not obey.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A node's power was not changed.
    #[error(transparent)]
    Power(#[from] PowerError),
    /// The API server was started and does not answer.
    #[error(
        "the API server did not answer within {:?}: `hack/lab logs apiserver` may say why",
        control_plane::PATIENCE
    )]
    NoAnswer,
    /// Pods did not run or go in time.
    #[error(
        "{what} within {POD_PATIENCE:?}: `hack/lab logs` and `hack/lab kubectl get pods -A` may say why"
    )]
    TooSlow {
        /// What was waited for.
        what: String,
    },
}

/// The handles of a running lab.
pub struct Cluster {
    spec: Arc<LabSpec>,
    client: Client,
    kubelet: Kubelet,
    processes: BTreeMap<String, Process>,
    partition: Mutex<Partition>,
}

impl Cluster {
    /// A lab whose control plane is up.
    pub fn new(spec: Arc<LabSpec>, client: Client, kubelet: Kubelet) -> Self {
        let partition = Mutex::new(Partition::default());
        Self {
            spec,
            client,
            kubelet,
            processes: BTreeMap::new(),
            partition,
        }
    }

    /// Notes a process that is being kept, and belongs to no node.
    pub fn adopt(&mut self, name: &str, process: Process) {
        self.processes.insert(name.to_owned(), process);
    }

    /// Does what was asked; a refusal is an answer in words.
    pub async fn answer(&self, request: Request) -> Reply {
        let result = match request {
            Request::Down => Ok(Reply::Done),
            Request::Status => Ok(Reply::Status(self.status())),
            Request::RunPods(pods) => self.run_pods(&pods).await.map(Reply::Addresses),
            Request::RemovePod(pod) => self.remove_pod(&pod).await.map(|()| Reply::Done),
            Request::Power { node, on } => self.power(node, on).await.map(|()| Reply::Done),
            Request::Process { name, order } => {
                self.order(&name, order).await.map(|()| Reply::Done)
            }
            Request::Net(net) => self.net(net).await.map(|()| Reply::Done),
            Request::AwaitApi => self.await_api().await.map(|()| Reply::Done),
        };
        result.unwrap_or_else(|error| Reply::Failed(error.to_string()))
    }

    async fn await_api(&self) -> Result<(), ClusterError> {
        let answers = control_plane::answers(&self.client).await;
        answers.map_err(|_| ClusterError::NoAnswer)
    }

    fn status(&self) -> Status {
        let powered = self.kubelet.powered.borrow().clone();
        let running = self.kubelet.running.borrow().clone();
        let nodes = self.spec.node_ids().map(|name| NodeStatus {
            name,
            addresses: name.addresses(self.spec.families),
            powered: powered.contains(&name),
            pods: running
                .values()
                .filter(|(_, addresses)| is_on(*addresses, name))
                .count(),
        });
        let slots = self.kubelet.slots.borrow().clone();
        let own = slots.into_iter().map(|(name, slot)| {
            let state = slot.process.map(|process| process.state());
            (name, state)
        });
        let processes = self.processes.iter();
        let processes = processes.map(|(name, one)| (name.clone(), Some(one.state())));
        Status {
            nodes: nodes.collect(),
            processes: own
                .chain(processes)
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect(),
        }
    }

    async fn run_pods(&self, pods: &[PodRequest]) -> Result<Vec<Addresses>, ClusterError> {
        for pod in pods {
            self.known(pod.node)?;
            if !self.kubelet.powered.borrow().contains(&pod.node) {
                return Err(ClusterError::NodeOff(pod.node));
            }
        }
        let namespaces: BTreeSet<&str> = pods.iter().map(|pod| pod.namespace.as_str()).collect();
        for namespace in namespaces {
            self.ensure_namespace(namespace).await?;
        }
        let uids: Vec<String> = stream::iter(pods.iter().cloned().map(|pod| self.create(pod)))
            .buffered(16)
            .try_collect()
            .await?;
        let wanted: Vec<(PodKey, String)> = pods.iter().map(PodRequest::key).zip(uids).collect();
        self.addresses_of(&wanted).await
    }

    async fn ensure_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        if api.get_opt(name).await?.is_some() {
            return Ok(());
        }
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        let object = Namespace {
            metadata,
            ..Namespace::default()
        };
        match api.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }

    /// Creates a Pod; in a new namespace only once the controllers have made its service account.
    async fn create(&self, pod: PodRequest) -> Result<String, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let object: Pod =
            serde_json::from_value(manifest(&pod)).map_err(kube::Error::SerdeError)?;
        let deadline = tokio::time::Instant::now() + POD_PATIENCE;
        loop {
            match api.create(&PostParams::default(), &object).await {
                Err(kube::Error::Api(status))
                    if status.is_forbidden()
                        && status.message.contains("serviceaccount")
                        && tokio::time::Instant::now() < deadline => {}
                result => return Ok(result?.metadata.uid.unwrap_or_default()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn addresses_of(
        &self,
        wanted: &[(PodKey, String)],
    ) -> Result<Vec<Addresses>, ClusterError> {
        let mut running = self.kubelet.running.clone();
        let found = running.wait_for(|running| {
            wanted
                .iter()
                .all(|(pod, uid)| running.get(pod).is_some_and(|(found, _)| found == uid))
        });
        match tokio::time::timeout(POD_PATIENCE, found).await {
            Ok(Ok(running)) => Ok(wanted
                .iter()
                .filter_map(|(pod, _)| running.get(pod).map(|(_, addresses)| *addresses))
                .collect()),
            _ => Err(ClusterError::TooSlow {
                what: format!("{} Pods did not run", wanted.len()),
            }),
        }
    }

    async fn remove_pod(&self, pod: &PodKey) -> Result<(), ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        api.delete(&pod.name, &DeleteParams::default().grace_period(0))
            .await?;
        let mut running = self.kubelet.running.clone();
        let gone = running.wait_for(|running| !running.contains_key(pod));
        match tokio::time::timeout(POD_PATIENCE, gone).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ClusterError::TooSlow {
                what: format!("{pod} did not go"),
            }),
        }
    }

    fn known(&self, node: NodeId) -> Result<(), ClusterError> {
        if self.spec.node_ids().any(|known| known == node) {
            return Ok(());
        }
        Err(ClusterError::NoNode(node, self.spec.nodes))
    }

    /// Off: the port at once, and everything that runs there. On: a boot, then its processes.
    async fn power(&self, node: NodeId, on: bool) -> Result<(), ClusterError> {
        self.known(node)?;
        if self.kubelet.powered.borrow().contains(&node) == on {
            return Ok(());
        }
        if on {
            return Ok(self.kubelet.power(node, true).await?);
        }
        let (unplugged, off) =
            tokio::join!(underlay::unplug(node), self.kubelet.power(node, false));
        unplugged?;
        Ok(off?)
    }

    async fn order(&self, name: &str, order: Order) -> Result<(), ClusterError> {
        if let Some(process) = self.processes.get(name) {
            return Ok(process.order(order).await?);
        }
        let below = format!("{name}/");
        let slots = self.kubelet.slots.borrow().clone();
        let mut chosen = Vec::new();
        for (found, slot) in slots {
            if found == name || found.starts_with(&below) {
                self.reachable(slot.node)?;
                let process = slot.process.clone();
                chosen.push((process.ok_or(ClusterError::NotStarted(found))?, slot));
            }
        }
        if chosen.is_empty() {
            return Err(ClusterError::NoProcess(name.to_owned()));
        }
        if order == Order::Restart {
            return roll_out(&self.client, &chosen).await;
        }
        let orders = chosen.iter().map(|(process, _)| process.order(order));
        join_all(orders)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(())
    }

    fn reachable(&self, node: NodeId) -> Result<(), ClusterError> {
        if self.kubelet.powered.borrow().contains(&node) {
            return Ok(());
        }
        Err(ClusterError::NodeOff(node))
    }

    async fn net(&self, request: NetRequest) -> Result<(), ClusterError> {
        let mut current = self.partition.lock().await;
        let plugged = self.plugged_in(&request);
        let next = self.cables(current.clone(), request)?;
        underlay::set_partition(&next).await?;
        self.kubelet.set_apart(next.apart());
        *current = next;
        underlay::notice_cables(&plugged).await;
        Ok(())
    }

    /// The endpoints that a request connects to others.
    fn plugged_in(&self, request: &NetRequest) -> BTreeSet<Endpoint> {
        let all = || Endpoint::all(self.spec.nodes);
        match request {
            NetRequest::Heal { from, to, .. } if from.is_empty() || to.is_empty() => {
                all().collect()
            }
            NetRequest::Heal { from, to, .. } => from.iter().chain(to).copied().collect(),
            NetRequest::Uplink { node, up: true } => {
                BTreeSet::from([Endpoint::Api, Endpoint::Ext, Endpoint::Node(*node)])
            }
            NetRequest::Cut { .. } | NetRequest::Uplink { up: false, .. } => BTreeSet::new(),
        }
    }

    fn cables(&self, now: Partition, request: NetRequest) -> Result<Partition, ClusterError> {
        Ok(match request {
            NetRequest::Cut { from, to, one_way } => now.cut(&self.sides(from, to)?, one_way),
            NetRequest::Heal { from, to, .. } if from.is_empty() && to.is_empty() => now.heal_all(),
            NetRequest::Heal { from, to, one_way } => now.heal(&self.sides(from, to)?, one_way),
            NetRequest::Uplink { node, up } => {
                self.known(node)?;
                now.uplink(node, up)
            }
        })
    }

    fn sides(&self, from: Vec<Endpoint>, to: Vec<Endpoint>) -> Result<Sides, ClusterError> {
        for endpoint in from.iter().chain(&to) {
            if let Endpoint::Node(node) = endpoint {
                self.known(*node)?;
            }
        }
        Ok(Sides::new(
            from.into_iter().collect(),
            to.into_iter().collect(),
            self.spec.nodes,
        ))
    }
}

/// Restarts one after the other, as a Deployment does. One that a Service lists leaves the list before.
async fn roll_out(client: &Client, all: &[(Process, Slot)]) -> Result<(), ClusterError> {
    for (process, slot) in all {
        if endpoints::is_listed(client, slot.addresses.first).await != Some(true) {
            process.order(Order::Restart).await?;
            continue;
        }
        slot.leaving.send_replace(true);
        endpoints::left(client, slot.addresses.first).await;
        let restarted = process.order(Order::Restart).await;
        slot.leaving.send_replace(false);
        restarted?;
        endpoints::is_back(client, slot.addresses.first).await;
    }
    Ok(())
}

/// The server's own words, without the structure around them.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn is_on(addresses: Addresses, node: NodeId) -> bool {
    let family = addresses.families().first();
    let mut pods = NodeId::pod_numbers().map(|number| node.pod_address(number, family));
    node.address(family) == addresses.first || pods.any(|one| one == addresses.first)
}

fn manifest(pod: &PodRequest) -> serde_json::Value {
    json!({
        "metadata": {"name": pod.name, "labels": pod.labels},
        "spec": {
            "nodeName": pod.node.to_string(),
            "terminationGracePeriodSeconds": GRACE_S,
            "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10"}],
        },
    })
}
