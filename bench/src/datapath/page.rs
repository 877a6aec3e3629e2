//! What is told of a measurement.
//!
//! Owns its words and tables. Never measures.

use std::fmt;
use std::time::Duration;

use super::measure::{Line, Middle};
use super::memory::{EGRESSES, Memory, PODS, Role};
use super::path::Path;
use super::traffic::Kind;
use super::update::{Costs, Updates};
use crate::machine::Machine;
use crate::sample::{Sample, ratio};
use crate::table::{Table, mib, time};

/// The picture beside the page.
pub const PLOT: &str = "datapath.svg";

/// All that one run has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Where.
    pub machine: Machine,
    /// How often each figure was taken.
    pub rounds: u32,
    /// How long a sample took.
    pub sample: Duration,
    /// Of each way.
    pub lines: Vec<Line>,
    /// What changes cost.
    pub updates: Updates,
    /// What an agent needs.
    pub memory: Vec<(Role, Memory)>,
    /// The size of its program, if that was given.
    pub program_bytes: Option<u64>,
}

impl Findings {
    fn line(&self, path: Path) -> Option<&Line> {
        self.lines.iter().find(|line| line.path == path)
    }

    fn rates(&self) -> Table {
        let [first, second, third] = Kind::ALL.map(Kind::title);
        let mut table = Table::new(["way", first, second, third, "request p50", "request p99"]);
        for line in &self.lines {
            let [gbits, requests, connections] =
                Kind::ALL.map(|kind| Middle::of(line.rates(kind).iter().copied()));
            table.add([
                line.path.to_string(),
                with_spread(gbits, 1.0, 2),
                with_spread(requests, 1e3, 2) + "k",
                with_spread(connections, 1e3, 2) + "k",
                time(line.latency.percentile(50)),
                time(line.latency.percentile(99)),
            ]);
        }
        table
    }

