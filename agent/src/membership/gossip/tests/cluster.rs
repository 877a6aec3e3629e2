//! Agents in one thread, in a time of their own, on a network that loses, delays and cuts.
//!
//! Owns the order of events, all of it from one seed. What an agent does in a turn is what `Membership` does with sockets.

use rand::RngExt;

use super::super::*;
use crate::membership::{GREET_EVERY, MOST_UNREAD};

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The time of day of a first start, as an incarnation.
const DAY_ONE: u64 = 1_790_000_000_000;
/// A loop that is not late gets to its timers within this time.
const PUNCTUAL: Duration = ms(2);

/// What the network does to datagrams.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// Of a hundred datagrams so many are lost.
    pub(super) loss_percent: u32,
    /// How long one is on its way, at most.
    pub(super) delay: Duration,
    /// From the first to the second nothing arrives.
    pub(super) cuts: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(super) fn sound() -> Self {
        Self {
            loss_percent: 0,
            delay: ms(10),
            cuts: BTreeSet::new(),
        }
    }
}

enum Event {
    Arrives(usize, Bytes),
    Timers(usize),
    Greets(usize),
    Resumes(usize),
}

/// That an agent ceased to count another among the living.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fall {
    pub(super) by: usize,
    pub(super) of: usize,
}

/// Agents, a bit for each.
type Numbers = u32;

struct Agent {
    gossip: Option<Gossip>,
    /// Events of a former life are of no concern to this one.
    life: u64,
    paused_until: Duration,
    unread: VecDeque<Bytes>,
    wakes_at: Option<Duration>,
    alive: Numbers,
}

pub(super) struct Cluster {
    pub(super) random: StdRng,
    pub(super) now: Duration,
    pub(super) network: Network,
    pub(super) falls: Vec<Fall>,
    /// Who came to suspect whom.
    pub(super) suspicions: BTreeSet<Fall>,
    /// Whether agents that were late read what has arrived before they judge.
    pub(super) drains: bool,
    begin: Instant,
    agents: Vec<Agent>,
    events: BTreeMap<(Duration, u64), (u64, Event)>,
    count: u64,
}

fn name(number: usize) -> NodeName {
    NodeName::from(number.to_string())
}

fn number_of(name: &NodeName) -> usize {
    name.to_string().parse().unwrap()
}

fn ip(number: usize) -> std::net::IpAddr {
    [10, 10, 0, u8::try_from(number).unwrap()].into()
}

