//! The agent of a cluster where Egress is off: it leaves nothing of Egret on its node.
//!
//! Owns the order: first the kernel, then what Egresses say of this node, then the report that all is done. It goes on
//! running, for the operator removes it once every node is clean. Never joins the gossip: it holds nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use egret_domain::name::{EgressName, NodeName};
use egret_domain::node::Fact;
use egret_domain::ownership::Report;
use egret_runtime::backoff::Limits;
use egret_runtime::live::Pulse;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::feed::{Message, Source};
use crate::kernel::Kernel;
use crate::report::NodeReport;
use crate::status::Statuses;

const BACKOFF: Limits = Limits {
    first: Duration::from_millis(500),
    most: Duration::from_secs(10),
};

/// What is left to be cleaned up, and where that is told.
pub struct Cleaner<K> {
    /// This node.
    pub me: NodeName,
    /// Its kernel.
    pub kernel: K,
    /// This node's part in Egresses' statuses.
    pub statuses: Statuses,
    /// This node's report on itself.
    pub report: watch::Sender<NodeReport>,
    /// Tells that it goes on.
    pub pulse: Pulse,
}

impl<K: Kernel> Cleaner<K> {
    /// Cleans up, then watches that it stays so until nobody sends messages any more.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        info!("Egress is off: removing everything from this node");
        self.clean_kernel().await;
        let Self {
            me,
            statuses,
            report,
            pulse,
            ..
        } = self;
        let (mut said, mut is_synced) = (BTreeSet::<EgressName>::new(), false);
        while let Some(message) = pulse.through(messages.recv()).await {
            match message {
                Message::Egress(fact, name, object) => {
                    let is_mine = holder(&fact) == Some(&me);
                    statuses.set(name.clone(), is_mine.then_some((object, Report::LetGo)));
                    if is_mine {
                        said.insert(name);
                    } else {
                        said.remove(&name);
                    }
                }
                Message::Fact(Fact::EgressGone(name)) => {
                    statuses.set(name.clone(), None);
                    said.remove(&name);
                }
                Message::Synced(Source::Egresses) => is_synced = true,
                Message::Fact(_) | Message::Synced(_) => {}
            }
            if is_synced {
                tell(&report, NodeReport::off(said.is_empty(), None));
            }
        }
    }

    async fn clean_kernel(&mut self) {
        let mut failures: u32 = 0;
        self.pulse.beat();
        while let Err(error) = self.kernel.remove().await {
            failures = failures.saturating_add(1);
            let (delay, text) = (BACKOFF.delay(failures), egret_runtime::describe(&error));
            warn!(error = text, ?delay, "cannot clean up, will retry");
            tell(
                &self.report,
                NodeReport::off(false, Some((error.check(), text))),
            );
            self.pulse.through(sleep(delay)).await;
        }
        info!("nothing of Egret is left in the kernel");
    }
}

fn holder(fact: &Fact) -> Option<&NodeName> {
    let reported = match fact {
        Fact::Egress(fact) => fact.reported.as_ref(),
        Fact::EgressUnusable(fact) => fact.reported.as_ref(),
        _ => None,
    };
    reported.map(|reported| &reported.node)
}

fn tell(report: &watch::Sender<NodeReport>, now: NodeReport) {
    report.send_if_modified(|report| {
        let is_news = *report != now;
        *report = now;
        is_news
    });
}

#[cfg(test)]
mod tests;
