//! The configuration: in force by itself, and refused as a whole where any of it is wrong.

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{configuration, egress, pool};
use egret_e2e::object::Egress;
use egret_e2e::patience::wait_until;

/// The reasons of the Events on it, each with its message.
fn events(lab: &Lab) -> Result<String> {
    lab.kubectl(&[
        "get",
        "events",
        "-n",
        "egret-system",
        "--field-selector=involvedObject.name=egret-config",
        "-o=jsonpath={range .items[*]}{.reason} {.message}{\"\\n\"}{end}",
    ])
}

fn reason(lab: &Lab, name: &str) -> Result<String> {
    let egress = lab.egress(name)?;
    let ready = egress.condition("Ready").cloned().unwrap_or_default();
    Ok(ready.reason)
}

fn wait_for_reason(lab: &Lab, name: &str, wanted: &str) -> Result<()> {
    let what = format!("Ready of {name} says {wanted}");
    wait_until(&what, || reason(lab, name), |seen| seen == wanted).map(drop)
}

#[test]
fn a_limit_is_in_force_as_soon_as_it_is_written_and_a_wrong_one_never() -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&configuration("egress: {maxEgressIPsPerNode: 1}"))?;
        let in_force = || {
            let path = "-o=jsonpath={.data.antrea-agent\\.conf}";
            lab.kubectl(&[
                "get",
                "configmap",
                "egret-agent",
                "-n",
                "egret-system",
                path,
            ])
        };
        let says = |limit: &str| {
            let line = format!("maxEgressIPsPerNode: {limit}\n");
            move |text: &String| text.contains(&line)
        };
        wait_until("the agents are told the limit", in_force, says("1"))?;
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        for name in ["a", "b", "c"] {
            lab.apply(&egress(name, "", "externalIPPool: pool"))?;
        }
        let waiting = |lab: &Lab| -> Result<usize> {
            let reasons = ["a", "b", "c"].map(|name| reason(lab, name));
            let reasons = reasons.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(reasons
                .iter()
                .filter(|reason| *reason == "NoCandidate")
                .count())
        };
        wait_until(
            "one of three finds no room on two nodes",
            || waiting(lab),
            |count| *count == 1,
        )?;

        lab.apply(&configuration(
            "egress: {maxEgressIPsPerNode: many, exceptCIDR: []}",
        ))?;
        let told = |text: &String| {
            let parts = [
                "InvalidConfig",
                "maxEgressIPsPerNode: \"many\"",
                "nearest known one is exceptCIDRs",
            ];
            parts.iter().all(|part| text.contains(part))
        };
        wait_until("everything that is wrong is told", || events(lab), told)?;
        ensure!(says("1")(&in_force()?), "{}", in_force()?);
        ensure!(
            waiting(lab)? == 1,
            "a wrong configuration has changed something"
        );

        lab.apply(&configuration("egress: {maxEgressIPsPerNode: 3}"))?;
        let is_ready = |seen: &Vec<Egress>| seen.iter().all(Egress::is_ready);
        wait_until("all three have room", || lab.list("egresses"), is_ready)?;
        let is_mended = |text: &String| text.contains("ValidConfig");
        wait_until("it is told that all is well", || events(lab), is_mended)?;
        Ok(())
    })
}

#[test]
fn an_egress_says_so_while_egress_is_off_and_keeps_its_address() -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
        lab.apply(&egress("a", "", "externalIPPool: pool"))?;
        lab.gateway_of("a", "10.10.0.31")?;
        lab.apply(&configuration("featureGates: {Egress: false}"))?;
        wait_for_reason(lab, "a", "Disabled")?;
        lab.apply(&configuration("featureGates: {Egress: true}"))?;
        wait_for_reason(lab, "a", "Assigned")?;
        lab.gateway_of("a", "10.10.0.31").map(drop)
    })
}
