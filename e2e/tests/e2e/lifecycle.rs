//! What becomes of Egresses and pools when their users change them.
//!
//! The behaviours of a list share a cluster, each with a pool and names of its own: each is one function, and one that
//! fails is named.

use anyhow::{Context, Result, bail, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::{Condition, Egress, Pool, Usage};
use egret_e2e::patience::wait_until;

/// A behaviour and its name.
type Behaviour = (&'static str, fn(&Lab) -> Result<()>);

macro_rules! behaviours {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn(&Lab) -> Result<()>)),*] };
}

#[test]
fn every_change_of_an_egress_or_a_pool_ends_in_what_was_asked_for() -> Result<()> {
    const BEHAVIOURS: &[Behaviour] = behaviours![
        an_egress_that_names_another_address_moves_to_it,
        an_egress_that_changes_its_pool_gets_an_address_of_the_new_one,
        an_egress_that_leaves_its_pool_by_a_plain_apply_keeps_the_address_it_names,
        an_egress_that_leaves_its_pool_by_a_server_side_apply_may_change_its_address_later,
        a_static_egress_that_gets_a_pool_is_given_an_address_and_becomes_static_again,
        egresses_that_wait_are_served_when_a_range_is_added,
        the_oldest_that_waits_is_served_when_an_address_frees,
        a_pool_in_use_is_deleted_when_nobody_uses_it_any_more,
        a_pool_that_is_made_again_with_other_ranges_gives_other_addresses,
        an_egress_whose_pool_selects_no_node_says_so_until_there_is_one,
        nothing_is_written_where_nothing_happens,
    ];
    Lab::run(3, |lab| try_all(lab, BEHAVIOURS))
}

#[test]
fn every_change_of_a_node_ends_in_what_its_pools_and_its_limit_allow() -> Result<()> {
    const BEHAVIOURS: &[Behaviour] = behaviours![
        an_address_leaves_a_node_that_its_pool_no_longer_selects,
        an_address_leaves_a_node_that_is_cordoned,
        the_newest_address_leaves_a_node_that_holds_more_than_its_limit,
        an_illegible_limit_is_told_and_the_default_applies,
        an_address_leaves_a_node_that_is_deleted,
    ];
    Lab::run(3, |lab| try_all(lab, BEHAVIOURS))
}

