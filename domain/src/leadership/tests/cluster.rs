//! An API server that compares and swaps, and replicas that are stopped, killed and cut off at any moment.
//!
//! Owns the order of events, all of it from one seed. Each replica has clocks of its own; only the server and the checks
//! know the real time.

use std::collections::BTreeMap;

use super::super::*;

/// Real time, in microseconds.
type Real = u64;
const S: Real = 1_000_000;
const MS: Real = 1_000;
/// Clocks are this much faster or slower at most.
const DRIFT_PPM: u64 = 10_000;
const REPLICAS: usize = 3;
const OBJECTS: usize = 12;

/// A rule that is not kept, to see that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// Whether another's hold is over is judged by the time of day in the Lease.
    WallClock,
    /// Whether a write may be sent is asked when it is decided on, not when it is sent.
    EarlyCheck,
    /// A write may be on its way for any time.
    ImmortalWrites,
    /// A holder leads almost as long as the Lease counts.
    LongLead,
    /// The Lease is given back while writes are on their way.
    HastyRelease,
    /// Objects are written whatever they have become.
    Unguarded,
}

/// Where a replica may be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stops {
    /// Anywhere but between the last look at the clock and the system call.
    BeforeTheCheck,
    /// There too.
    Anywhere,
}

/// A generator of numbers: `SplitMix64`.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn is_one_of(&mut self, so_many: u64) -> bool {
        self.below(so_many) == 0
    }
}

/// A write to an object, from its decision on.
#[derive(Debug, Clone, Copy)]
struct Job {
    object: usize,
    /// The version that it was decided on.
    version: u64,
    term: u64,
}

#[derive(Debug, Clone)]
enum Request {
    Read,
    Write(Option<String>, Record),
    Object(Job),
}

/// What a replica does or gets to know, unless it is stopped.
#[derive(Debug, Clone)]
enum Act {
    Wake,
    Watch(Option<Lease>),
    Answer(u64, Answer),
    Sees(usize, u64),
    Decide,
    Check(Job),
    Send(Job),
    Leave,
}

#[derive(Debug, Clone)]
enum Event {
    Act(usize, u64, Act),
    Arrives(usize, u64, u64, Request),
    Fault,
    Starts(usize),
}

struct Replica {
    life: u64,
    is_alive: bool,
    /// It has been asked to end.
    is_ending: bool,
    stopped_until: Real,
    watch_is_late_until: Real,
    renewals_are_lost_until: Real,
    offset: Real,
    drift_ppm: u64,
    wall_offset: i64,
    /// When it looks anew at what there is to do.
    wakes_at: Real,
    election: Election,
    term: Option<u64>,
    cache: [u64; OBJECTS],
    request: u64,
}

impl Replica {
    fn now(&self, real: Real) -> Duration {
        let run = real / 1_000_000 * (1_000_000 - DRIFT_PPM + self.drift_ppm)
            + real % 1_000_000 * (1_000_000 - DRIFT_PPM + self.drift_ppm) / 1_000_000;
        Duration::from_micros(self.offset + run)
    }

    fn wall_us(&self, real: Real) -> i64 {
        i64::try_from(real).unwrap() + self.wall_offset
    }

