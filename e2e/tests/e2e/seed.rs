//! Chance that can be had again.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Random numbers by a seed that is printed; `EGRET_E2E_SEED` sets it.
pub(crate) fn random() -> StdRng {
    let given = std::env::var("EGRET_E2E_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("EGRET_E2E_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
