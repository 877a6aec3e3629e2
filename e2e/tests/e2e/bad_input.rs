//! What cannot be done is said in a condition, is cured when its cause goes, and disturbs nobody else. No webhook keeps it
//! from being asked for: one may be missing, or be asked twice at once, or an object may have been right once.

use anyhow::{Context, Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::{Condition, Egress, Pool};
use egret_e2e::patience::wait_until;

const POD: &str = "shop/good";

/// A pool of two addresses, the first held by an Egress `good` whose Pod leaves with it.
fn with_a_good_one(test: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    Lab::run_without_webhook(2, |lab| {
        lab.apply(&pool("pair", &["start: 10.10.0.31, end: 10.10.0.32"]))?;
        lab.apply(&egress(
            "good",
            &pods_with("app", "good"),
            "externalIPPool: pair",
        ))?;
        lab.pod(POD, "node-2", "app=good")?;
        lab.gateway_of("good", "10.10.0.31")?;
        lab.wait_for_source(POD, "10.10.0.31")?;
        test(lab)?;
        assert_eq!(
            lab.source_of(POD)?,
            "10.10.0.31",
            "the good one was disturbed"
        );
        assert!(lab.egress("good")?.is_ready());
        Ok(())
    })
}

/// An Egress for no Pod.
fn nobodys(name: &str, address: &str) -> String {
    egress(name, "", address)
}

/// Waits until the condition is false for this reason; its message must contain these words.
fn wait_for_refusal(lab: &Lab, name: &str, kind: &str, reason: &str, words: &[&str]) -> Result<()> {
    let is_refused = |seen: &Egress| {
        seen.condition(kind)
            .is_some_and(|condition| condition.status == "False" && condition.reason == reason)
    };
    let what = format!("{name} has {kind} False, {reason}");
    let seen = wait_until(&what, || lab.egress(name), is_refused)?;
    let Condition { message, .. } = seen.condition(kind).cloned().unwrap_or_default();
    for word in words {
        ensure!(
            message.contains(word),
            "{name}: {message:?} does not say {word:?}"
        );
    }
    ensure!(
        seen.held().is_none(),
        "{name} is refused and in force: {seen:#?}"
    );
    Ok(())
}

#[test]
fn an_address_that_cannot_be_had_is_refused_until_it_can() -> Result<()> {
    with_a_good_one(|lab| {
        lab.apply(&nobodys(
            "outside",
            "externalIPPool: pair, egressIP: 10.10.0.41",
        ))?;
        lab.apply(&nobodys(
            "taken",
            "externalIPPool: pair, egressIP: 10.10.0.31",
        ))?;
        lab.apply(&nobodys("early", "externalIPPool: later"))?;
        let refused = |name, reason, words: &[&str]| {
            wait_for_refusal(lab, name, "IPAllocated", reason, words)
        };
        refused("outside", "OutsidePool", &["10.10.0.41", "pair"])?;
        refused("taken", "AddressTaken", &["10.10.0.31", "good"])?;
        refused("early", "PoolNotFound", &["later"])?;

        lab.apply(&pool("later", &["start: 10.10.0.51, end: 10.10.0.51"]))?;
        lab.gateway_of("early", "10.10.0.51")?;
        let wider = [
            "start: 10.10.0.31, end: 10.10.0.32",
            "start: 10.10.0.41, end: 10.10.0.41",
        ];
        lab.apply(&pool("pair", &wider))?;
        lab.gateway_of("outside", "10.10.0.41")?;
        lab.patch_egress("taken", "spec: {egressIP: 10.10.0.32}")?;
        lab.gateway_of("taken", "10.10.0.32")?;
        Ok(())
    })
}

#[test]
fn an_egress_in_force_that_is_given_an_address_it_cannot_have_disturbs_nobody() -> Result<()> {
    with_a_good_one(|lab| {
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pair",
        ))?;
        lab.pod("shop/web", "node-1", "app=web")?;
        lab.gateway_of("web", "10.10.0.32")?;
        lab.wait_for_source("shop/web", "10.10.0.32")?;
        let gateway = lab.gateway_of("good", "10.10.0.31")?;

        let requests = lab.stream(POD, 10)?;
        for (address, reason, words) in [
            ("10.10.0.31", "AddressTaken", ["10.10.0.31", "good"]),
            ("10.10.0.41", "OutsidePool", ["10.10.0.41", "pair"]),
        ] {
            lab.patch_egress("web", &format!("spec: {{egressIP: {address}}}"))?;
            wait_for_refusal(lab, "web", "IPAllocated", reason, &words)?;
            wait_for_places(lab, &[("10.10.0.31", &[&gateway]), ("10.10.0.32", &[])])?;
            ensure!(lab.nodes_with("10.10.0.41")?.is_empty(), "{reason}");
            let left = lab.source_of("shop/web");
            let is_unheard =
                matches!(&left, Err(error) if error.to_string().contains("got nothing"));
            ensure!(is_unheard, "{reason}: it leaves without its IP: {left:?}");
        }
        let summary = requests.finish()?;
        ensure!(
            summary.is_only_from("10.10.0.31") && !summary.is_stuck(),
            "the good one was disturbed: {summary:?}"
        );

        lab.patch_egress("web", "spec: {egressIP: 10.10.0.32}")?;
        lab.gateway_of("web", "10.10.0.32")?;
        lab.wait_for_source("shop/web", "10.10.0.32")
    })
}

