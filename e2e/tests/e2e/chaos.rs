//! Faults and edits at random, shortly; `hack/chaos` does it for longer.

use std::time::Duration;

use anyhow::Result;
use egret_e2e::chaos::{NODES, run};
use egret_e2e::lab::Lab;

use crate::seed::random;

#[test]
fn after_half_a_minute_of_chaos_all_is_as_it_should_be() -> Result<()> {
    Lab::run(NODES, |lab| {
        let tell = |event: &_| eprintln!("{event:?}");
        let summary = run(lab, &mut random(), Duration::from_secs(30), tell)?;
        assert!(summary.events > 20, "{summary:?}");
        Ok(())
    })
}
