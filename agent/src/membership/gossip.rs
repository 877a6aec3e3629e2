//! The gossip itself, without sockets, clock or chance of its own: messages, times and a seed come in, messages go out.
//!
//! Owns foca's state, its timers and their settings. Never waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use egret_domain::name::NodeName;
use foca::{
    AccumulatingRuntime, Codec, Config, Foca, Header, Identity, PeriodicParams, PostcardCodec,
    Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::debug;

use super::Peers;

/// A node that misses one probe is suspected, and down when nobody has vouched for it by then.
const PROBE_EVERY: Duration = Duration::from_millis(200);
const PROBE_ANSWERED_WITHIN: Duration = Duration::from_millis(70);
const DOWN_AFTER_SUSPICION: Duration = Duration::from_millis(250);
const GOSSIP_EVERY: Duration = Duration::from_millis(100);
/// A timer that is later than this was held up by this agent itself: it was paused, or has no CPU.
const LATE: Duration = Duration::from_millis(20);
/// Under the least IPv6 MTU with the seal and the headers.
const MESSAGE_BYTES: usize = 1100;

/// An agent in the gossip. Its address stays over restarts; the incarnation grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    node: String,
    /// Where it listens.
    address: SocketAddr,
    incarnation: u64,
}

impl Member {
    /// An agent of this incarnation: a later start has a higher one.
    pub(super) fn new(node: &NodeName, address: SocketAddr, incarnation: u64) -> Self {
        Self {
            node: node.to_string(),
            address,
            incarnation,
        }
    }

    /// Another agent of which only the address is known.
    fn unmet(node: &NodeName, address: SocketAddr) -> Self {
        Self::new(node, address, 0)
    }

    fn after(&self, incarnation: u64) -> Self {
        Self {
            incarnation: incarnation.saturating_add(1),
            ..self.clone()
        }
    }

    fn is_earlier_than(&self, other: &Self) -> bool {
        self.address == other.address && self.incarnation < other.incarnation
    }
}

impl Identity for Member {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        Some(self.after(self.incarnation))
    }

    fn addr(&self) -> SocketAddr {
        self.address
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.incarnation > adversary.incarnation
    }
}

/// One agent's gossip.
pub(super) struct Gossip {
    foca: Foca<Member, PostcardCodec, StdRng, foca::NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Member>,
    /// By due time; those due at the same time in the order that foca asks for.
    timers: BTreeMap<Instant, Vec<Timer<Member>>>,
    outbox: VecDeque<(SocketAddr, Bytes)>,
}

impl Gossip {
    /// A gossip in which this agent knows nobody. The seed decides whom it asks, and tells, when.
    pub(super) fn new(me: Member, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self {
            foca: Foca::new(me, config(), random, PostcardCodec),
            runtime: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            outbox: VecDeque::new(),
        }
    }

    fn me(&self) -> &Member {
        self.foca.identity()
    }

    /// The nodes whose agents answer, this one among them.
    pub(super) fn alive(&self) -> impl Iterator<Item = NodeName> {
        let members = self
            .foca
            .iter_members()
            .map(foca::Member::id)
            .chain([self.me()]);
        members.map(|member| NodeName::from(member.node.as_str()))
    }

    /// Takes in a message.
    pub(super) fn receive(&mut self, message: &[u8], now: Instant) {
        self.make_up_for_lateness(now);
        let result = self.agree_on_incarnation(message);
        self.settle(result, now);
        let result = self.foca.handle_data(message, &mut self.runtime);
        self.settle(result, now);
    }

    /// An agent whose clock was later at its last start is heard by nobody who remembers that. It is told, by the name to
    /// which a message is addressed, and takes a later incarnation; to come nearer by one each time could take for ever.
    fn agree_on_incarnation(&mut self, message: &[u8]) -> Result<(), foca::Error> {
        let header: Result<Header<Member>, _> = PostcardCodec.decode_header(message);
        let Ok(Header { src, dst, .. }) = header else {
            // Foca says why.
            return Ok(());
        };
        if self.me().is_earlier_than(&dst) {
            let later = self.me().after(dst.incarnation);
            return self.foca.change_identity(later, &mut self.runtime);
        }
        match self.known_later_than(&src) {
            Some(later) => self.foca.announce(later, &mut self.runtime),
            None => Ok(()),
        }
    }

    fn known_later_than(&self, member: &Member) -> Option<Member> {
        let mut known = self.foca.iter_membership_state().map(foca::Member::id);
        known.find(|known| member.is_earlier_than(known)).cloned()
    }

    /// Asks those of these to join that do not answer.
    pub(super) fn greet(&mut self, peers: &Peers, now: Instant) {
        self.make_up_for_lateness(now);
        let alive: BTreeSet<_> = self.alive().collect();
        let port = self.me().address.port();
        for (name, ip) in peers.iter().filter(|(name, _)| !alive.contains(*name)) {
            let member = Member::unmet(name, SocketAddr::new(*ip, port));
            let result = self.foca.announce(member, &mut self.runtime);
            self.settle(result, now);
        }
    }

    /// When [`Self::run_timers`] is to be called next, if nothing happens before.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|(due, _)| *due)
    }

    /// Does what is due.
    pub(super) fn run_timers(&mut self, now: Instant) {
        self.make_up_for_lateness(now);
        let later = self.timers.split_off(&(now + Duration::from_nanos(1)));
        let mut due: Vec<_> = std::mem::replace(&mut self.timers, later)
            .into_values()
            .flatten()
            .collect();
        due.sort();
        for timer in due {
            let result = self.foca.handle_timer(timer, &mut self.runtime);
            self.settle(result, now);
        }
    }

    /// Where this agent was late, time has stood still: others have as long to answer as if it had listened all the time,
    /// and had told them what they are suspected of.
    fn make_up_for_lateness(&mut self, now: Instant) {
        let late = self
            .next_timer()
            .map(|due| now.saturating_duration_since(due));
        if let Some(late) = late.filter(|late| *late > LATE) {
            let timers = std::mem::take(&mut self.timers).into_iter();
            self.timers = timers.map(|(due, timers)| (due + late, timers)).collect();
        }
    }

    /// The next message to send.
    pub(super) fn next_message(&mut self) -> Option<(SocketAddr, Bytes)> {
        self.outbox.pop_front()
    }

    fn settle(&mut self, result: Result<(), foca::Error>, now: Instant) {
        if let Err(error) = result {
            debug!(%error, "gossip");
        }
        while let Some((to, message)) = self.runtime.to_send() {
            self.outbox.push_back((to.address, message));
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers.entry(now + after).or_default().push(timer);
        }
        // Who is alive is read from the members, not from what changed.
        while self.runtime.to_notify().is_some() {}
    }
}

fn config() -> Config {
    let to_some = |frequency, members| {
        NonZeroUsize::new(members).map(|num_members| PeriodicParams {
            frequency,
            num_members,
        })
    };
    Config {
        probe_period: PROBE_EVERY,
        probe_rtt: PROBE_ANSWERED_WITHIN,
        num_indirect_probes: NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN),
        max_transmissions: NonZeroU8::new(10).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: DOWN_AFTER_SUSPICION,
        remove_down_after: Some(Duration::from_hours(1)),
        max_packet_size: NonZeroUsize::new(MESSAGE_BYTES).unwrap_or(NonZeroUsize::MIN),
        notify_down_members: true,
        // The agent greets those that do not answer itself: it knows them from the API.
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: to_some(GOSSIP_EVERY, 3),
    }
}

#[cfg(test)]
mod tests;