    fn ratios(&self, against: Path) -> Table {
        let [first, second, third] = Kind::ALL.map(Kind::title);
        let mut table = Table::new(["way", first, second, third, "by request p50"]);
        let Some(baseline) = self.line(against) else {
            return table;
        };
        let compared = self.lines.iter();
        for line in compared.filter(|line| line.path.baseline() == against) {
            let [gbits, requests, connections] =
                Kind::ALL.map(|kind| with_spread(Middle::of_ratios(line, baseline, kind), 1.0, 3));
            let [this, other] = [line, baseline].map(|line| line.latency.percentile(50));
            table.add([
                line.path.to_string(),
                gbits,
                requests,
                connections,
                format!("{:.3}", ratio(other, this)),
            ]);
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = Table::new(["agent", "index and kernel side", "at its height", "kernel"]);
        for (role, memory) in &self.memory {
            table.add([
                role.to_string(),
                mib(memory.filled_kib.saturating_sub(memory.empty_kib)),
                mib(memory.most_kib),
                mib(memory.kernel_kib),
            ]);
        }
        table
    }

    fn program(&self) -> String {
        let size = self.program_bytes.map(|bytes| mib(bytes / 1024));
        let told = size.map(|size| format!("\nThe agent's program has {size}.\n"));
        told.unwrap_or_default()
    }

    /// The tables, each with its heading.
    pub fn tables(&self) -> String {
        format!(
            "## Rates\n\n{}\n## Ratios to bare VXLAN\n\n{}\n## Ratios to a node without Egret\n\n{}\n\
             ## One Pod\n\n{}\n## 1,000 Egresses at once\n\n{}\n## Memory\n\n{}{}",
            self.rates(),
            self.ratios(Path::Bare),
            self.ratios(Path::Node),
            costs(&self.updates.one_pod),
            costs(&self.updates.at_once),
            self.memory(),
            self.program(),
        )
    }
}

/// A median, with the smallest and the largest.
fn with_spread(middle: Middle, unit: f64, digits: usize) -> String {
    let Middle {
        least,
        median,
        most,
    } = middle;
    let (least, median, most) = (least / unit, median / unit, most / unit);
    format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
}

fn costs(all: &[Costs]) -> Table {
    let mut table = Table::new([
        "change",
        "times",
        "until it stands p50",
        "p99",
        "of that deciding",
        "processor time p50",
        "of the agent",
        "of nft",
    ]);
    let median = |sample: &Sample| time(sample.percentile(50));
    for costs in all {
        table.add([
            costs.title.clone(),
            costs.wall.count().to_string(),
            median(&costs.wall),
            time(costs.wall.percentile(99)),
            median(&costs.deciding),
            median(&costs.processor),
            median(&costs.own),
            median(&costs.nft),
        ]);
    }
    table
}

/// The whole page.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            rounds,
            sample,
            ..
        } = self;
        let millis = sample.as_millis();
        let pods = PODS.to_string();
        let egresses = crate::table::thousands(EGRESSES);
        write!(
            f,
            "\
# Datapath: what Egret costs a packet, and a change an agent

How quickly a Pod reaches the outside through its gateway with 1 to 10,000 Egresses and as many Pods, and how quickly a Pod
that no Egress selects does so without one; what one Pod more, or 1,000 Egresses more, costs an agent; and its memory. The
baselines stand beside it in the same run. The goals are 0.97 of bare VXLAN, 0.97 of a node without Egret, and a change that
costs the same however much is there.

    hack/bench datapath            # the tables below
    hack/bench datapath --write    # and writes this page and the plot
    hack/bench datapath --quick    # in less than a minute of samples, to see that it works

Measured on: {machine}.
{rounds} rounds with a sample of {millis} ms of each kind on each way; a fifth of that before it did not count.

![Ratios over the number of Egresses](datapath.svg)

- External host, nodes and Pods are network namespaces of this machine; client, server and all that is between share *one
  processor*. So a rate is the inverse of what a request, a connection or a byte costs of it on its whole way.
- Of rates and ratios the median of the rounds is told, with the smallest and the largest. A ratio is one of two samples of
  the same round.
- *By request p50*: the baseline's time of a request in the middle, to that of this way. On a machine that does other
  work it is steadier than a rate.
- *Request*: a byte there and back on an open connection. *Connect+request*: a connection for each. *Gbit/s*: one connection,
  from the Pod to the outside, as what the server has received.
- *Bare VXLAN*: the Pod's node has a route and nothing else, no conntrack and no masquerade rule, which any other node has;
  the gateway has one masquerade rule.
- *iptables and ipset*: a set and a rule for each policy, in `mangle` on the Pod's node and in `nat` on the gateway. A
  model of what others do, loaded at once and never changed.
- Each sample counts only if the external host has seen the address that this way is for: the egress IP with Egret, the
  gateway's address behind a masquerade rule there, the node's for a Pod that nothing selects.
- Egret's nodes are made by the agent's own code, from facts of all Egresses, nodes and Pods to nftables and netlink, without
  an API server. *Until it stands*: from the fact until the kernel has it. *Deciding*: until it was known what is to stand.
- *One Pod*: the node has 100, or 10,000, Pods, each selected by an Egress of its own; by turns.
- *Memory*: of a process that holds the index and the kernel side of one agent, told of {egresses} Egresses and {pods} Pods of its
  node: what VmRSS has grown by; VmHWM; and what Slab and Percpu of the whole machine have grown by meanwhile, which is
  no more than a hint. Watches, gossip and TLS are not in it.

{}",
            self.tables()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn line(path: Path, rate: f64) -> Line {
        Line {
            path,
            rates: Kind::ALL.map(|kind| (kind, vec![rate])).into(),
            latency: Sample::default(),
        }
    }

    fn findings(lines: Vec<Line>) -> Findings {
        Findings {
            machine: Machine::this(),
            rounds: 1,
            sample: Duration::from_secs(1),
            lines,
            updates: Updates::default(),
            memory: Vec::new(),
            program_bytes: Some(3 << 20),
        }
    }

    #[test]
    fn each_way_stands_beside_its_own_baseline() {
        let findings = findings(vec![
            line(Path::Bare, 2.0),
            line(Path::Node, 4.0),
            line(Path::Selected(1), 1.0),
            line(Path::Unselected(1), 1.0),
        ]);
        let last = |against| {
            let table = findings.ratios(against).to_string();
            table.lines().last().unwrap_or_default().to_owned()
        };
        assert!(last(Path::Bare).starts_with("| Egret, 1 Egress"));
        assert!(last(Path::Bare).contains("| 0.500 (0.500 to 0.500) |          0.000 |"));
        assert!(last(Path::Node).starts_with("| not selected, 1 Egress"));
        assert!(last(Path::Node).contains("| 0.250 (0.250 to 0.250) |"));
        assert!(findings.to_string().contains("program has 3.0 MiB"));
    }

    #[test]
    fn without_a_baseline_there_are_no_ratios() {
        let mut selected = line(Path::Selected(1), 1.0);
        selected.rates = BTreeMap::new();
        let table = findings(vec![selected]).ratios(Path::Bare).to_string();
        assert_eq!(table.lines().count(), 2);
    }
}
