//! Who is there: the agents find out among themselves, by gossip (SWIM, crate `foca`) over UDP.
//!
//! Owns the set of nodes whose agents answer. Every datagram carries a seal (see [`seal`]); what has none is not read.
//! Never decides what follows from a death.

mod gossip;
pub mod keys;
pub mod seal;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use egret_crds::keyring::Keyring;
use egret_domain::name::NodeName;
use egret_runtime::live::Pulse;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{info, warn};

use gossip::{Gossip, Member};
use seal::Seal;

/// Larger than any datagram that is sent.
const BUFFER_BYTES: usize = 2048;
/// Datagrams that are read before a timer is heeded, at most.
const MOST_UNREAD: usize = 1024;
/// A peer that does not answer is greeted this often: so a new one is met, and a healed partition noticed.
const GREET_EVERY: Duration = Duration::from_secs(1);
/// An agent that has not met everybody by then takes the rest to be absent.
const SETTLED_AFTER: Duration = Duration::from_secs(4);

/// The other nodes and their addresses.
pub type Peers = BTreeMap<NodeName, IpAddr>;

/// The nodes whose agents answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alive {
    /// They, this node among them.
    pub nodes: BTreeSet<NodeName>,
    /// Whether silence may be taken for absence.
    pub settled: bool,
}

/// Why gossip is not possible.
#[derive(Debug, Error)]
pub enum Error {
    /// The port cannot be used.
    #[error(
        "cannot listen for gossip on {address}: choose another port with --gossip-port on all nodes"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
}

/// This node's part in the gossip.
pub struct Membership {
    socket: UdpSocket,
    keys: watch::Receiver<Keyring>,
    seal: Seal,
    gossip: Gossip,
    peers: watch::Receiver<Option<Peers>>,
    alive: watch::Sender<Alive>,
    settled_at: Instant,
}

impl Membership {
    /// Opens the port. `keys` may change at any time; `peers` are the other nodes' addresses; who answers is told through `alive`.
    pub async fn open(
        me: &NodeName,
        address: SocketAddr,
        mut keys: watch::Receiver<Keyring>,
        peers: watch::Receiver<Option<Peers>>,
        alive: watch::Sender<Alive>,
    ) -> Result<Self, Error> {
        let socket = UdpSocket::bind(address).await;
        let socket = socket.map_err(|source| Error::Listen { address, source })?;
        let me = Member::new(me, address, incarnation(SystemTime::now()));
        let gossip = Gossip::new(me, rand::random());
        let seal = Seal::new(&keys.borrow_and_update());
        Ok(Self {
            socket,
            seal,
            keys,
            gossip,
            peers,
            alive,
            settled_at: Instant::now(),
        })
    }

    /// Gossips for ever, once the peers are known.
    pub async fn run(mut self, pulse: Pulse) {
        if self.peers.wait_for(Option::is_some).await.is_err() {
            return;
        }
        self.settled_at = Instant::now() + SETTLED_AFTER;
        let mut buffer = [0; BUFFER_BYTES];
        let mut greet = interval(GREET_EVERY);
        greet.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pulse.beat();
            let next_timer = self.gossip.next_timer();
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    // An error is that of an earlier datagram, to a port where nobody listens.
                    let length = received.map_or(0, |(length, _)| length);
                    self.receive(buffer.get(..length).unwrap_or_default());
                }
                () = until(next_timer) => {
                    self.drain(&mut buffer);
                    self.gossip.run_timers(Instant::now());
                }
                Ok(()) = self.keys.changed() => self.seal = Seal::new(&self.keys.borrow_and_update()),
                Ok(()) = self.peers.changed() => self.greet(),
                _ = greet.tick() => self.greet(),
            }
            self.send_all();
            self.tell();
        }
    }

    fn receive(&mut self, datagram: &[u8]) {
        if let Some(message) = self.seal.open(datagram) {
            self.gossip.receive(message, Instant::now());
        }
    }

    /// Takes in all that has arrived: an agent that was itself late must not take unread answers for silence.
    fn drain(&mut self, buffer: &mut [u8]) {
        for _ in 0..MOST_UNREAD {
            let Ok((length, _)) = self.socket.try_recv_from(buffer) else {
                return;
            };
            self.receive(buffer.get(..length).unwrap_or_default());
        }
    }

    fn greet(&mut self) {
        if let Some(peers) = self.peers.borrow_and_update().as_ref() {
            self.gossip.greet(peers, Instant::now());
        }
    }

    fn send_all(&mut self) {
        while let Some((to, message)) = self.gossip.next_message() {
            let datagram = self.seal.close(&message);
            // A datagram may always get lost; gossip is made for that. Nor is a full buffer waited for: it is full of
            // what is meant for nodes that do not answer ARP.
            let _ = self.socket.try_send_to(&datagram, to);
        }
    }

    fn tell(&mut self) {
        let nodes: BTreeSet<_> = self.gossip.alive().collect();
        let has_met_all = {
            let peers = self.peers.borrow();
            let peers = peers.as_ref();
            peers.is_some_and(|peers| peers.keys().all(|peer| nodes.contains(peer)))
        };
        let settled =
            self.alive.borrow().settled || has_met_all || Instant::now() >= self.settled_at;
        self.alive.send_if_modified(|alive| {
            log_difference(&alive.nodes, &nodes);
            let now = Alive { nodes, settled };
            let is_news = *alive != now;
            *alive = now;
            is_news
        });
    }
}

/// That of an agent that starts at this time of day: in milliseconds, and not that of an agent not met yet.
fn incarnation(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

fn log_difference(before: &BTreeSet<NodeName>, now: &BTreeSet<NodeName>) {
    for node in now.difference(before) {
        info!(%node, "agent answers");
    }
    for node in before.difference(now) {
        warn!(%node, "agent does not answer any more");
    }
}

#[cfg(test)]
mod tests;