/// Waits until each address is on the links of these nodes and of no others.
fn wait_for_places(lab: &Lab, wanted: &[(&str, &[&str])]) -> Result<()> {
    for (address, nodes) in wanted {
        let what = format!("{address} is on {nodes:?} only");
        let is_so = |seen: &Vec<String>| seen == nodes;
        wait_until(&what, || lab.nodes_with(address), is_so)?;
    }
    Ok(())
}

#[test]
fn a_full_pool_says_so_and_serves_who_waits_when_an_address_is_free() -> Result<()> {
    with_a_good_one(|lab| {
        lab.apply(&nobodys("second", "externalIPPool: pair"))?;
        lab.gateway_of("second", "10.10.0.32")?;
        lab.apply(&nobodys("third", "externalIPPool: pair"))?;
        wait_for_refusal(lab, "third", "IPAllocated", "PoolExhausted", &["pair"])?;
        let is_full = |seen: &Pool| {
            let usage = seen.status.usage.map(|usage| (usage.used, usage.total));
            seen.is_exhausted() && usage == Some((2, 2))
        };
        wait_until(
            "the pool says that it is full",
            || lab.pool("pair"),
            is_full,
        )?;

        lab.delete_egresses(&["second"])?;
        lab.gateway_of("third", "10.10.0.32")?;
        Ok(())
    })
}

#[test]
fn a_static_ip_that_no_node_has_waits_for_one() -> Result<()> {
    with_a_good_one(|lab| {
        lab.apply(&egress(
            "static",
            &pods_with("app", "static"),
            "egressIP: 10.10.0.61",
        ))?;
        lab.pod("shop/static", "node-1", "app=static")?;
        wait_for_refusal(lab, "static", "Ready", "NotAssigned", &["10.10.0.61"])?;
        lab.on_node("node-2", "ip addr add 10.10.0.61/32 dev eth0")?;
        lab.wait_for_gateway("static", "10.10.0.61", "node-2")?;
        lab.wait_for_source("shop/static", "10.10.0.61")
    })
}

#[test]
fn what_is_no_address_is_refused_by_the_api_server_or_in_a_condition() -> Result<()> {
    with_a_good_one(|lab| {
        let refusal = lab.apply(&nobodys("neither", "priority: 1")).err();
        let refusal = refusal.context("neither IP nor pool is taken")?.to_string();
        ensure!(
            refusal.contains("\"neither\" is invalid") && refusal.contains("set externalIPPool"),
            "{refusal}"
        );
        for (name, address) in [
            ("letters", "egressIP: ten"),
            ("loopback", "egressIP: 127.0.0.1"),
        ] {
            if lab.apply(&nobodys(name, address)).is_ok() {
                wait_for_refusal(lab, name, "Ready", "InvalidSpec", &["spec.egressIP"])?;
                lab.delete_egresses(&[name])?;
            }
        }
        lab.apply(&pool("odd", &["start: 10.10.0.90, end: 10.10.0.80"]))?;
        lab.apply(&nobodys("in-odd", "externalIPPool: odd"))?;
        wait_for_refusal(lab, "in-odd", "IPAllocated", "PoolInvalid", &["odd"])?;
        lab.apply(&pool("odd", &["start: 10.10.0.80, end: 10.10.0.90"]))?;
        lab.gateway_of("in-odd", "10.10.0.80")?;
        Ok(())
    })
}

#[test]
fn an_object_that_makes_no_sense_hides_no_other() -> Result<()> {
    with_a_good_one(|lab| {
        let crd = lab.kubectl(&["get", "crd", "egresses.crd.antrea.io", "-o", "json"])?;
        lab.replace(&without_rules(&crd)?)?;
        // The API server takes a moment to forget the rules.
        let senseless = nobodys("senseless", "externalIPPool: pair, priority: [high]");
        wait_until("nonsense is taken", || lab.apply(&senseless), |()| true)?;
        lab.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-k",
            "config/crd",
        ])?;

        lab.restart_everything()?;
        lab.apply(&egress(
            "after",
            &pods_with("app", "after"),
            "externalIPPool: pair",
        ))?;
        lab.pod("shop/after", "node-1", "app=after")?;
        lab.gateway_of("after", "10.10.0.32")?;
        lab.wait_for_source("shop/after", "10.10.0.32")?;
        lab.delete_egresses(&["senseless"])
    })
}

#[test]
fn an_egress_in_force_that_becomes_illegible_stays_so_and_can_be_deleted() -> Result<()> {
    with_a_good_one(|lab| {
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pair",
        ))?;
        let gateway = lab.gateway_of("web", "10.10.0.32")?;
        lab.pod("shop/web", "node-1", "app=web")?;
        lab.wait_for_source("shop/web", "10.10.0.32")?;
        lab.patch_egress("web", "spec: {egressIP: ten}")?;
        wait_until(
            "web says what is wrong",
            || lab.egress("web"),
            |seen| {
                let ready = seen.condition("Ready");
                ready.is_some_and(|ready| ready.reason == "InvalidSpec")
            },
        )?;
        assert_eq!(lab.source_of("shop/web")?, "10.10.0.32");
        lab.delete_egresses(&["web"])?;
        lab.wait_for_node_source("shop/web", "node-1")?;
        let left = lab.on_node(&gateway, "ip -o -4 addr")?;
        ensure!(!left.contains("10.10.0.32/"), "still on {gateway}: {left}");
        Ok(())
    })
}

/// A CRD that takes anything for a spec.
fn without_rules(crd: &str) -> Result<String> {
    let mut crd: serde_json::Value = serde_json::from_str(crd)?;
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        version["schema"]["openAPIV3Schema"]["properties"]["spec"] =
            serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    Ok(crd.to_string())
}
