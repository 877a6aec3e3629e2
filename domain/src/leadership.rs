//! Which of several replicas may write: one election over one Lease object.
//!
//! Owns when to take the Lease, when to renew it, when to give it back, and until when this replica leads. Never reads a
//! clock, never sends anything, never compares two clocks: a time is always that of this machine's clock since boot,
//! which goes on while the machine sleeps. The times in the Lease are written for people and not read.
//!
//! What it rests on:
//! - The Lease is written only as it was last seen, so of two who take it at once one fails.
//! - Another's hold counts for the Lease's duration from when its last change was *seen here*, which is after it was made.
//! - The own lead ends `lead` after the last renewal that was answered was *sent*, which is before it was made.
//! - `lead` and the longest life of a write together are shorter than the duration: when another may lead, nothing that
//!   was sent before the own lead ended is on its way any more.
//!
//! What is written is checked against [`Election::leads_until`] by whoever sends it, as late as possible. What that cannot
//! exclude is in ADR 9.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a hold counts for the others when it is not renewed.
    pub lease: Duration,
    /// How long the holder leads after it has sent a renewal that was answered.
    pub lead: Duration,
    /// The longest time from the moment at which a write is allowed to the moment at which it has been made, or never is.
    pub in_flight: Duration,
    /// Time between renewals.
    pub renew: Duration,
    /// The delay after one failure, doubled with each further one.
    pub retry: Duration,
    /// The longest such delay.
    pub retry_most: Duration,
}

/// A Lease that says more is not waited for longer: no release of Egret has had such a duration.
const LONGEST_LEASE: Duration = Duration::from_mins(1);

/// Those of the operator.
pub const OPERATOR: Times = Times {
    lease: Duration::from_secs(10),
    lead: Duration::from_secs(6),
    in_flight: Duration::from_secs(3),
    renew: Duration::from_secs(2),
    retry: Duration::from_millis(250),
    retry_most: Duration::from_secs(2),
};

/// What a Lease says. Times of day are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Who leads; nobody after a release.
    pub holder: Option<String>,
    /// How long that counts, in seconds.
    pub lease_s: Option<u32>,
    /// When the holder has taken it.
    pub acquired_us: Option<i64>,
    /// When the holder has last renewed it.
    pub renewed_us: Option<i64>,
    /// How often the holder has changed; `None` in a Lease that nobody has held.
    pub transitions: Option<u32>,
}

/// A Lease as it was at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its `resourceVersion`.
    pub version: String,
    /// What it said.
    pub record: Record,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time, or before something is seen or answered.
    Wait(Option<Duration>),
    /// Read the Lease, then tell what came of it.
    Read,
    /// Make the Lease say this, if it still is of this version (`None`: if there is none), then tell what came of it.
    Write {
        /// The version.
        version: Option<String>,
        /// What it is to say.
        record: Record,
    },
    /// This replica has left: it holds nothing.
    Done,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There is this Lease, or none.
    Read(Option<Lease>),
    /// It was written.
    Written(Lease),
    /// It was of another version, or there was one already.
    Conflict,
    /// It was not answered, or could not be done. It may have happened all the same.
    Failed,
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    me: String,
    times: Times,
    is_candidate: bool,
    is_leaving: bool,
    /// The Lease, or that there is none, and since when that has been known here. `None` if that is unknown.
    seen: Option<(Option<Lease>, Duration)>,
    /// When the step that has not been answered yet was sent.
    sent: Option<Duration>,
    /// When the last renewal that was answered was sent.
    renewed: Option<Duration>,
    leads_until: Option<Duration>,
    failures: u32,
    not_before: Duration,
}

/// What there is to do, when its time has come.
enum Due {
    Read,
    Take,
    Renew,
    Release,
}

impl Election {
    /// A replica that has seen nothing. `me` must be another one in every life of every process.
    pub fn new(me: String, times: Times) -> Self {
        Self {
            me,
            times,
            is_candidate: false,
            is_leaving: false,
            seen: None,
            sent: None,
            renewed: None,
            leads_until: None,
            failures: 0,
            not_before: Duration::ZERO,
        }
    }

    /// From now on this replica is able to lead.
    pub fn stand(&mut self) {
        self.is_candidate = true;
    }

