//! `spec.bandwidth`: quantities become bits.
//!
//! Owns the limits, which are the kernel's: beyond them it refuses a rate or wraps it. Never changes
//! what a user wrote: what is out of range is a problem.

use egret_domain::egress as domain;
use thiserror::Error;

use crate::egress::Bandwidth;
use crate::quantity::{self, BadQuantity};
use egret_domain::problem::{Problems, both};

/// Bits per second.
const RATE_MIN: u64 = 8_000;
/// Bits per second.
const RATE_MAX: u64 = 100_000_000_000;
/// Bits.
const BURST_MAX: u64 = 32_000_000_000;
/// The shortest default burst in bits: the kernel passes on whole segments of up to 64 KiB at once.
const DEFAULT_BURST_MIN: u64 = 64 * 1024 * 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BadBandwidth {
    #[error(transparent)]
    Quantity(#[from] BadQuantity),
    #[error("is out of range: write a rate from 8k to 100G, in bits per second")]
    Rate,
    #[error("is out of range: write a burst from 1 to 32G, in bits")]
    Burst,
}

pub(super) fn bandwidth(path: &str, given: &Bandwidth) -> Result<domain::Bandwidth, Problems> {
    let bits = |field: &str, text: &str, parse: fn(&str) -> Result<u64, BadBandwidth>| {
        parse(text).map_err(|bad| Problems::of(&format!("{path}.{field}"), text, bad))
    };
    let burst = given
        .burst
        .as_deref()
        .map(|text| bits("burst", text, burst))
        .transpose();
    both(bits("rate", &given.rate, rate), burst).map(|(rate_bits, burst)| domain::Bandwidth {
        rate_bits,
        burst_bits: burst.unwrap_or_else(|| default_burst(rate_bits)),
    })
}

pub(crate) fn rate(text: &str) -> Result<u64, BadBandwidth> {
    let bits = quantity::parse(text)?;
    if (RATE_MIN..=RATE_MAX).contains(&bits) {
        Ok(bits)
    } else {
        Err(BadBandwidth::Rate)
    }
}

fn burst(text: &str) -> Result<u64, BadBandwidth> {
    let bits = quantity::parse(text)?;
    if (1..=BURST_MAX).contains(&bits) {
        Ok(bits)
    } else {
        Err(BadBandwidth::Burst)
    }
}

/// What may pass in 100 ms.
pub(crate) fn default_burst(rate_bits: u64) -> u64 {
    (rate_bits / 10).max(DEFAULT_BURST_MIN)
}

#[cfg(test)]
mod tests;
