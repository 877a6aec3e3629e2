//! Exponential back-off.
//!
//! Owns the arithmetic of delays. Never sleeps.

use std::time::Duration;

use rand::RngExt;

/// How long to wait after the first failure, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After the first failure.
    pub first: Duration,
    /// However many failures there were.
    pub most: Duration,
}

impl Limits {
    /// The delay after so many failures in a row, at least one: doubled each time up to the most, and then taken at
    /// random from its upper half, so that those who failed together do not come back together.
    pub fn delay(self, failures: u32) -> Duration {
        let full = self.full(failures);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn full(self, failures: u32) -> Duration {
        let factor = 2_u32
            .checked_pow(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        first: Duration::from_millis(100),
        most: Duration::from_secs(5),
    };

    #[test]
    fn each_failure_doubles_the_delay_up_to_the_most() {
        let delays: Vec<_> = [1, 2, 3, 6, 7, 1_000]
            .map(|n| LIMITS.full(n).as_millis())
            .into();
        assert_eq!(delays, [100, 200, 400, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn a_delay_is_never_shorter_than_half_nor_longer_than_the_whole() {
        for failures in 1..100 {
            let delay = LIMITS.delay(failures);
            assert!(
                delay <= LIMITS.full(failures) && delay * 2 >= LIMITS.full(failures),
                "{delay:?}"
            );
        }
    }
}
