//! Clusters of IPv6, and of both families.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::patience::wait_until;
use egret_e2e::stream::Stream;

const IPV6: &str = "fd10::31";
const IPV4: &str = "10.10.0.31";
const POD: &str = "prod/web";
/// Long enough for a power cut in its middle to be over.
const STREAM_S: u32 = 8;

fn pools(lab: &Lab) -> Result<()> {
    lab.apply(&pool("six", &["start: \"fd10::31\", end: \"fd10::40\""]))?;
    lab.apply(&pool("four", &["start: 10.10.0.31, end: 10.10.0.40"]))
}

/// An Egress of the pool for the Pods with app=web.
fn egress_from(name: &str, pool: &str) -> String {
    egress(
        name,
        &pods_with("app", "web"),
        &format!("externalIPPool: {pool}"),
    )
}

/// Ends a stream: answers came from `ip` alone, and came again after what was `done` at this time of it.
fn is_answered_from(ip: &str, stream: Stream, done: Duration) -> Result<()> {
    let summary = stream.finish()?;
    eprintln!("{summary:?}");
    ensure!(
        summary.is_only_from(ip),
        "answers from elsewhere: {summary:?}"
    );
    ensure!(
        summary.is_answered_after(done) && !summary.is_stuck(),
        "no answers after {done:?}, or too late: {summary:?}"
    );
    Ok(())
}

fn seen_are(lab: &Lab, expected: &[&str]) -> Result<()> {
    let seen = lab.seen()?;
    ensure!(
        seen.keys().eq(expected),
        "packets from elsewhere: {seen:?}, not {expected:?}"
    );
    Ok(())
}

/// No request is answered, and no packet of the Pod arrives.
fn nothing_gets_out(lab: &Lab) -> Result<()> {
    let look = || Ok(lab.source_of(POD).ok());
    wait_until("nothing gets out", look, Option::is_none)?;
    lab.forget_seen()?;
    ensure!(lab.source_of(POD).is_err(), "something got out");
    seen_are(lab, &[])
}

#[test]
fn an_ipv6_address_moves_when_its_node_loses_power_and_nothing_leaves_with_another() -> Result<()> {
    Lab::run_in("ipv6", 3, |lab| {
        lab.apply(&pool("six", &["start: \"fd10::31\", end: \"fd10::40\""]))?;
        lab.apply(&egress_from("web", "six"))?;
        let first = lab.gateway_of("web", IPV6)?;
        let node = lab.node_except(&[&first])?;
        lab.served_pod(POD, &node, "app=web")?;
        lab.wait_for_source(POD, IPV6)?;
        lab.pod("prod/other", &node, "app=other")?;
        lab.wait_for_node_source("prod/other", &node)?;

        lab.forget_seen()?;
        let requests = lab.stream(POD, STREAM_S)?;
        sleep(Duration::from_secs(1));
        lab.power_off(&first)?;
        let done = requests.elapsed();
        is_answered_from(IPV6, requests, done)?;
        lab.wait_for_other_gateway("web", IPV6, &first)?;
        seen_are(lab, &[IPV6])?;

        // Nobody may hold it any more.
        let nowhere = "{\"spec\":{\"nodeSelector\":{\"matchLabels\":{\"no\":\"node\"}}}}";
        lab.kubectl(&[
            "patch",
            "externalippool",
            "six",
            "--type=merge",
            "-p",
            nowhere,
        ])?;
        nothing_gets_out(lab)?;
        lab.delete_egresses(&["web"])?;
        lab.wait_for_node_source(POD, &node)
    })
}

#[test]
fn in_a_cluster_of_both_families_an_egress_concerns_the_packets_of_its_own_alone() -> Result<()> {
    Lab::run_in("dual", 3, |lab| {
        pools(lab)?;
        lab.apply(&egress_from("six", "six"))?;
        let gateway = lab.gateway_of("six", IPV6)?;
        let node = lab.node_except(&[&gateway])?;
        lab.served_pod(POD, &node, "app=web")?;
        lab.wait_for_source_over_ipv6(POD, IPV6)?;
        let own = lab.addresses_of(&node)?;
        let [own_v4, own_v6] = &own[..] else {
            anyhow::bail!("{node} has addresses {own:?}");
        };
        lab.wait_for_source(POD, own_v4)?;

        // The address moves from its node under load; the other family notices nothing.
        lab.forget_seen()?;
        let (four, six) = (
            lab.stream(POD, STREAM_S)?,
            lab.stream_over_ipv6(POD, STREAM_S)?,
        );
        sleep(Duration::from_secs(1));
        lab.power_off(&gateway)?;
        let done = six.elapsed();
        is_answered_from(own_v4, four, done)?;
        is_answered_from(IPV6, six, done)?;
        seen_are(lab, &[own_v4, IPV6])?;
        lab.power_on(&gateway)?;

        // An Egress for each family: neither overlaps the other.
        lab.apply(&egress_from("four", "four"))?;
        lab.gateway_of("four", IPV4)?;
        lab.wait_for_source(POD, IPV4)?;
        lab.wait_for_source_over_ipv6(POD, IPV6)?;
        for name in ["four", "six"] {
            let egress = lab.egress(name)?;
            let overlapped = egress.condition("Overlapped");
            ensure!(
                overlapped.is_none_or(|said| said.status == "False"),
                "{name}: {overlapped:?}"
            );
        }
        lab.delete_egresses(&["six"])?;
        lab.wait_for_source_over_ipv6(POD, own_v6)?;
        lab.wait_for_source(POD, IPV4)
    })
}