    fn leads(&self, real: Real) -> bool {
        let until = self.election.leads_until();
        self.is_alive && !self.is_ending && until.is_some_and(|until| self.now(real) < until)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Object {
    version: u64,
    /// The term of its last writer.
    term: u64,
}

pub(super) struct Cluster {
    random: Random,
    broken: Broken,
    stops: Stops,
    times: Times,
    now: Real,
    calm_from: Real,
    events: BTreeMap<(Real, u64), Event>,
    count: u64,
    replicas: Vec<Replica>,
    lease: Option<Lease>,
    version: u64,
    objects: [Object; OBJECTS],
    down_until: Real,
    led_last: Option<(usize, u64)>,
    /// How often somebody else has begun to lead.
    pub(super) terms: u64,
    pub(super) writes: usize,
    pub(super) offence: Option<String>,
}

impl Cluster {
    pub(super) fn new(seed: u64, broken: Broken, stops: Stops) -> Self {
        let mut times = OPERATOR;
        if broken == Broken::LongLead {
            times.lead = Duration::from_millis(9_900);
        }
        let mut cluster = Self {
            random: Random(seed),
            broken,
            stops,
            times,
            now: 0,
            calm_from: Real::MAX,
            events: BTreeMap::new(),
            count: 0,
            replicas: Vec::new(),
            lease: Some(Lease {
                version: "1".to_owned(),
                record: Record::default(),
            }),
            version: 1,
            objects: [Object::default(); OBJECTS],
            down_until: 0,
            led_last: None,
            terms: 0,
            writes: 0,
            offence: None,
        };
        for number in 0..REPLICAS {
            let replica = cluster.replica(number, 0);
            cluster.replicas.push(replica);
            cluster.start(number);
        }
        cluster.after(S, Event::Fault);
        cluster
    }

    /// Everything goes on for so long, with faults.
    pub(super) fn run(&mut self, time_s: u64) {
        self.run_until(self.now + time_s * S);
    }

    /// Everything goes on for so long, and nothing happens to anybody.
    pub(super) fn calm(&mut self, time_s: u64) {
        self.calm_from = self.now;
        self.run_until(self.now + time_s * S);
        self.calm_from = Real::MAX;
    }

    /// Those that lead now.
    pub(super) fn leaders(&self) -> Vec<usize> {
        let numbers = 0..REPLICAS;
        numbers
            .filter(|number| self.replicas[*number].leads(self.now))
            .collect()
    }

    pub(super) fn kill(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        replica.is_alive = false;
        replica.life += 1;
    }

    pub(super) fn stop(&mut self, number: usize, time: Real) {
        let until = self.now + time;
        let replica = &mut self.replicas[number];
        replica.stopped_until = replica.stopped_until.max(until);
    }

    /// Asks a replica to end: it sends no more, waits for what is on its way, and gives the Lease back.
    pub(super) fn end(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        if !replica.is_alive || replica.is_ending {
            return;
        }
        replica.is_ending = true;
        let wait = match self.broken {
            Broken::HastyRelease => 0,
            _ => self.in_flight() * 102 / 100,
        };
        self.act_after(number, wait, Act::Leave);
    }

    fn in_flight(&self) -> Real {
        Real::try_from(self.times.in_flight.as_micros()).unwrap()
    }

    fn replica(&mut self, number: usize, life: u64) -> Replica {
        let mut election = Election::new(format!("r{number}-{life}"), self.times);
        election.stand();
        Replica {
            life,
            is_alive: true,
            is_ending: false,
            stopped_until: 0,
            watch_is_late_until: 0,
            renewals_are_lost_until: 0,
            offset: self.random.below(1_000 * S),
            drift_ppm: self.random.below(2 * DRIFT_PPM),
            wall_offset: i64::try_from(self.random.below(100 * S)).unwrap(),
            wakes_at: 0,
            election,
            term: None,
            cache: self.objects.map(|object| object.version),
            request: 0,
        }
    }

    fn start(&mut self, number: usize) {
        self.act_after(number, 0, Act::Wake);
        self.act_after(number, 0, Act::Decide);
    }

    fn after(&mut self, delay: Real, event: Event) {
        self.count += 1;
        self.events.insert((self.now + delay, self.count), event);
    }

    fn act_after(&mut self, number: usize, delay: Real, act: Act) {
        let life = self.replicas[number].life;
        self.after(delay, Event::Act(number, life, act));
    }

    fn run_until(&mut self, end: Real) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happens(event);
        }
        self.now = end;
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Act(number, life, act) => {
                let replica = &self.replicas[number];
                let stopped_until = replica.stopped_until;
                if !replica.is_alive || replica.life != life {
                    return;
                }
                if stopped_until > self.now {
                    return self.after(stopped_until - self.now, Event::Act(number, life, act));
                }
                self.acts(number, act);
            }
            Event::Arrives(number, life, request, what) => {
                self.arrives(number, life, request, what);
            }
            Event::Fault => self.fault(),
            Event::Starts(number) => {
                if !self.replicas[number].is_alive {
                    let life = self.replicas[number].life + 1;
                    self.replicas[number] = self.replica(number, life);
                    self.start(number);
                }
            }
        }
    }

    fn fault(&mut self) {
        let next = self.random.below(3 * S);
        self.after(next, Event::Fault);
        let number = usize::try_from(self.random.below(REPLICAS as u64)).unwrap();
        // Whoever is gone comes back.
        self.after(next * 3, Event::Starts(number));
        if self.now >= self.calm_from {
            return;
        }
        let long = self.random.below(25 * S);
        match self.random.below(8) {
            0 | 1 => self.stop(number, long),
            2 => self.kill(number),
            3 => self.end(number),
            4 => self.down_until = self.now + long / 2,
            5 => self.replicas[number].watch_is_late_until = self.now + long,
            6 => self.replicas[number].renewals_are_lost_until = self.now + long,
            _ => self.replicas[number].wall_offset += i64::try_from(long).unwrap(),
        }
    }

    fn acts(&mut self, number: usize, act: Act) {
        let now = self.replicas[number].now(self.now);
        match act {
            Act::Wake => self.replicas[number].wakes_at = 0,
            Act::Watch(lease) => {
                let since = self.seen_since(number, lease.as_ref());
                self.replicas[number].election.observe(lease, since);
            }
            Act::Answer(request, answer) => {
                if self.replicas[number].request != request {
                    return;
                }
                self.replicas[number].request += 1;
                self.replicas[number].election.answered(answer, now);
            }
            Act::Sees(object, version) => self.replicas[number].cache[object] = version,
            Act::Decide => self.decides(number),
            Act::Check(job) => self.checks(number, job),
            Act::Send(job) => self.sends(number, job),
            Act::Leave => self.replicas[number].election.leave(),
        }
        self.steps(number);
    }

    /// When a change was seen: now, unless that is computed from a time of day.
    fn seen_since(&self, number: usize, lease: Option<&Lease>) -> Duration {
        let replica = &self.replicas[number];
        let now = replica.now(self.now);
        let renewed_us = lease.and_then(|lease| lease.record.renewed_us);
        match renewed_us {
            Some(renewed_us) if self.broken == Broken::WallClock => {
                let age = replica.wall_us(self.now).saturating_sub(renewed_us);
                now.saturating_sub(Duration::from_micros(u64::try_from(age).unwrap_or(0)))
            }
            _ => now,
        }
    }

    fn steps(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        let (now, wall_us) = (replica.now(self.now), replica.wall_us(self.now));
        let step = replica.election.step(now, wall_us);
        self.note_lead(number);
        let request = match step {
            Step::Wait(None) => return,
            Step::Wait(Some(until)) => {
                let delay = Real::try_from(until.saturating_sub(now).as_micros()).unwrap();
                return self.wakes_after(number, delay * 101 / 100 + MS);
            }
            Step::Done => return self.kill(number),
            Step::Read => Request::Read,
            Step::Write { version, record } => Request::Write(version, record),
        };
        let (request_number, life) = (self.replicas[number].request, self.replicas[number].life);
        let delay = self.delay();
        self.after(delay, Event::Arrives(number, life, request_number, request));
        self.act_after(number, 3 * S, Act::Answer(request_number, Answer::Failed));
    }

    /// Once: what is planned for then or before will do.
    fn wakes_after(&mut self, number: usize, delay: Real) {
        let replica = &mut self.replicas[number];
        if !(self.now..=self.now + delay).contains(&replica.wakes_at) {
            replica.wakes_at = self.now + delay;
            self.act_after(number, delay, Act::Wake);
        }
    }

    fn note_lead(&mut self, number: usize) {
        let leads = self.replicas[number].leads(self.now);
        if !leads {
            self.replicas[number].term = None;
        } else if self.replicas[number].term.is_none() {
            // Who leads again, and nobody has meanwhile, goes on.
            let who = Some((number, self.replicas[number].life));
            self.terms += u64::from(self.led_last != who);
            self.led_last = who;
            let others = self.leaders();
            if others.len() > 1 {
                self.offence = Some(format!("at {} several lead: {others:?}", self.now));
            }
            let replica = &mut self.replicas[number];
            replica.term = Some(self.terms);
            // Whoever begins to lead reads first what the former has written.
            replica.cache = self.objects.map(|object| object.version);
        }
    }

    fn decides(&mut self, number: usize) {
        let pause = 20 * MS + self.random.below(300 * MS);
        self.act_after(number, pause, Act::Decide);
        let object = usize::try_from(self.random.below(OBJECTS as u64)).unwrap();
        let replica = &self.replicas[number];
        if let Some(term) = replica.term.filter(|_| replica.leads(self.now)) {
            let version = replica.cache[object];
            let job = Job {
                object,
                version,
                term,
            };
            self.maybe_stop(number);
            let delay = self.random.below(20 * MS);
            self.act_after(number, delay, Act::Check(job));
        }
    }

    /// Mostly short, sometimes long.
    fn delay(&mut self) -> Real {
        match self.random.below(100) {
            0..=2 if self.now < self.calm_from => self.random.below(30 * S),
            3..=9 if self.now < self.calm_from => self.random.below(3 * S),
            _ => MS + self.random.below(30 * MS),
        }
    }

    fn maybe_stop(&mut self, number: usize) {
        if self.now < self.calm_from && self.random.is_one_of(30) {
            let time = self.random.below(25 * S);
            self.stop(number, time);
        }
    }

    fn checks(&mut self, number: usize, job: Job) {
        let replica = &self.replicas[number];
        let may = replica.term == Some(job.term) && replica.leads(self.now);
        if !may && self.broken != Broken::EarlyCheck {
            return;
        }
        if self.stops == Stops::BeforeTheCheck {
            return self.sends(number, job);
        }
        self.maybe_stop(number);
        self.act_after(number, 1, Act::Send(job));
    }

    fn sends(&mut self, number: usize, job: Job) {
        let delay = self.delay();
        if delay >= self.in_flight() && self.broken != Broken::ImmortalWrites {
            return;
        }
        let life = self.replicas[number].life;
        self.after(delay, Event::Arrives(number, life, 0, Request::Object(job)));
    }

    fn arrives(&mut self, number: usize, life: u64, request: u64, what: Request) {
        if self.now < self.down_until {
            return;
        }
        let answer = match what {
            Request::Object(job) => return self.object_write(job),
            _ if self.now < self.replicas[number].renewals_are_lost_until => return,
            Request::Read => Answer::Read(self.lease.clone()),
            Request::Write(version, record) => self.lease_write(version.as_ref(), record),
        };
        // Some answers are lost.
        if self.now >= self.calm_from || !self.random.is_one_of(30) {
            let delay = self.delay();
            let act = Act::Answer(request, answer);
            self.after(delay, Event::Act(number, life, act));
        }
    }

    fn lease_write(&mut self, version: Option<&String>, record: Record) -> Answer {
        if self.lease.as_ref().map(|lease| &lease.version) != version {
            return Answer::Conflict;
        }
        self.version += 1;
        let lease = Lease {
            version: self.version.to_string(),
            record,
        };
        self.lease = Some(lease.clone());
        for number in 0..REPLICAS {
            let late = self.replicas[number].watch_is_late_until;
            let delay = late.saturating_sub(self.now) + self.random.below(50 * MS);
            self.act_after(number, delay, Act::Watch(Some(lease.clone())));
        }
        Answer::Written(lease)
    }

    fn object_write(&mut self, job: Job) {
        let terms = self.terms;
        let object = &mut self.objects[job.object];
        if object.version != job.version && self.broken != Broken::Unguarded {
            return;
        }
        let is_late = job.term < terms;
        let is_over_anothers = job.term < object.term;
        if is_over_anothers || is_late && self.stops == Stops::BeforeTheCheck {
            self.offence = Some(format!(
                "at {} term {} writes to an object that term {} has written, in term {terms}",
                self.now, job.term, object.term
            ));
        }
        object.version += 1;
        object.term = job.term;
        self.writes += 1;
        let version = object.version;
        for number in 0..REPLICAS {
            let delay = MS + self.random.below(10 * MS);
            self.act_after(number, delay, Act::Sees(job.object, version));
        }
    }
}
