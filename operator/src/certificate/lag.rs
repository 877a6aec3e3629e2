//! That replicas do not serve what they should, and for how long.
//!
//! Owns when a person is told of it, once, and when it is over. Never asks a replica, never reads a clock.

use jiff::{SignedDuration, Timestamp};

/// A replica that starts, or that is to read a new certificate, takes less time than this.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Since when some replica has not given the wanted answer.
#[derive(Debug, Clone, Default)]
pub struct Lag {
    since: Option<Timestamp>,
    is_told: bool,
}

/// What a person has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It does not pass by itself.
    Lasting,
    /// It has passed.
    Over,
}

impl Lag {
    /// Notes whether replicas lag behind now.
    pub fn note(&mut self, now: Timestamp, is_behind: bool) -> Option<News> {
        if !is_behind {
            let was_told = std::mem::take(self).is_told;
            return was_told.then_some(News::Over);
        }
        let since = *self.since.get_or_insert(now);
        if self.is_told || now.duration_since(since) <= PATIENCE {
            return None;
        }
        self.is_told = true;
        Some(News::Lasting)
    }

    /// Since when they do; `None` if they do not.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_is_told_once_after_its_time_and_once_when_it_is_over() {
        let mut lag = Lag::default();
        let news: Vec<_> = [0, 30, 31, 60, 600]
            .map(|second| lag.note(at(second), true))
            .into();
        assert_eq!(news, [None, None, Some(News::Lasting), None, None]);
        assert_eq!(lag.note(at(601), false), Some(News::Over));
        assert_eq!(lag.note(at(602), false), None);
    }

    #[test]
    fn what_passes_soon_is_not_told_and_counts_anew_the_next_time() {
        let mut lag = Lag::default();
        for (second, is_behind) in [(0, true), (20, true), (25, false), (40, true), (70, true)] {
            assert_eq!(lag.note(at(second), is_behind), None, "{second}");
        }
        assert_eq!(lag.since(), Some(at(40)));
    }
}
