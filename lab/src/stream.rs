//! A steady stream of requests, to see how long answers stay away and which sources they came from.
//!
//! Owns the pace and the sum. Requests never wait for each other: each has its own connection and
//! one second, so a gap in the answers is a gap in the path.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::request::{self, Family};

/// How long one request may take: less than TCP waits before it sends a SYN again, or a request from the midst of an
/// outage would count as answered.
const LIMIT: Duration = Duration::from_millis(900);

/// What is sent.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Where to.
    pub url: Uri,
    /// Requests per second.
    pub rate: u32,
    /// For how long.
    pub length: Duration,
    /// Whether each second's sum is told on standard error.
    pub live: bool,
}

/// One request: when it was sent, since the start, and the source that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Time since the stream began.
    pub sent_at: Duration,
    /// The body of the answer: the source address.
    pub source: Option<String>,
}

/// The sum of a stream.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests sent.
    pub sent: usize,
    /// Requests answered in time.
    pub answered: usize,
    /// Answers by source address.
    pub sources: BTreeMap<String, usize>,
    /// The longest time between two successive answered requests, by when they were sent.
    pub longest_gap_ms: u128,
    /// When the last answered request was sent, since the start; none without any answer.
    pub last_answered_ms: Option<u128>,
}

impl Summary {
    /// Sums up samples in any order. Fewer than two answers have no gap between them.
    pub fn of(mut samples: Vec<Sample>) -> Self {
        samples.sort_by_key(|sample| sample.sent_at);
        let mut summary = Self {
            sent: samples.len(),
            ..Self::default()
        };
        let mut last = None;
        for sample in &samples {
            let Some(source) = &sample.source else {
                continue;
            };
            summary.answered += 1;
            *summary.sources.entry(source.clone()).or_default() += 1;
            let gap = last.map_or(Duration::ZERO, |last| sample.sent_at.saturating_sub(last));
            summary.longest_gap_ms = summary.longest_gap_ms.max(gap.as_millis());
            last = Some(sample.sent_at);
        }
        summary.last_answered_ms = last.map(|last| last.as_millis());
        summary
    }
}

impl Stream {
    /// Sends everything, waits for the last answers, sums up.
    pub async fn run(&self) -> Summary {
        let (samples, mut results) = mpsc::channel(256);
        let total = u64::from(self.rate) * self.length.as_secs();
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let start = Instant::now();
        let mut all = Vec::new();
        let mut told = 0;
        for number in 1..=total {
            pace.tick().await;
            tokio::spawn(sample(self.url.clone(), start, samples.clone()));
            while let Ok(result) = results.try_recv() {
                all.push(result);
            }
            if self.live && number % u64::from(self.rate) == 0 {
                tell(&all, told, number / u64::from(self.rate));
                told = all.len();
            }
        }
        drop(samples);
        while let Some(result) = results.recv().await {
            all.push(result);
        }
        Summary::of(all)
    }
}

fn tell(all: &[Sample], told: usize, second: u64) {
    let new = Summary::of(all.iter().skip(told).cloned().collect());
    eprintln!(
        "{second:>4} s  {} finished, {} answered, {:?}",
        new.sent, new.answered, new.sources
    );
}

async fn sample(url: Uri, start: Instant, samples: mpsc::Sender<Sample>) {
    let sent_at = start.elapsed();
    let answer = request::get(&url, Family::Any, LIMIT).await;
    let source = answer
        .ok()
        .map(|body| String::from_utf8_lossy(&body).trim().to_owned());
    // The receiver waits for the last of these.
    let _ = samples.send(Sample { sent_at, source }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sent_at_ms: u64, source: Option<&str>) -> Sample {
        Sample {
            sent_at: Duration::from_millis(sent_at_ms),
            source: source.map(str::to_owned),
        }
    }

    #[test]
    fn a_gap_is_between_answered_requests_by_when_they_were_sent() {
        let summary = Summary::of(vec![
            sample(400, Some("b")),
            sample(0, Some("a")),
            sample(100, None),
            sample(200, None),
            sample(410, Some("b")),
        ]);
        assert_eq!(
            (summary.sent, summary.answered, summary.longest_gap_ms),
            (5, 3, 400)
        );
        assert_eq!(summary.last_answered_ms, Some(410));
        assert_eq!(
            summary.sources,
            BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)])
        );
    }

    #[test]
    fn without_answers_there_is_no_gap_and_no_source() {
        let summary = Summary::of(vec![sample(0, None), sample(10, None)]);
        assert_eq!((summary.answered, summary.longest_gap_ms), (0, 0));
        assert_eq!(summary.last_answered_ms, None);
        assert!(summary.sources.is_empty());
    }
}
