//! The operator's replicas end, are killed, and are stopped while others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::{Egress, Pool};
use egret_e2e::patience::wait_until;

/// What a Lease counts after its holder is gone; the manifests' operator has it as `leaseDurationSeconds`.
const LEASE: Duration = Duration::from_secs(10);
/// Waiting for kubectl and a busy machine, not for a Lease.
const SLACK: Duration = Duration::from_secs(8);

fn with_a_pool(test: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.3.1, end: 10.10.3.60"]))?;
        lab.apply(&of("first"))?;
        lab.gateway_of("first", "10.10.3.1")?;
        test(lab)
    })
}

fn of(name: &str) -> String {
    egress(name, &pods_with("app", name), "externalIPPool: pool")
}

fn many(prefix: &str, count: usize) -> (BTreeSet<String>, String) {
    let names: BTreeSet<_> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
    let manifests: Vec<_> = names.iter().map(|name| of(name)).collect();
    (names, manifests.concat())
}

/// The address that an Egress has been given, as soon as it has, and how long that took from `start`.
fn given(lab: &Lab, name: &str, start: Instant) -> Result<Duration> {
    let ip = |egress: &Egress| egress.spec.egress_ip.is_some();
    wait_until("it has an address", || lab.egress(name), ip)?;
    Ok(start.elapsed())
}

/// Waits until all Egresses are in force, each with an address of its own, and the pool counts them.
fn wait_for_all(lab: &Lab) -> Result<()> {
    let right = |seen: &Vec<Egress>| {
        let held: BTreeSet<_> = seen
            .iter()
            .filter_map(Egress::held)
            .map(|(ip, _)| ip)
            .collect();
        seen.iter().all(Egress::is_ready) && held.len() == seen.len()
    };
    let all = wait_until("all are in force", || lab.list::<Egress>("egress"), right)?;
    let used = i64::try_from(all.len())?;
    let counts = |pool: &Pool| pool.status.usage.is_some_and(|usage| usage.used == used);
    wait_until("the pool counts them", || lab.pool("pool"), counts).map(drop)
}

/// The version of each Egress and pool.
fn versions(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let columns = "custom-columns=:.kind,:.metadata.name,:.metadata.resourceVersion";
    let all = lab.kubectl(&["get", "egress,externalippools", "-o", columns])?;
    let lines = all.lines().filter_map(|line| line.trim().rsplit_once(' '));
    Ok(lines
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect())
}

#[test]
fn an_egress_made_right_after_the_leaders_end_has_its_ip_at_once() -> Result<()> {
    with_a_pool(|lab| {
        let leader = lab.leader()?;
        lab.restart_replica(leader)?;
        let start = Instant::now();
        lab.apply(&of("next"))?;
        let applied = start.elapsed();
        let took = given(lab, "next", start)?;
        eprintln!("applied after {applied:?}, given an address after {took:?}");
        // A Lease that had to run out would have taken longer.
        ensure!(took < SLACK, "it took {took:?}");
        ensure!(lab.leader()? != leader, "the other leads");
        wait_for_all(lab)
    })
}

#[test]
fn an_egress_made_after_the_leader_was_killed_has_its_ip_when_the_lease_has_run_out() -> Result<()>
{
    with_a_pool(|lab| {
        let leader = lab.leader()?;
        lab.keep_replica_down(leader)?;
        let start = Instant::now();
        lab.apply(&of("next"))?;
        let took = given(lab, "next", start)?;
        eprintln!("given an address {took:?} after the kill");
        ensure!(took < LEASE + SLACK, "it took {took:?}");
        ensure!(lab.leader()? != leader, "the other leads");
        wait_for_all(lab)
    })
}

#[test]
fn a_leader_that_is_stopped_past_its_lease_writes_nothing_when_it_goes_on() -> Result<()> {
    with_a_pool(|lab| {
        // Once with nothing to do, once in the middle of its work.
        for is_busy in [false, true] {
            let former = lab.leader()?;
            let (writes, leads) = lab.replica_says(former)?;
            ensure!(leads, "the holder of the Lease says that it does not lead");
            let (before, busy) = many("before", 15);
            let made = if is_busy { busy } else { String::new() };
            if is_busy {
                lab.apply(&made)?;
            }
            lab.pause_replica(former)?;
            let (_, meanwhile) = many(if is_busy { "later" } else { "soon" }, 10);
            lab.apply(&meanwhile)?;
            let successor = lab.wait_for_other_leader(former)?;
            wait_for_all(lab)?;
            let held = lab.lease("{.spec.holderIdentity}")?;
            let was = versions(lab)?;

            lab.continue_replica(former)?;
            sleep(Duration::from_secs(4));
            ensure!(was == versions(lab)?, "something was written");
            ensure!(
                held == lab.lease("{.spec.holderIdentity}")?,
                "the Lease was taken"
            );
            let (writes_now, leads) = lab.replica_says(former)?;
            ensure!(!leads, "it says that it leads");
            ensure!(
                is_busy || writes_now == writes,
                "it counts more writes than before"
            );
            ensure!(lab.replica_says(successor)?.1, "the successor leads");
            ensure!(!is_busy || lab.list::<Egress>("egress")?.len() > before.len());
        }
        Ok(())
    })
}

#[test]
fn what_was_asked_for_while_all_replicas_were_away_is_done_when_they_are_back() -> Result<()> {
    with_a_pool(|lab| {
        for replica in [1, 2] {
            lab.keep_replica_down(replica)?;
        }
        let (names, manifests) = many("next", 10);
        lab.apply(&manifests)?;
        lab.kubectl(&["delete", "egress", "first", "--wait=false"])?;
        for replica in [1, 2] {
            lab.restart_replica(replica)?;
        }
        let is_gone = |seen: &Vec<Egress>| {
            seen.iter()
                .all(|egress| names.contains(&egress.metadata.name))
        };
        wait_until("the deleted one is gone", || lab.list("egress"), is_gone)?;
        wait_for_all(lab)?;
        let leader = lab.leader()?;
        let says = |replica| lab.replica_says(replica).context("it runs");
        let leaders = [says(1)?.1, says(2)?.1];
        ensure!(
            leaders == [leader == 1, leader == 2],
            "{leaders:?}, the Lease says {leader}"
        );
        Ok(())
    })
}
