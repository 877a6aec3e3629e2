//! Many power cuts of the gateway, one after the other, and how long each was felt.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::stream::Summary;

use crate::stage::Stage;

const EGRESS: &str = "egress-prod-web";
const IP: &str = "10.10.0.11";
const STREAM_S: u32 = 6;

/// Cuts the power of whichever node is the gateway, so many times.
pub(crate) fn perform(stage: &mut Stage, lab: &Lab, count: u32) -> Result<()> {
    stage.title(&format!(
        "{count} power cuts of the gateway of {IP}, 100 requests per second"
    ));
    lab.apply_file("config/samples/ha.yaml")?;
    lab.gateway_of(EGRESS, IP)?;
    for node in lab.nodes() {
        lab.served_pod(&pod_on(&node), &node, "app=web")?;
        lab.wait_for_source(&pod_on(&node), IP)?;
    }
    lab.forget_seen()?;
    let mut outages_ms = Vec::new();
    for number in 1..=count {
        let told = format!("cut {number:>2}");
        let summary = stage.check(&told, cut(stage, lab))?;
        outages_ms.push(summary.longest_gap_ms);
    }
    outages_ms.sort_unstable();
    let median = outages_ms.get(outages_ms.len() / 2);
    stage.note(&format!(
        "outages in ms, sorted: {outages_ms:?}; median {median:?}"
    ));
    let seen: BTreeSet<_> = lab.seen()?.into_keys().collect();
    stage.is_so(
        "no packet ever arrived with another address",
        seen.iter().eq([IP]),
        format!("{seen:?}"),
    );
    Ok(())
}

fn pod_on(node: &str) -> String {
    format!("prod/{node}")
}

fn cut(stage: &Stage, lab: &Lab) -> Result<Summary> {
    let gateway = lab.gateway_of(EGRESS, IP)?;
    let requests = lab.stream(&pod_on(&lab.node_except(&[&gateway])?), STREAM_S)?;
    sleep(Duration::from_secs(2));
    lab.power_off(&gateway)?;
    let next = lab.wait_for_other_gateway(EGRESS, IP, &gateway)?;
    let summary = requests.finish()?;
    stage.note(&format!(
        "{gateway} -> {next}: {} ms without an answer, {} of {} requests answered, sources {:?}",
        summary.longest_gap_ms, summary.answered, summary.sent, summary.sources
    ));
    ensure!(summary.is_only_from(IP), "answers from elsewhere");
    ensure!(
        summary.answered > summary.sent / 2,
        "the IP did not come back in time"
    );
    lab.power_on(&gateway)?;
    lab.wait_until_ready()?;
    // Its agent is at work again, and all others have met it.
    sleep(Duration::from_secs(5));
    Ok(summary)
}
