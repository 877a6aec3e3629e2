//! Samples of a time.
//!
//! Owns how they are summed up: by order, never by a mean, which one slow answer spoils and a thousand quick ones hide.

use std::time::Duration;

/// Times of the same thing, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample(Vec<Duration>);

impl FromIterator<Duration> for Sample {
    fn from_iter<T: IntoIterator<Item = Duration>>(times: T) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl Sample {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest of the times that so many in a hundred of them do not exceed; zero when there are none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.count() * percent).div_ceil(100);
        let place = rank.saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// For each of `points` equal shares of the times, the share in percent and the time that it does not exceed.
    pub fn distribution(&self, points: usize) -> impl Iterator<Item = (Duration, f64)> + '_ {
        let share = move |point: usize| 100.0 * approximate(point) / approximate(points.max(1));
        (1..=points).map(move |point| {
            let rank = (self.count() * point).div_ceil(points);
            let place = rank.saturating_sub(1);
            let time = self.0.get(place).copied().unwrap_or_default();
            (time, share(point))
        })
    }
}

/// A count as a number to calculate with; exact for all that anybody counts here.
fn approximate(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// How many times the one is as long as the other; zero where there is nothing to compare with.
pub fn ratio(time: Duration, baseline: Duration) -> f64 {
    if baseline.is_zero() {
        return 0.0;
    }
    time.as_secs_f64() / baseline.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(micros: impl IntoIterator<Item = u64>) -> Sample {
        micros.into_iter().map(Duration::from_micros).collect()
    }

    #[test]
    fn a_percentile_is_one_of_the_times_and_not_between_them() {
        let hundred = sample((1..=100).rev());
        assert_eq!(hundred.percentile(50), Duration::from_micros(50));
        assert_eq!(hundred.percentile(99), Duration::from_micros(99));
        assert_eq!(hundred.percentile(100), hundred.longest());
        let three = sample([10, 20, 30]);
        assert_eq!(three.percentile(50), Duration::from_micros(20));
        assert_eq!(three.percentile(99), Duration::from_micros(30));
    }

    #[test]
    fn of_nothing_all_is_zero() {
        let nothing = sample([]);
        assert_eq!(nothing.percentile(99), Duration::ZERO);
        assert_eq!(nothing.longest(), Duration::ZERO);
        assert!(ratio(Duration::from_micros(1), Duration::ZERO).abs() < f64::EPSILON);
    }

    #[test]
    fn a_distribution_ends_with_the_longest_and_all() {
        let curve: Vec<_> = sample([4, 1, 3, 2]).distribution(2).collect();
        let micros = Duration::from_micros;
        assert_eq!(curve, [(micros(2), 50.0), (micros(4), 100.0)]);
    }

    #[test]
    fn a_ratio_is_to_the_baseline() {
        let ratio = ratio(Duration::from_micros(30), Duration::from_micros(20));
        assert!((ratio - 1.5).abs() < 1e-9, "{ratio}");
    }
}
