//! The loop with objects that are made up, and a lead that turns.

use std::future::pending;
use std::sync::{Arc, Mutex};

use egret_runtime::live::Liveness;
use futures::stream;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;

#[derive(Debug, Error)]
#[error("{0}")]
struct Problem(&'static str);

impl Trouble for Problem {
    fn kind(&self) -> Kind {
        Kind::Other(self.0)
    }

    fn restless() -> Self {
        Self("restless")
    }
}

/// What was done with it.
type Done = Arc<Mutex<Vec<&'static str>>>;

/// Something that takes no step, or hangs in one.
struct Thing {
    done: Done,
    is_hanging: bool,
}

impl Kept for Thing {
    type Change = ();
    type Problem = Problem;

    const WHAT: &'static str = "a thing";

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn forget(&mut self) {
        self.done.lock().unwrap().push("forgotten");
    }

    fn note(&mut self, (): ()) {
        self.done.lock().unwrap().push("noted");
    }

    async fn step(&mut self, _: Timestamp) -> Result<Turn<Problem>, Problem> {
        self.done.lock().unwrap().push("looked");
        if self.is_hanging {
            pending::<()>().await;
        }
        Ok(Turn::Rest { until: None })
    }
}

struct Running {
    done: Done,
    lead: watch::Sender<bool>,
    changes: mpsc::Sender<()>,
    liveness: Liveness,
    _task: JoinHandle<()>,
}

impl Running {
    fn new(is_hanging: bool) -> Self {
        let (done, liveness) = (Done::default(), Liveness::default());
        let (lead, leads) = watch::channel(false);
        let (changes, told) = mpsc::channel(4);
        let thing = Thing {
            done: Arc::clone(&done),
            is_hanging,
        };
        let keeper = Keeper::new(thing, leads, Metrics::default(), liveness.pulse("thing"));
        let told = stream::unfold(told, async |mut told| Some((told.recv().await?, told)));
        Self {
            done,
            lead,
            changes,
            liveness,
            _task: tokio::spawn(keeper.run(told.boxed(), pending())),
        }
    }

    /// What was done since the last call, some time later.
    async fn done(&self) -> Vec<&'static str> {
        sleep(Duration::from_secs(1)).await;
        std::mem::take(&mut *self.done.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn only_who_leads_looks_and_what_it_knew_before_counts_no_more() {
    let thing = Running::new(false);
    thing.changes.send(()).await.unwrap();
    assert_eq!(thing.done().await, ["forgotten"]);
    thing.lead.send_replace(true);
    assert_eq!(thing.done().await, ["looked"]);
    thing.changes.send(()).await.unwrap();
    assert_eq!(thing.done().await, ["noted", "looked"]);
    thing.lead.send_replace(false);
    assert_eq!(thing.done().await, ["forgotten"]);
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_was_lost_and_won_again_while_resting_is_noticed() {
    let thing = Running::new(false);
    thing.lead.send_replace(true);
    thing.done().await;
    thing.lead.send_replace(false);
    thing.lead.send_replace(true);
    assert_eq!(thing.done().await, ["forgotten", "looked"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_lead_and_resting_is_being_alive_and_a_step_without_end_is_not() {
    for (is_hanging, expected) in [(false, 0), (true, 1)] {
        let thing = Running::new(is_hanging);
        sleep(Duration::from_mins(3)).await;
        assert_eq!(thing.liveness.stuck(), []);
        thing.lead.send_replace(true);
        sleep(Duration::from_mins(3)).await;
        assert_eq!(thing.liveness.stuck().len(), expected);
    }
}
