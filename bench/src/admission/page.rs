//! What is told of a measurement.
//!
//! Owns its words and tables. Never measures.

use std::fmt;

use super::measure::{Figure, Place};
use super::memory::Memory;
use super::world::{NODES, World};
use crate::machine::Machine;
use crate::sample::{Sample, ratio};
use crate::table::{Table, mib, time};

/// The picture beside the page.
pub const PLOT: &str = "admission.svg";

/// All that one run has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Where.
    pub machine: Machine,
    /// Latencies.
    pub figures: Vec<Figure>,
    /// Worlds, each with the webhook's memory in it.
    pub memory: Vec<(World, Memory)>,
}

impl Findings {
    /// The latencies of one place.
    fn latency(&self, place: Place) -> Table {
        let mut table = Table::new([
            "question",
            "answer",
            "p50",
            "p99",
            "longest",
            "baseline p50",
            "baseline p99",
            "ratio p50",
            "ratio p99",
        ]);
        for figure in self.figures.iter().filter(|figure| figure.place == place) {
            table.add(row(figure));
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = Table::new([
            "cluster",
            "resident",
            "after questions",
            "at its height",
            "Egresses and pools add",
        ]);
        let baseline = self.memory.iter().find(|(world, _)| *world == World::EMPTY);
        let baseline = baseline.map(|(_, memory)| *memory).unwrap_or_default();
        for (world, memory) in &self.memory {
            let added = memory.filled_kib.saturating_sub(baseline.filled_kib);
            table.add([
                world.to_string(),
                mib(memory.filled_kib),
                mib(memory.asked_kib),
                mib(memory.most_kib),
                mib(added),
            ]);
        }
        table
    }

    /// The tables, each with its heading.
    pub fn tables(&self) -> String {
        let latency = Place::ALL.map(|place| {
            let table = self.latency(place);
            format!("## {}\n\n{table}\n", place.title())
        });
        format!("{}## Memory\n\n{}", latency.concat(), self.memory())
    }

    fn answers(&self) -> usize {
        let counts = self.figures.iter().map(|figure| figure.large.count());
        counts.min().unwrap_or_default()
    }
}

/// The whole page.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, .. } = self;
        let (large, small) = (World::LARGE, World::SMALL);
        let answers = self.answers();
        write!(
            f,
            "\
# Admission: how long an answer takes

How long the API server waits for the webhook when somebody stores an Egress or a pool, and what memory the webhook needs,
in a cluster of {large} and {NODES} nodes. The baseline is the same question in a cluster of
{small} and as many nodes, asked by turns in the same run: the ratios say what size costs, whatever the
machine is. The goal is 99 of 100 answers within 5 ms.

    hack/bench admission            # the tables below
    hack/bench admission --write    # and writes this page and the plot

Measured on: {machine}.
Client, webhook and a stand-in for the API server shared its cores. {answers} answers to each question in each cluster;
every one was checked.

![Distribution of the times]({PLOT})

- *Inside the process*: from the question's bytes to the answer's, without a network.
- *As a client sees it*: over TLS 1.3 on the loopback interface, on one HTTP/1.1 connection that stays open, as the API
  server does it; and with four such connections that ask at the same moment.
- *Second look*: a refusal that rests on another object is given only after that has been read anew. Here the API server
  answers at once, from the same process; a real one adds its own time once, for all reads go out together.

{}
*Resident* is VmRSS of a process that holds one webhook with all it has read; the stand-in for the API server, which keeps
no objects, is in it too. *At its height* is the most that it ever was while it read the lists.
",
            self.tables()
        )
    }
}

fn row(figure: &Figure) -> [String; 9] {
    let Figure {
        question,
        large,
        small,
        ..
    } = figure;
    let times = |sample: &Sample, percent| time(sample.percentile(percent));
    let ratios = |percent| {
        let ratio = ratio(large.percentile(percent), small.percentile(percent));
        format!("{ratio:.2}")
    };
    [
        question.title().to_owned(),
        question.outcome().to_owned(),
        times(large, 50),
        times(large, 99),
        time(large.longest()),
        times(small, 50),
        times(small, 99),
        ratios(50),
        ratios(99),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::question::Question;
    use super::*;

    fn findings() -> Findings {
        let micros = |times: [u64; 2]| times.map(Duration::from_micros).into_iter().collect();
        let figure = Figure {
            place: Place::Inside,
            question: Question::TakenAddress,
            large: micros([300, 1500]),
            small: micros([200, 1000]),
        };
        let memory = |filled_kib| Memory {
            filled_kib,
            ..Memory::default()
        };
        Findings {
            machine: Machine::this(),
            figures: vec![figure],
            memory: vec![(World::EMPTY, memory(4096)), (World::LARGE, memory(20_480))],
        }
    }

    #[test]
    fn a_latency_stands_beside_its_baseline_and_their_ratio() {
        let table = findings().latency(Place::Inside).to_string();
        let row = table.lines().last().unwrap_or_default();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let expected = [
            "",
            "create, address taken",
            "refused, second look",
            "300 µs",
            "1.50 ms",
            "1.50 ms",
            "200 µs",
            "1.00 ms",
            "1.50",
            "1.50",
            "",
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn of_memory_only_what_objects_add_is_counted_against_them() {
        let table = findings().memory().to_string();
        assert!(table.contains("20.0 MiB"), "{table}");
        assert!(table.trim_end().ends_with("16.0 MiB |"), "{table}");
    }

    #[test]
    fn the_page_has_the_tables_and_the_plot() {
        let findings = findings();
        let page = findings.to_string();
        assert!(
            page.contains(&findings.tables()) && page.contains(PLOT),
            "{page}"
        );
    }
}
