//! What is told of a measurement.
//!
//! Owns its words and tables. Never measures.

use std::fmt;
use std::time::Duration;

use super::measure::{Change, Figures};
use super::world::{NODES, POOLS};
use crate::machine::Machine;
use crate::sample::ratio;
use crate::table::{Table, mib, thousands, time};

/// The picture beside the page.
pub const PLOT: &str = "allocation.svg";

/// All that one run has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Where.
    pub machine: Machine,
    /// The smallest world first.
    pub figures: Vec<Figures>,
}

impl Findings {
    fn filling(&self) -> Table {
        let mut table = Table::new([
            "cluster",
            "all created",
            "all allocated",
            "operator's processor time",
            "per Egress",
            "writes per Egress",
            "memory",
            "at its height",
        ]);
        for figures in &self.figures {
            let count = figures.world.egresses.max(1);
            let each = figures.filling.processor / u32::try_from(count).unwrap_or(u32::MAX);
            table.add([
                figures.world.to_string(),
                seconds(figures.created),
                seconds(figures.allocated),
                seconds(figures.filling.processor),
                time(each),
                per(figures.filling.writes, count),
                mib(figures.resident.now_kib),
                mib(figures.resident.most_kib),
            ]);
        }
        table
    }

    fn changes(&self, of: impl Fn(&Figures) -> &Change) -> Table {
        let mut table = Table::new([
            "cluster",
            "changes",
            "Egresses concerned",
            "p50",
            "p99",
            "ratio p50",
            "writes per Egress",
            "processor time per Egress",
            "ratio",
        ]);
        let baseline = self.figures.first().map(&of).cloned().unwrap_or_default();
        for figures in &self.figures {
            let change = of(figures);
            let (p50, each) = (change.times.percentile(50), change.processor_each());
            table.add([
                figures.world.to_string(),
                change.times.count().to_string(),
                thousands(change.concerned),
                time(p50),
                time(change.times.percentile(99)),
                format!("{:.2}", ratio(p50, baseline.times.percentile(50))),
                per(change.used.writes, change.concerned),
                time(each),
                format!("{:.2}", ratio(each, baseline.processor_each())),
            ]);
        }
        table
    }

    /// The tables, each with its heading.
    pub fn tables(&self) -> String {
        format!(
            "## All at once\n\n{}\n## One more Egress\n\n{}\n## One node less\n\n{}",
            self.filling(),
            self.changes(|figures| &figures.more),
            self.changes(|figures| &figures.less),
        )
    }
}

/// The whole page.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, .. } = self;
        let nodes = thousands(NODES);
        write!(
            f,
            "\
# Allocation: what the operator costs

How long the operator takes until all Egresses have an address and candidates, in a cluster of {POOLS} pools and {nodes}
nodes; and what one more Egress, or one node less, costs when that is done. The smallest cluster is the baseline: a ratio says
what size costs, whatever the machine is. The cost of one change must not grow.

    hack/bench allocation            # the tables below
    hack/bench allocation --write    # and writes this page and the plot

Measured on: {machine}.
etcd, kube-apiserver, operator and the client shared its cores, and etcd did not wait for a disk. Nodes are objects only, and
no agent runs. After each filling it was checked that no two Egresses have the same address.

![Time and processor time of one change]({PLOT})

- *All created*: until the API server had answered the last create, of 16 at once; so most of what follows is its own time.
- *Writes*: requests of the operator that change an object. An Egress needs two, for its address and finalizer stand in the
  object and the rest in its status; the third is the Event that tells of it. The fourth, where one more comes alone, is its
  pool's usage: of many that come together a pool is written at most twice a second.
- *One node less*: a Node is deleted; until no Egress lists it. What is concerned are those that did.

{}",
            self.tables()
        )
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn per(writes: u64, count: usize) -> String {
    let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
    let hundredths = writes * 100 / count;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::super::operator::Used;
    use super::super::world::World;
    use super::*;
    use crate::machine::Resident;

    fn figures(egresses: usize, each_ms: u64) -> Figures {
        let change = Change {
            times: [Duration::from_millis(each_ms)].into_iter().collect(),
            concerned: 2,
            used: Used {
                processor: Duration::from_millis(each_ms),
                writes: 5,
            },
        };
        Figures {
            world: World { egresses },
            created: Duration::from_secs(1),
            allocated: Duration::from_secs(2),
            filling: Used::default(),
            resident: Resident::default(),
            more: change.clone(),
            less: change,
        }
    }

    #[test]
    fn each_cluster_stands_beside_its_ratio_to_the_smallest() {
        let findings = Findings {
            machine: Machine::this(),
            figures: vec![figures(100, 4), figures(10_000, 6)],
        };
        let table = findings.changes(|figures| &figures.more).to_string();
        let row = table.lines().last().unwrap_or_default();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let expected = [
            "",
            "10,000 Egresses",
            "1",
            "2",
            "6.00 ms",
            "6.00 ms",
            "1.50",
            "2.50",
            "3.00 ms",
            "1.50",
            "",
        ];
        assert_eq!(cells, expected);
        assert!(findings.to_string().contains(&findings.tables()));
    }
}