    /// This replica ends: it writes nothing any more, nor is anything that it has written on its way.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        self.leads_until = None;
    }

    /// Until when this replica leads, if it does. What is sent must be sent before.
    pub fn leads_until(&self) -> Option<Duration> {
        self.leads_until
    }

    /// Who leads, as far as known.
    pub fn holder(&self) -> Option<&str> {
        let (lease, _) = self.seen.as_ref()?;
        lease.as_ref()?.record.holder()
    }

    /// Notes what a watch tells, which may be old.
    pub fn observe(&mut self, lease: Option<Lease>, now: Duration) {
        let is_news = match (&self.seen, &lease) {
            (Some((Some(known), _)), Some(told)) => {
                known.version != told.version && !is_older(told, known)
            }
            (Some((None, _)), None) => false,
            _ => true,
        };
        if is_news {
            self.see(lease, now);
        }
    }

    /// Notes what came of the last step.
    pub fn answered(&mut self, answer: Answer, now: Duration) {
        let sent = self.sent.take();
        match answer {
            Answer::Read(lease) => {
                self.succeeded();
                self.see(lease, now);
            }
            Answer::Written(lease) => {
                self.succeeded();
                self.observe(Some(lease), now);
                if self.is_mine() && !self.is_leaving {
                    self.renewed = sent;
                    self.leads_until = sent.map(|sent| sent + self.times.lead);
                }
            }
            Answer::Conflict => {
                // What is known is old.
                self.seen = None;
                self.failed(now);
            }
            Answer::Failed => self.failed(now),
        }
    }

    /// What to do now. A step other than waiting has to be answered before there is another.
    pub fn step(&mut self, now: Duration, now_us: i64) -> Step {
        if self.leads_until.is_some_and(|until| until <= now) {
            self.leads_until = None;
        }
        if self.sent.is_some() {
            return Step::Wait(self.leads_until);
        }
        let Some((at, due)) = self.due() else {
            return if self.is_leaving {
                Step::Done
            } else {
                Step::Wait(None)
            };
        };
        if at > now {
            return Step::Wait(Some(self.leads_until.map_or(at, |until| at.min(until))));
        }
        self.sent = Some(now);
        match due {
            Due::Read => Step::Read,
            Due::Take => self.write(self.taken(now_us)),
            Due::Renew => self.write(Record {
                lease_s: Some(self.lease_s()),
                renewed_us: Some(now_us),
                ..self.record()
            }),
            Due::Release => self.write(Record {
                holder: None,
                renewed_us: Some(now_us),
                ..self.record()
            }),
        }
    }

    fn due(&self) -> Option<(Duration, Due)> {
        let Some((lease, since)) = &self.seen else {
            return Some((self.not_before, Due::Read));
        };
        let (at, due) = if self.is_mine() && self.is_leaving {
            (Duration::ZERO, Due::Release)
        } else if self.is_leaving || !self.is_candidate {
            return None;
        } else if self.is_mine() {
            let renewed = self.renewed.map(|renewed| renewed + self.times.renew);
            (renewed.unwrap_or_default(), Due::Renew)
        } else {
            (*since + self.counts(lease.as_ref()), Due::Take)
        };
        Some((at.max(self.not_before), due))
    }

    /// For how long a Lease that another may hold counts. One that is gone may have been held when it went: its holder may
    /// not know that yet and leads until its last renewal is old. That only one can make it anew does not change this.
    fn counts(&self, lease: Option<&Lease>) -> Duration {
        let Some(Lease { record, .. }) = lease else {
            return self.times.lease;
        };
        if record.holder().is_none() {
            return Duration::ZERO;
        }
        let said = Duration::from_secs(record.lease_s.unwrap_or_default().into());
        said.min(LONGEST_LEASE).max(self.times.lease)
    }

    fn taken(&self, now_us: i64) -> Record {
        let before = self.record().transitions;
        Record {
            holder: Some(self.me.clone()),
            lease_s: Some(self.lease_s()),
            acquired_us: Some(now_us),
            renewed_us: Some(now_us),
            transitions: Some(before.map_or(0, |before| before.saturating_add(1))),
        }
    }

    fn write(&self, record: Record) -> Step {
        let lease = self.seen.as_ref().and_then(|(lease, _)| lease.as_ref());
        Step::Write {
            version: lease.map(|lease| lease.version.clone()),
            record,
        }
    }

    fn record(&self) -> Record {
        let lease = self.seen.as_ref().and_then(|(lease, _)| lease.as_ref());
        lease.map(|lease| lease.record.clone()).unwrap_or_default()
    }

    fn is_mine(&self) -> bool {
        self.holder() == Some(&self.me)
    }

    fn lease_s(&self) -> u32 {
        u32::try_from(self.times.lease.as_secs()).unwrap_or(u32::MAX)
    }

    fn see(&mut self, lease: Option<Lease>, now: Duration) {
        let is_another = lease
            .as_ref()
            .is_some_and(|lease| lease.record.holder() != Some(&self.me));
        if is_another {
            self.leads_until = None;
            self.renewed = None;
        }
        self.seen = Some((lease, now));
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Duration::ZERO;
    }

    fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + self.delay();
    }

    /// Doubled with each failure; its upper half is at another place for each replica and each time.
    fn delay(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let full = (self.times.retry * (1 << doublings)).min(self.times.retry_most);
        let mut text = self.me.clone().into_bytes();
        text.extend(self.failures.to_le_bytes());
        let part = u32::try_from(xxh3_64(&text) % 1024).unwrap_or_default();
        full / 2 + full / 2 * part / 1024
    }
}

impl Record {
    /// An empty name is as good as none.
    fn holder(&self) -> Option<&str> {
        self.holder.as_deref().filter(|holder| !holder.is_empty())
    }
}

/// Where versions are numbers, as they are, the smaller is the older. Otherwise the one that comes later is the newer: what
/// is old then costs a conflict.
fn is_older(one: &Lease, other: &Lease) -> bool {
    let number = |lease: &Lease| lease.version.parse::<u64>().ok();
    number(one)
        .zip(number(other))
        .is_some_and(|(one, other)| one < other)
}

#[cfg(test)]
mod tests;