impl Cluster {
    /// So many agents, none of which has started.
    pub(super) fn new(seed: u64, size: usize) -> Self {
        let agent = |_| Agent {
            gossip: None,
            life: 0,
            paused_until: Duration::ZERO,
            unread: VecDeque::new(),
            wakes_at: None,
            alive: 0,
        };
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            network: Network::sound(),
            falls: Vec::new(),
            suspicions: BTreeSet::new(),
            drains: true,
            begin: Instant::now(),
            agents: (0..size).map(agent).collect(),
            events: BTreeMap::new(),
            count: 0,
        }
    }

    /// Agents that all see each other.
    pub(super) fn met(seed: u64, size: usize) -> Self {
        let mut cluster = Self::new(seed, size);
        for number in 0..size {
            cluster.start(number);
        }
        cluster.run(ms(1_500));
        assert!(cluster.blind().is_empty(), "seed {seed}");
        assert_eq!(cluster.falls, [], "seed {seed}");
        cluster
    }

    /// Starts an agent, whose clock goes right.
    pub(super) fn start(&mut self, number: usize) {
        let incarnation = DAY_ONE + u64::try_from(self.now.as_millis()).unwrap();
        self.start_as(number, incarnation);
    }

    /// Starts an agent, whose clock is this much behind.
    pub(super) fn start_in_the_past(&mut self, number: usize, behind: Duration) {
        let incarnation = DAY_ONE + u64::try_from(self.now.as_millis()).unwrap();
        let behind = u64::try_from(behind.as_millis()).unwrap();
        self.start_as(number, incarnation.saturating_sub(behind).max(1));
    }

    fn start_as(&mut self, number: usize, incarnation: u64) {
        let address = SocketAddr::new(ip(number), 10_351);
        let me = Member::new(&name(number), address, incarnation);
        self.agents[number] = Agent {
            gossip: Some(Gossip::new(me, self.random.random())),
            life: self.agents[number].life + 1,
            paused_until: Duration::ZERO,
            unread: VecDeque::new(),
            wakes_at: None,
            alive: 1 << number,
        };
        self.after(Duration::ZERO, number, Event::Greets(number));
    }

    /// Ends an agent without a word.
    pub(super) fn kill(&mut self, number: usize) {
        self.agents[number].gossip = None;
        self.agents[number].life += 1;
    }

    /// Keeps an agent from doing anything.
    pub(super) fn pause(&mut self, number: usize, time: Duration) {
        if self.is_running(number) {
            self.agents[number].paused_until = self.now + time;
            self.after(time, number, Event::Resumes(number));
        }
    }

    /// Ends all faults: the network is sound, and all agents run.
    pub(super) fn calm(&mut self) {
        self.network = Network::sound();
        for number in 0..self.agents.len() {
            if self.is_running(number) {
                self.pause(number, Duration::ZERO);
            } else {
                self.start(number);
            }
        }
    }

    /// Whether an agent runs; one that is paused does.
    pub(super) fn is_running(&self, number: usize) -> bool {
        self.agents[number].gossip.is_some()
    }

    /// Who does not count all those among the living that run, and nobody else.
    pub(super) fn blind(&self) -> Vec<usize> {
        let numbers = 0..self.agents.len();
        let running = numbers.filter(|number| self.is_running(*number));
        let all = running.clone().fold(0, |all, number| all | 1 << number);
        running
            .filter(|number| self.agents[*number].alive != all)
            .collect()
    }

    /// Lets this much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_while(end, |_| true);
        self.now = end;
    }

    /// Lets time pass until nobody is blind, and tells how long that took; not longer than this.
    pub(super) fn run_until_all_see(&mut self, most: Duration) -> Option<Duration> {
        let begin = self.now;
        self.run_while(begin + most, |cluster| !cluster.blind().is_empty());
        self.blind()
            .is_empty()
            .then(|| self.now.saturating_sub(begin))
    }

    fn run_while(&mut self, end: Duration, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self)
            && let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), (life, event)) = entry.remove_entry();
            self.now = at;
            self.happens(life, event);
        }
    }

    fn after(&mut self, delay: Duration, number: usize, event: Event) {
        self.count += 1;
        let life = self.agents[number].life;
        self.events
            .insert((self.now + delay, self.count), (life, event));
    }

    fn happens(&mut self, life: u64, event: Event) {
        let now = self.begin + self.now;
        match event {
            // The port is the same in the next life.
            Event::Arrives(number, datagram) => {
                let is_paused = self.is_paused(number);
                let agent = &mut self.agents[number];
                if is_paused && agent.unread.len() < MOST_UNREAD {
                    agent.unread.push_back(datagram);
                } else if !is_paused && let Some(gossip) = &mut agent.gossip {
                    gossip.receive(&datagram, now);
                    self.settle(number);
                }
            }
            Event::Timers(number) | Event::Greets(number) | Event::Resumes(number)
                if self.agents[number].life != life => {}
            Event::Timers(number) => {
                self.agents[number].wakes_at = None;
                self.turn(number);
            }
            Event::Resumes(number) => self.turn(number),
            Event::Greets(number) => self.greets(number),
        }
    }

    fn is_paused(&self, number: usize) -> bool {
        self.agents[number].paused_until > self.now
    }

    fn greets(&mut self, number: usize) {
        let others = (0..self.agents.len()).filter(|other| *other != number);
        let peers = others.map(|other| (name(other), ip(other))).collect();
        let is_paused = self.is_paused(number);
        let now = self.begin + self.now;
        if let Some(gossip) = &mut self.agents[number].gossip
            && !is_paused
        {
            gossip.greet(&peers, now);
            self.settle(number);
        }
        self.after(GREET_EVERY, number, Event::Greets(number));
    }

    /// What `Membership` does when a timer is due.
    fn turn(&mut self, number: usize) {
        if self.is_paused(number) {
            return;
        }
        let now = self.begin + self.now;
        let drains = self.drains;
        let agent = &mut self.agents[number];
        let Some(gossip) = &mut agent.gossip else {
            return;
        };
        let unread = std::mem::take(&mut agent.unread);
        if !drains {
            gossip.run_timers(now);
        }
        for datagram in unread {
            gossip.receive(&datagram, now);
        }
        if gossip.next_timer().is_some_and(|due| due <= now) {
            gossip.run_timers(now);
        }
        self.settle(number);
    }

    fn settle(&mut self, number: usize) {
        while let Some((to, message)) = self.next_message(number) {
            self.send(number, to, message);
        }
        self.note_falls(number);
        let next = self.agents[number].gossip.as_ref();
        let Some(due) = next.and_then(Gossip::next_timer) else {
            return;
        };
        let late = PUNCTUAL.mul_f64(self.random.random_range(0.0..1.0));
        let due = due.duration_since(self.begin).max(self.now) + late;
        if self.agents[number].wakes_at.is_none_or(|at| at > due) {
            self.agents[number].wakes_at = Some(due);
            let delay = due.saturating_sub(self.now);
            self.after(delay, number, Event::Timers(number));
        }
    }

    fn next_message(&mut self, number: usize) -> Option<(SocketAddr, Bytes)> {
        self.agents[number].gossip.as_mut()?.next_message()
    }

    fn send(&mut self, from: usize, to: SocketAddr, message: Bytes) {
        let last = |address| match address {
            std::net::IpAddr::V4(ip) => usize::from(ip.octets()[3]),
            std::net::IpAddr::V6(_) => unreachable!(),
        };
        let to = last(to.ip());
        let is_lost = self.random.random_range(0..100) < self.network.loss_percent;
        let delay = self
            .network
            .delay
            .mul_f64(self.random.random_range(0.01..1.0));
        if !is_lost && !self.network.cuts.contains(&(from, to)) {
            self.after(delay, to, Event::Arrives(to, message));
        }
    }

    fn note_falls(&mut self, by: usize) {
        let agent = &mut self.agents[by];
        let Some(gossip) = &agent.gossip else {
            return;
        };
        let members = gossip.foca.iter_members();
        let suspects = members.filter(|member| member.state() == foca::State::Suspect);
        let suspects = suspects.map(|member| member.id().node.parse().unwrap());
        self.suspicions.extend(suspects.map(|of| Fall { by, of }));
        let numbers = gossip.alive().map(|name| number_of(&name));
        let alive = numbers.fold(0, |all, number| all | 1 << number);
        let fallen = agent.alive & !alive;
        agent.alive = alive;
        if fallen != 0 {
            let fallen = (0..self.agents.len()).filter(|of| fallen & 1 << of != 0);
            self.falls.extend(fallen.map(|of| Fall { by, of }));
        }
    }
}
