//! A gateway, or the API server, goes away under load.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::stream::Stream;

const IP: &str = "10.10.0.31";
const POD: &str = "prod/web";
/// Long enough for a power cut in its middle to be over.
const STREAM_S: u32 = 8;

/// An Egress in force on the returned gateway, and a Pod on another node that leaves with it.
fn in_force(lab: &Lab) -> Result<String> {
    lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
    lab.apply(&egress(
        "web",
        &pods_with("app", "web"),
        "externalIPPool: pool",
    ))?;
    let gateway = lab.gateway_of("web", IP)?;
    lab.served_pod(POD, &lab.node_except(&[&gateway])?, "app=web")?;
    lab.wait_for_source(POD, IP)?;
    lab.forget_seen()?;
    Ok(gateway)
}

/// Begins a stream and lets it run for a moment.
fn stream(lab: &Lab) -> Result<Stream> {
    let stream = lab.stream(POD, STREAM_S)?;
    sleep(Duration::from_secs(1));
    Ok(stream)
}

/// Ends a stream: every answer, and every packet that the external host saw, came from the egress IP; requests were
/// answered that were sent after whatever has just been done, without a long gap before.
fn finish(lab: &Lab, stream: Stream) -> Result<()> {
    let done = stream.elapsed();
    let summary = stream.finish()?;
    eprintln!("{summary:?}");
    ensure!(
        summary.is_only_from(IP),
        "answers from elsewhere: {summary:?}"
    );
    ensure!(
        summary.is_answered_after(done) && !summary.is_stuck(),
        "no answers after {done:?}, or too late: {summary:?}"
    );
    let seen = lab.seen()?;
    ensure!(seen.keys().eq([IP]), "packets from elsewhere: {seen:?}");
    Ok(())
}

#[test]
fn the_ip_moves_when_its_node_loses_power_and_stays_when_that_node_returns() -> Result<()> {
    Lab::run(4, |lab| {
        let first = in_force(lab)?;
        let requests = stream(lab)?;
        lab.power_off(&first)?;
        finish(lab, requests)?;
        let second = lab.wait_for_other_gateway("web", IP, &first)?;
        lab.wait_for_source(POD, IP)?;

        let requests = stream(lab)?;
        lab.power_on(&first)?;
        finish(lab, requests)?;
        // The node that returned is at work again, and has left the IP where it is.
        lab.pod("prod/late", &first, "app=web")?;
        lab.wait_for_source("prod/late", IP)?;
        assert_eq!(lab.gateway_of("web", IP)?, second);
        Ok(())
    })
}

#[test]
fn the_ip_moves_without_the_api_server() -> Result<()> {
    Lab::run(4, |lab| {
        let first = in_force(lab)?;
        lab.stop_api()?;
        let requests = stream(lab)?;
        lab.power_off(&first)?;
        finish(lab, requests)?;
        lab.wait_for_source(POD, IP)?;
        lab.start_api()?;
        lab.wait_for_other_gateway("web", IP, &first)?;
        Ok(())
    })
}

#[test]
fn the_api_servers_absence_disturbs_nothing_and_what_is_changed_afterwards_is_served() -> Result<()>
{
    Lab::run(3, |lab| {
        let gateway = in_force(lab)?;
        let requests = stream(lab)?;
        lab.stop_api()?;
        finish(lab, requests)?;
        lab.start_api()?;
        assert_eq!(lab.gateway_of("web", IP)?, gateway);

        lab.pod("prod/late", &gateway, "app=late")?;
        lab.apply(&egress(
            "late",
            &pods_with("app", "late"),
            "externalIPPool: pool",
        ))?;
        lab.gateway_of("late", "10.10.0.32")?;
        lab.wait_for_source("prod/late", "10.10.0.32")?;
        lab.delete_egresses(&["web"])?;
        let node = lab.node_except(&[&gateway])?;
        lab.wait_for_node_source(POD, &node)
    })
}