/// Tries each, whatever came of the others.
fn try_all(lab: &Lab, behaviours: &[Behaviour]) -> Result<()> {
    let mut failed = Vec::new();
    for (name, behaviour) in behaviours {
        let begun = std::time::Instant::now();
        let result = behaviour(lab);
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        eprintln!("{name} ... {outcome} ({:.1?})", begun.elapsed());
        if let Err(error) = result {
            eprintln!("--- {name}: {error:#}");
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("{} failed: {}", failed.len(), failed.join(", "))
    }
}

fn an_egress_that_names_another_address_moves_to_it(lab: &Lab) -> Result<()> {
    lab.apply(&pool("named", &["start: 10.10.20.1, end: 10.10.20.9"]))?;
    apply(lab, "named", "externalIPPool: named")?;
    lab.gateway_of("named", "10.10.20.1")?;
    apply(lab, "named", "externalIPPool: named, egressIP: 10.10.20.5")?;
    lab.gateway_of("named", "10.10.20.5")?;
    wait_for_usage(lab, "named", 9, 1)?;
    apply(lab, "named-2", "externalIPPool: named")?;
    lab.gateway_of("named-2", "10.10.20.1")?;
    wait_for_event(lab, "named", "Allocated")
}

fn an_egress_that_changes_its_pool_gets_an_address_of_the_new_one(lab: &Lab) -> Result<()> {
    lab.apply(&pool("from", &["start: 10.10.21.1, end: 10.10.21.9"]))?;
    lab.apply(&pool("to", &["start: 10.10.21.11, end: 10.10.21.19"]))?;
    apply(lab, "mover", "externalIPPool: from")?;
    lab.gateway_of("mover", "10.10.21.1")?;
    apply(lab, "mover", "externalIPPool: to")?;
    lab.gateway_of("mover", "10.10.21.11")?;
    wait_for_usage(lab, "from", 9, 0)?;
    wait_for_usage(lab, "to", 9, 1)
}

/// The apply changes the pool alone, for the address is there: nobody but the operator owns it then.
fn an_egress_that_leaves_its_pool_by_a_plain_apply_keeps_the_address_it_names(
    lab: &Lab,
) -> Result<()> {
    lab.apply(&pool("left", &["start: 10.10.22.1, end: 10.10.22.9"]))?;
    apply(lab, "left", "externalIPPool: left")?;
    let gateway = lab.gateway_of("left", "10.10.22.1")?;
    apply(lab, "left", "egressIP: 10.10.22.1")?;
    wait_for_egress(lab, "left", "Ready", "NotAssigned")?;
    wait_until_no_node_has(lab, "10.10.22.1")?;
    let left = lab.egress("left")?;
    ensure!(
        left.spec.egress_ip.as_deref() == Some("10.10.22.1"),
        "{left:?}"
    );
    ensure!(left.condition("IPAllocated").is_none(), "{left:?}");
    // It is a working static one, whose address the pool does not hand out.
    lab.on_node(&gateway, "ip address add 10.10.22.1/32 dev lo")?;
    lab.wait_for_gateway("left", "10.10.22.1", &gateway)?;
    wait_for_usage(lab, "left", 9, 1)?;
    apply(lab, "left", "egressIP: 10.10.22.2")?;
    wait_for_usage(lab, "left", 9, 1)?;
    lab.on_node(&gateway, "ip address del 10.10.22.1/32 dev lo")
        .map(drop)
}

fn an_egress_that_leaves_its_pool_by_a_server_side_apply_may_change_its_address_later(
    lab: &Lab,
) -> Result<()> {
    let apply = |address: &str| {
        let egress = of_nobody("mine", address);
        lab.ask_with(&["kubectl", "apply", "--server-side", "-f", "-"], &egress)
    };
    lab.apply(&pool("mine", &["start: 10.10.23.1, end: 10.10.23.9"]))?;
    apply("externalIPPool: mine")?;
    lab.gateway_of("mine", "10.10.23.1")?;
    apply("egressIP: 10.10.23.1")?;
    wait_for_egress(lab, "mine", "Ready", "NotAssigned")?;
    wait_until_no_node_has(lab, "10.10.23.1")?;
    wait_until(
        "the operator has given the address up",
        || apply("egressIP: 10.10.23.7"),
        |_| true,
    )?;
    wait_for_usage(lab, "mine", 9, 1)
}

fn a_static_egress_that_gets_a_pool_is_given_an_address_and_becomes_static_again(
    lab: &Lab,
) -> Result<()> {
    lab.apply(&pool("back", &["start: 10.10.24.1, end: 10.10.24.9"]))?;
    apply(lab, "back", "egressIP: 10.10.0.77")?;
    wait_for_egress(lab, "back", "Ready", "NotAssigned")?;
    apply(lab, "back", "externalIPPool: back")?;
    lab.gateway_of("back", "10.10.24.1")?;
    wait_for_event(lab, "back", "Assigned")?;
    apply(lab, "back", "egressIP: 10.10.0.77")?;
    wait_for_egress(lab, "back", "Ready", "NotAssigned")?;
    wait_for_event(lab, "back", "NotAssigned")?;
    wait_for_usage(lab, "back", 9, 0)?;
    ensure!(lab.egress("back")?.status.candidates.is_empty());
    wait_until_no_node_has(lab, "10.10.24.1")
}

fn egresses_that_wait_are_served_when_a_range_is_added(lab: &Lab) -> Result<()> {
    let first = "start: 10.10.25.1, end: 10.10.25.1";
    lab.apply(&pool("small", &[first]))?;
    apply(lab, "small-1", "externalIPPool: small")?;
    lab.gateway_of("small-1", "10.10.25.1")?;
    apply(lab, "small-2", "externalIPPool: small")?;
    wait_for_egress(lab, "small-2", "IPAllocated", "PoolExhausted")?;
    wait_for_event(lab, "small-2", "PoolExhausted")?;
    wait_for_pool(lab, "small", "Exhausted", "NoFreeAddress")?;
    wait_for_event(lab, "small", "NoFreeAddress")?;
    lab.apply(&pool(
        "small",
        &[first, "start: 10.10.25.5, end: 10.10.25.6"],
    ))?;
    lab.gateway_of("small-2", "10.10.25.5")?;
    wait_for_usage(lab, "small", 3, 2)?;
    wait_for_pool(lab, "small", "Exhausted", "FreeAddresses")?;
    wait_for_event(lab, "small", "FreeAddresses")?;
    wait_for_event(lab, "small-2", "Allocated")
}

fn the_oldest_that_waits_is_served_when_an_address_frees(lab: &Lab) -> Result<()> {
    lab.apply(&pool("one", &["start: 10.10.26.1, end: 10.10.26.1"]))?;
    apply(lab, "one-1", "externalIPPool: one")?;
    lab.gateway_of("one-1", "10.10.26.1")?;
    // Of one age, perhaps: then by name.
    for name in ["one-2", "one-3"] {
        apply(lab, name, "externalIPPool: one")?;
        wait_for_egress(lab, name, "IPAllocated", "PoolExhausted")?;
    }
    lab.delete_egresses(&["one-1"])?;
    lab.gateway_of("one-2", "10.10.26.1")?;
    wait_for_egress(lab, "one-3", "IPAllocated", "PoolExhausted")?;
    wait_for_usage(lab, "one", 1, 1)?;
    lab.delete_egresses(&["one-2", "one-3"])?;
    wait_for_usage(lab, "one", 1, 0)
}

fn a_pool_in_use_is_deleted_when_nobody_uses_it_any_more(lab: &Lab) -> Result<()> {
    lab.apply(&pool("used", &["start: 10.10.27.1, end: 10.10.27.9"]))?;
    for name in ["used-1", "used-2"] {
        apply(lab, name, "externalIPPool: used")?;
        wait_for_egress(lab, name, "Ready", "Assigned")?;
    }
    lab.kubectl(&["delete", "externalippool", "used", "--wait=false"])?;
    let condition = wait_for_pool(lab, "used", "Ready", "InUse")?;
    ensure!(
        condition.message.contains("used-1") && condition.message.contains("used-2"),
        "{condition:?}"
    );
    wait_for_event(lab, "used", "InUse")?;
    // Who has an address keeps it, and nobody new gets one.
    let refused = apply(lab, "used-3", "externalIPPool: used");
    ensure!(refused.is_err(), "an Egress may use a pool that is going");
    lab.gateway_of("used-1", "10.10.27.1")?;
    lab.delete_egresses(&["used-1"])?;
    wait_for_usage(lab, "used", 9, 1)?;
    wait_for_pool(lab, "used", "Ready", "InUse")?;
    apply(lab, "used-2", "egressIP: 10.10.0.78")?;
    wait_until_gone(lab, "externalippool", "used")
}

fn a_pool_that_is_made_again_with_other_ranges_gives_other_addresses(lab: &Lab) -> Result<()> {
    lab.apply(&pool("again", &["start: 10.10.28.1, end: 10.10.28.9"]))?;
    apply(lab, "again", "externalIPPool: again")?;
    lab.gateway_of("again", "10.10.28.1")?;
    lab.kubectl(&["delete", "externalippool", "again", "--wait=false"])?;
    // Whoever is in a hurry takes the finalizer away himself.
    let hurry = r#"{"metadata": {"finalizers": null}}"#;
    lab.kubectl(&[
        "patch",
        "externalippool",
        "again",
        "--type=merge",
        "-p",
        hurry,
    ])?;
    wait_until_gone(lab, "externalippool", "again")?;
    wait_for_egress(lab, "again", "IPAllocated", "PoolNotFound")?;
    wait_for_event(lab, "again", "PoolNotFound")?;
    wait_until_no_node_has(lab, "10.10.28.1")?;
    lab.apply(&pool("again", &["start: 10.10.28.101, end: 10.10.28.109"]))?;
    lab.gateway_of("again", "10.10.28.101")?;
    wait_for_usage(lab, "again", 9, 1)
}

fn an_egress_whose_pool_selects_no_node_says_so_until_there_is_one(lab: &Lab) -> Result<()> {
    lab.apply(&pool("late", &["start: 10.10.30.1, end: 10.10.30.9"]))?;
    apply(lab, "late", "externalIPPool: late")?;
    lab.gateway_of("late", "10.10.30.1")?;
    let nobody = "{\"spec\": {\"nodeSelector\": {\"matchLabels\": {\"gateway\": \"late\"}}}}";
    lab.kubectl(&[
        "patch",
        "externalippool",
        "late",
        "--type=merge",
        "-p",
        nobody,
    ])?;
    wait_for_egress(lab, "late", "Ready", "NoCandidate")?;
    wait_for_event(lab, "late", "NoCandidate")?;
    lab.kubectl(&["label", "node", "node-2", "gateway=late"])?;
    lab.wait_for_gateway("late", "10.10.30.1", "node-2")
}

fn an_address_leaves_a_node_that_its_pool_no_longer_selects(lab: &Lab) -> Result<()> {
    lab.kubectl(&["label", "node", "node-1", "node-2", "egress=yes"])?;
    lab.apply(&pool("labels", &["start: 10.10.31.1, end: 10.10.31.9"]))?;
    let selector = r#"{"spec": {"nodeSelector": {"matchLabels": {"egress": "yes"}}}}"#;
    lab.kubectl(&[
        "patch",
        "externalippool",
        "labels",
        "--type=merge",
        "-p",
        selector,
    ])?;
    apply(lab, "labels", "externalIPPool: labels")?;
    let first = lab.gateway_of("labels", "10.10.31.1")?;
    let other = if first == "node-1" {
        "node-2"
    } else {
        "node-1"
    };
    lab.kubectl(&["label", "node", &first, "egress-"])?;
    lab.wait_for_gateway("labels", "10.10.31.1", other)?;
    lab.kubectl(&["label", "node", other, "egress-"])?;
    wait_for_egress(lab, "labels", "Ready", "NoCandidate")?;
    wait_until_no_node_has(lab, "10.10.31.1")?;
    lab.kubectl(&["label", "node", "node-3", "egress=yes"])?;
    lab.wait_for_gateway("labels", "10.10.31.1", "node-3")
}

fn an_address_leaves_a_node_that_is_cordoned(lab: &Lab) -> Result<()> {
    lab.apply(&pool("cordon", &["start: 10.10.32.1, end: 10.10.32.9"]))?;
    apply(lab, "cordon", "externalIPPool: cordon")?;
    let first = lab.gateway_of("cordon", "10.10.32.1")?;
    lab.kubectl(&["cordon", &first])?;
    let second = lab.wait_for_other_gateway("cordon", "10.10.32.1", &first)?;
    ensure!(!lab.egress("cordon")?.status.candidates.contains(&first));
    lab.kubectl(&["uncordon", &first])?;
    let lists = |seen: &Egress| seen.status.candidates.contains(&first);
    wait_until(
        "the node is a candidate again",
        || lab.egress("cordon"),
        lists,
    )?;
    lab.wait_for_gateway("cordon", "10.10.32.1", &second)?;
    lab.delete_egresses(&["cordon"])
}

fn the_newest_address_leaves_a_node_that_holds_more_than_its_limit(lab: &Lab) -> Result<()> {
    lab.kubectl(&["label", "node", "node-1", "node-2", "full=yes"])?;
    lab.kubectl(&[
        "annotate",
        "node",
        "node-2",
        "node.antrea.io/max-egress-ips=0",
    ])?;
    lab.apply(&pool("full", &["start: 10.10.33.1, end: 10.10.33.9"]))?;
    let selector = r#"{"spec": {"nodeSelector": {"matchLabels": {"full": "yes"}}}}"#;
    lab.kubectl(&[
        "patch",
        "externalippool",
        "full",
        "--type=merge",
        "-p",
        selector,
    ])?;
    for (name, ip) in [("full-1", "10.10.33.1"), ("full-2", "10.10.33.2")] {
        apply(lab, name, "externalIPPool: full")?;
        lab.wait_for_gateway(name, ip, "node-1")?;
    }
    lab.kubectl(&[
        "annotate",
        "node",
        "node-1",
        "node.antrea.io/max-egress-ips=1",
    ])?;
    // Nobody else has room: it stays where it is.
    std::thread::sleep(std::time::Duration::from_secs(1));
    lab.wait_for_gateway("full-2", "10.10.33.2", "node-1")?;
    lab.kubectl(&[
        "annotate",
        "node",
        "node-2",
        "node.antrea.io/max-egress-ips-",
    ])?;
    lab.wait_for_gateway("full-2", "10.10.33.2", "node-2")?;
    lab.wait_for_gateway("full-1", "10.10.33.1", "node-1")?;
    lab.delete_egresses(&["full-1", "full-2"])?;
    lab.kubectl(&[
        "annotate",
        "node",
        "node-1",
        "node.antrea.io/max-egress-ips-",
    ])
    .map(drop)
}

fn an_illegible_limit_is_told_and_the_default_applies(lab: &Lab) -> Result<()> {
    let annotation = "node.antrea.io/max-egress-ips";
    lab.kubectl(&["annotate", "node", "node-1", &format!("{annotation}=many")])?;
    wait_for_event(lab, "node-1", "InvalidMaxEgressIPs")?;
    lab.kubectl(&["label", "node", "node-1", "limit=illegible"])?;
    lab.apply(&pool("limit", &["start: 10.10.34.1, end: 10.10.34.9"]))?;
    let selector = r#"{"spec": {"nodeSelector": {"matchLabels": {"limit": "illegible"}}}}"#;
    lab.kubectl(&[
        "patch",
        "externalippool",
        "limit",
        "--type=merge",
        "-p",
        selector,
    ])?;
    apply(lab, "limit", "externalIPPool: limit")?;
    lab.wait_for_gateway("limit", "10.10.34.1", "node-1")?;
    lab.kubectl(&["annotate", "node", "node-1", &format!("{annotation}-")])
        .map(drop)
}

/// Its power is cut too, or its kubelet might make it anew. Of three nodes two are left, which is a majority.
fn an_address_leaves_a_node_that_is_deleted(lab: &Lab) -> Result<()> {
    lab.apply(&pool("gone", &["start: 10.10.35.1, end: 10.10.35.9"]))?;
    apply(lab, "gone", "externalIPPool: gone")?;
    let first = lab.gateway_of("gone", "10.10.35.1")?;
    lab.power_off(&first)?;
    lab.kubectl(&["delete", "node", &first])?;
    lab.wait_for_other_gateway("gone", "10.10.35.1", &first)?;
    let is_left_out = |seen: &Egress| !seen.status.candidates.contains(&first);
    wait_until(
        "the node is no candidate",
        || lab.egress("gone"),
        is_left_out,
    )
    .map(drop)
}

fn nothing_is_written_where_nothing_happens(lab: &Lab) -> Result<()> {
    let versions = || -> Result<Vec<(String, String)>> {
        let egresses = lab.list::<Egress>("egress")?;
        let pools = lab.list::<Pool>("externalippool")?;
        let of_egresses = egresses.into_iter().map(|egress| egress.metadata);
        let all = of_egresses.chain(pools.into_iter().map(|pool| pool.metadata));
        Ok(all.map(|of| (of.name, of.resource_version)).collect())
    };
    // A pool is written at most twice a second.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let before = versions()?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    ensure!(versions()? == before, "{before:?} was written anew");
    Ok(())
}

/// An Egress that selects no Pod of these tests.
fn of_nobody(name: &str, address: &str) -> String {
    egress(name, &pods_with("app", name), address)
}

fn apply(lab: &Lab, name: &str, address: &str) -> Result<()> {
    lab.apply(&of_nobody(name, address))
}

/// Waits until the Egress's condition has this reason, and speaks of the Egress as it is now.
fn wait_for_egress(lab: &Lab, name: &str, kind: &str, reason: &str) -> Result<Condition> {
    let what = format!("Egress {name} has {kind} with reason {reason}");
    let is_so = |seen: &Egress| {
        seen.condition(kind).is_some_and(|condition| {
            condition.reason == reason && condition.observed_generation == seen.metadata.generation
        })
    };
    let seen = wait_until(&what, || lab.egress(name), is_so)?;
    seen.condition(kind)
        .cloned()
        .context("the condition just seen")
}

/// The same for a pool.
fn wait_for_pool(lab: &Lab, name: &str, kind: &str, reason: &str) -> Result<Condition> {
    let what = format!("pool {name} has {kind} with reason {reason}");
    let is_so = |seen: &Pool| {
        seen.condition(kind).is_some_and(|condition| {
            condition.reason == reason && condition.observed_generation == seen.metadata.generation
        })
    };
    let seen = wait_until(&what, || lab.pool(name), is_so)?;
    seen.condition(kind)
        .cloned()
        .context("the condition just seen")
}

fn wait_for_usage(lab: &Lab, name: &str, total: i64, used: i64) -> Result<()> {
    let what = format!("{used} of {total} addresses of pool {name} are in use");
    let is_so = |seen: &Pool| seen.status.usage == Some(Usage { total, used });
    wait_until(&what, || lab.pool(name), is_so).map(drop)
}

/// Waits until people have heard of this of an object, by an Event.
fn wait_for_event(lab: &Lab, name: &str, reason: &str) -> Result<()> {
    let of = format!("involvedObject.name={name},reason={reason}");
    let what = format!("there is an Event about {name} with reason {reason}");
    let look = || {
        lab.kubectl(&[
            "get",
            "events",
            "-n",
            "default",
            "--field-selector",
            &of,
            "-o",
            "name",
        ])
    };
    wait_until(&what, look, |seen| !seen.is_empty()).map(drop)
}

fn wait_until_gone(lab: &Lab, kind: &str, name: &str) -> Result<()> {
    let look = || lab.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"]);
    wait_until(&format!("{kind} {name} is gone"), look, String::is_empty).map(drop)
}

fn wait_until_no_node_has(lab: &Lab, ip: &str) -> Result<()> {
    let what = format!("no node has {ip}");
    wait_until(&what, || lab.nodes_with(ip), Vec::is_empty).map(drop)
}
