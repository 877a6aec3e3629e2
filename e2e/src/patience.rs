//! Waiting for something to become so.
//!
//! Owns the pace and the words of a disappointment: what was waited for and what was seen last. The limits are there
//! to end a failed test, not to measure anything.

use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Enough for anything that Egret does by itself, on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);

/// Observes again and again until `is_so`, and returns that observation. An observation that fails is one that is not
/// so: the thing may not be there yet.
pub fn wait_until<T: Debug>(
    what: &str,
    mut observe: impl FnMut() -> Result<T>,
    is_so: impl Fn(&T) -> bool,
) -> Result<T> {
    wait_until_within(what, LIMIT, &mut observe, is_so)
}

/// The same with a limit of one's own.
pub fn wait_until_within<T: Debug>(
    what: &str,
    limit: Duration,
    mut observe: impl FnMut() -> Result<T>,
    is_so: impl Fn(&T) -> bool,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match observe() {
            Ok(seen) if is_so(&seen) => return Ok(seen),
            Ok(seen) if Instant::now() >= deadline => {
                bail!("{what}: not so within {limit:?}; seen last: {seen:#?}")
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("{what}: not so within {limit:?}")));
            }
            _ => sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_so_is_returned() {
        let mut count = 0;
        let observe = || {
            count += 1;
            Ok(count)
        };
        assert_eq!(wait_until("two", observe, |count| *count == 2).unwrap(), 2);
    }

    #[test]
    fn a_disappointment_names_what_was_waited_for_and_what_was_seen_last() {
        let error = wait_until_within("rain", Duration::ZERO, || Ok("sun"), |_| false).unwrap_err();
        assert!(error.to_string().contains("rain") && error.to_string().contains("sun"));
        let fails = || -> Result<()> { bail!("fog") };
        let error = wait_until_within("rain", Duration::ZERO, fails, |()| false).unwrap_err();
        assert!(format!("{error:#}").contains("fog"));
    }
}
