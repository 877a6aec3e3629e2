//! The connections that are open, and which of them goes when there are too many.
//!
//! Owns the rule for that. Anybody who reaches the port can open connections, so it goes by the peers' addresses: the
//! peer with the most connections loses one. Whoever holds many thus keeps nobody out who needs few, as an API server
//! does. It loses the one that has waited longest for a question; one that is being answered only if all are. A
//! newcomer of that very peer ends no answer, but is sent away. Never reads or writes anything.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

/// What a connection does, and since when; those that are sooner missed are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// It waits for a question.
    Waiting(Instant),
    /// A question is being answered.
    Answering(Instant),
}

/// Connections, each of which has a task.
#[derive(Debug)]
pub struct Guests {
    most: usize,
    tasks: JoinSet<()>,
    known: HashMap<Id, Guest>,
}

#[derive(Debug)]
struct Guest {
    peer: IpAddr,
    doing: watch::Receiver<Doing>,
    task: AbortHandle,
}

impl Guests {
    /// None yet, and at most so many at once.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            known: HashMap::new(),
        }
    }

    /// Whether there is room for a connection of this peer, made by ending another if need be.
    pub fn make_room(&mut self, peer: IpAddr) -> bool {
        if self.known.len() < self.most {
            return true;
        }
        let guests = self.known.iter();
        let guests = guests.map(|(id, guest)| (*id, guest.peer, *guest.doing.borrow()));
        let leaver = leaver(peer, &guests.collect::<Vec<_>>());
        let leaver = leaver.and_then(|id| self.known.remove(&id));
        if let Some(guest) = &leaver {
            guest.task.abort();
        }
        leaver.is_some()
    }

    /// Lets a connection in for which there is room.
    pub fn welcome(
        &mut self,
        peer: IpAddr,
        doing: watch::Receiver<Doing>,
        visit: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(visit);
        let id = task.id();
        self.known.insert(id, Guest { peer, doing, task });
    }

    /// Forgets the next one that ends; `None` if there is none. May be dropped at any time.
    pub async fn part(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.known.remove(&id);
        Some(())
    }
}

/// Who goes for a newcomer of this peer; `None` if that is the newcomer itself.
fn leaver<K: Copy>(newcomer: IpAddr, guests: &[(K, IpAddr, Doing)]) -> Option<K> {
    let mut shares: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (_, peer, _) in guests {
        *shares.entry(*peer).or_default() += 1;
    }
    let own = shares.get(&newcomer).copied().unwrap_or_default();
    let (greediest, most) = shares.into_iter().max_by_key(|(_, share)| *share)?;
    let loser = if most > own { greediest } else { newcomer };
    guests
        .iter()
        .filter(|(_, peer, _)| *peer == loser)
        .filter(|(_, _, doing)| loser != newcomer || matches!(doing, Doing::Waiting(_)))
        .min_by_key(|(_, _, doing)| *doing)
        .map(|(key, _, _)| *key)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SCANNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 0, 9));
    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 10, 0, 1));

    fn at(second: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(second)
    }

    fn waiting(peer: IpAddr, since: u64) -> (IpAddr, Doing) {
        (peer, Doing::Waiting(at(since)))
    }

    fn answering(peer: IpAddr, since: u64) -> (IpAddr, Doing) {
        (peer, Doing::Answering(at(since)))
    }

    /// The place in the list of the one that goes.
    fn goes(newcomer: IpAddr, guests: &[(IpAddr, Doing)]) -> Option<usize> {
        let guests = guests.iter().enumerate();
        let guests: Vec<_> = guests
            .map(|(place, (peer, doing))| (place, *peer, *doing))
            .collect();
        leaver(newcomer, &guests)
    }

    #[test]
    fn who_has_the_most_loses_the_one_that_has_waited_longest() {
        let guests = [
            waiting(SERVER, 0),
            answering(SCANNER, 1),
            waiting(SCANNER, 3),
            waiting(SCANNER, 2),
        ];
        assert_eq!(goes(SERVER, &guests), Some(3));
        assert_eq!(goes(SCANNER, &guests), Some(3));
    }

    #[test]
    fn slow_questions_keep_nobody_out() {
        let guests = [answering(SCANNER, 2), answering(SCANNER, 1)];
        assert_eq!(goes(SERVER, &guests), Some(1));
    }

    #[test]
    fn for_its_own_newcomer_a_peer_loses_no_answer() {
        let guests = [
            answering(SCANNER, 1),
            answering(SCANNER, 2),
            waiting(SERVER, 0),
        ];
        assert_eq!(goes(SCANNER, &guests), None);
    }

    #[test]
    fn who_has_no_more_than_the_newcomer_loses_nothing() {
        let guests = [waiting(SCANNER, 0), answering(SERVER, 1)];
        assert_eq!(goes(SERVER, &guests), None);
        let guests = [waiting(SCANNER, 0), waiting(SERVER, 1)];
        assert_eq!(goes(SERVER, &guests), Some(1));
    }

    #[tokio::test]
    async fn who_goes_is_gone_and_its_place_is_free() {
        let mut guests = Guests::new(2);
        let (_doing, waits) = watch::channel(Doing::Waiting(Instant::now()));
        for _ in 0..2 {
            assert!(guests.make_room(SCANNER));
            guests.welcome(SCANNER, waits.clone(), std::future::pending());
        }
        assert!(guests.make_room(SERVER));
        guests.welcome(SERVER, waits.clone(), std::future::pending());
        assert_eq!(guests.part().await, Some(()));
        assert_eq!(guests.known.len(), 2);
    }

    #[tokio::test]
    async fn who_has_ended_leaves_its_place() {
        let mut guests = Guests::new(1);
        let (_doing, waits) = watch::channel(Doing::Answering(Instant::now()));
        guests.welcome(SCANNER, waits, std::future::ready(()));
        assert!(!guests.make_room(SCANNER));
        assert_eq!(guests.part().await, Some(()));
        assert!(guests.make_room(SCANNER));
        assert_eq!(guests.part().await, None);
    }
}
