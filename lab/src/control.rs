//! What commands ask of the supervisor: one line of JSON each way over a Unix socket.
//!
//! Owns the messages, the client's side and the reading of a bounded line. The socket also tells the
//! client which process the supervisor is, in the client's own numbering, and by its end when it is gone.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::family::Addresses;
use crate::home::Home;
use crate::process::{Order, State};
use crate::topology::{Endpoint, NodeId, PodKey};

/// The longest message, in bytes: some thousands of Pods.
pub const LONGEST_LINE: u64 = 4 << 20;
/// The longest a command may take in the supervisor.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a command asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// End the lab.
    Down,
    /// Say what runs.
    Status,
    /// Make these Pods and wait until they run.
    RunPods(Vec<PodRequest>),
    /// Delete this Pod and wait until it is gone.
    RemovePod(PodKey),
    /// Switch a node off or on.
    Power {
        /// Which node.
        node: NodeId,
        /// On or off.
        on: bool,
    },
    /// Give an order to every process of this name or below it (`agent/node-1`, `webhook`).
    Process {
        /// Which.
        name: String,
        /// What.
        order: Order,
    },
    /// Cut or heal.
    Net(NetRequest),
    /// Wait until the API server answers.
    AwaitApi,
}

/// A Pod to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PodRequest {
    /// Its name.
    pub name: String,
    /// Its namespace, made if missing.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Its node.
    pub node: NodeId,
    /// Its labels.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
}

impl PodRequest {
    /// Namespace and name.
    pub fn key(&self) -> PodKey {
        PodKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// A change of the underlay's cables.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetRequest {
    /// Cut `from` and `to` from each other; an empty `to` is everybody else.
    Cut {
        /// Who speaks.
        from: Vec<Endpoint>,
        /// Who no longer hears.
        to: Vec<Endpoint>,
        /// Only that direction.
        one_way: bool,
    },
    /// Connect them again; both empty is everything.
    Heal {
        /// Who speaks.
        from: Vec<Endpoint>,
        /// Who hears again.
        to: Vec<Endpoint>,
        /// Only that direction.
        one_way: bool,
    },
    /// Plug a node's cable to the outside in or out.
    Uplink {
        /// Which node.
        node: NodeId,
        /// In or out.
        up: bool,
    },
}

/// What the supervisor answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// The Pods' addresses, in the order asked for.
    Addresses(Vec<Addresses>),
    /// What runs.
    Status(Status),
    /// It was not done; in words for the user.
    Failed(String),
}

/// What runs in a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Each node.
    pub nodes: Vec<NodeStatus>,
    /// Each process by name; one that waits for something has no state yet.
    pub processes: Vec<(String, Option<State>)>,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeId,
    /// Its address.
    pub addresses: Addresses,
    /// Whether it has power.
    pub powered: bool,
    /// How many Pods have their network on it.
    pub pods: usize,
}

/// Why the supervisor did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("there is no such lab running: start it with `hack/lab up` (EGRET_LAB says which lab)")]
    NotUp,
    /// The conversation broke off.
    #[error("the lab's supervisor did not answer: {0}")]
    Io(#[from] io::Error),
    /// The answer makes no sense: another version of this program is up.
    #[error("the lab was started by another version ({0}): run `hack/lab down`, then `up`")]
    Version(#[from] serde_json::Error),
    /// The supervisor said no.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a lab's supervisor.
#[derive(Debug)]
pub struct Control(UnixStream);

impl Control {
    /// Connects to the supervisor of the lab in this folder.
    pub fn connect(home: &Home) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(home.control_socket()).map_err(|_| ControlError::NotUp)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// The supervisor's process number as this process sees it.
    pub fn supervisor(&self) -> Result<i32, ControlError> {
        let peer = getsockopt(&self.0, PeerCredentials).map_err(io::Error::from)?;
        Ok(peer.pid())
    }

    /// Waits until the supervisor is gone: whatever ended it closed its side.
    pub async fn ended(self) -> io::Result<()> {
        self.0.set_nonblocking(true)?;
        let mut stream = tokio::net::UnixStream::from_std(self.0)?;
        // It says nothing to one who asks nothing. That it was cut off, or ended in order, is the same here.
        let _ = stream.read_u8().await;
        Ok(())
    }

    /// Asks and waits for the answer.
    pub fn ask(mut self, request: &Request) -> Result<Reply, ControlError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(self.0.take(LONGEST_LINE)).read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match serde_json::from_str(&answer)? {
            Reply::Failed(reason) => Err(ControlError::Refused(reason)),
            reply => Ok(reply),
        }
    }
}
