//! The measurement of packets.
//!
//! Owns its order: in each round every way has its turn, with a sample of each kind, and every other round goes backwards.
//! So whatever else the machine does meets all ways, and a ratio is one of two samples of the same round. Never writes
//! anything down.

use std::collections::BTreeMap;
use std::time::Duration;

use super::network::Network;
use super::path::Path;
use super::traffic::Kind;
use crate::sample::Sample;

/// What was found on one way.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Which.
    pub path: Path,
    /// Of each kind, a rate for each round.
    pub rates: BTreeMap<Kind, Vec<f64>>,
    /// How long a request took, over all rounds.
    pub latency: Sample,
}

impl Line {
    /// The rates of a kind, one for each round.
    pub fn rates(&self, kind: Kind) -> &[f64] {
        self.rates.get(&kind).map_or(&[], Vec::as_slice)
    }
}

/// The middle of several figures, and how far apart they are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Middle {
    /// The smallest.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Middle {
    /// Of figures in any order.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or_default();
        Self {
            least: at(0),
            median: at(figures.len() / 2),
            most: at(figures.len().saturating_sub(1)),
        }
    }

    /// Of the ratios in each round.
    pub fn of_ratios(line: &Line, baseline: &Line, kind: Kind) -> Self {
        let pairs = line.rates(kind).iter().zip(baseline.rates(kind));
        Self::of(pairs.map(|(rate, baseline)| rate / baseline))
    }
}

/// Measures all ways of this network.
pub fn measure(network: &Network, rounds: u32, time: Duration) -> anyhow::Result<Vec<Line>> {
    let mut rates = BTreeMap::<(Path, Kind), Vec<f64>>::new();
    let mut times = BTreeMap::<Path, Vec<Duration>>::new();
    let mut ways: Vec<_> = network.ways.iter().collect();
    for round in 1..=rounds {
        for kind in Kind::ALL {
            eprintln!("datapath: round {round} of {rounds}: {}", kind.title());
            for way in &ways {
                let taken = network.server.sample(way, kind, time)?;
                rates.entry((way.path, kind)).or_default().push(taken.rate);
                times.entry(way.path).or_default().extend(taken.times);
            }
        }
        ways.reverse();
    }
    let line = |path: Path| Line {
        path,
        rates: Kind::ALL
            .into_iter()
            .map(|kind| (kind, rates.remove(&(path, kind)).unwrap_or_default()))
            .collect(),
        latency: times.remove(&path).into_iter().flatten().collect(),
    };
    Ok(network.ways.iter().map(|way| way.path).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rates: &[f64]) -> Line {
        Line {
            path: Path::Bare,
            rates: BTreeMap::from([(Kind::Requests, rates.to_vec())]),
            latency: Sample::default(),
        }
    }

    #[test]
    fn a_ratio_is_one_of_the_same_round() {
        let (fast, slow) = (line(&[100.0, 10.0, 50.0]), line(&[50.0, 10.0, 50.0]));
        let ratio = Middle::of_ratios(&slow, &fast, Kind::Requests);
        let expected = Middle {
            least: 0.5,
            median: 1.0,
            most: 1.0,
        };
        assert_eq!(ratio, expected);
        assert_eq!(
            Middle::of_ratios(&slow, &fast, Kind::Throughput),
            Middle::default()
        );
    }
}
