//! The webhook's certificates: no request fails while they are made anew, and what must not depend on the webhook does
//! not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pool};
use egret_e2e::patience::wait_until;

/// An entry of the webhook's Secret, as base64; empty while there is none.
fn entry(lab: &Lab, name: &str) -> Result<String> {
    let path = format!("jsonpath={{.data.{name}}}");
    let secret = ["get", "secret", "egret-webhook-tls", "--ignore-not-found"];
    lab.kubectl(&[&["-n", "egret-system"], &secret[..], &["-o", &path]].concat())
}

/// How long is what stands beside the webhook's certificate as trusted: two authorities take twice as much as one.
fn trusted_length(lab: &Lab) -> Result<usize> {
    Ok(entry(lab, r"ca\.crt")?.len())
}

fn certificate(lab: &Lab) -> Result<String> {
    entry(lab, r"tls\.crt")
}

/// Writes to an Egress again and again while `work` is done; fails if one write does. Gives how many there were.
fn under_writes(lab: &Lab, work: impl FnOnce() -> Result<()>) -> Result<usize> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut writes = 0;
            while !is_over.load(Ordering::Relaxed) {
                lab.patch_egress("a", &format!("spec: {{priority: {writes}}}"))
                    .with_context(|| format!("write {writes}"))?;
                writes += 1;
            }
            Ok(writes)
        });
        let result = work();
        is_over.store(true, Ordering::Relaxed);
        let done = writer.join().expect("the writer does not panic");
        result.and(done)
    })
}

fn with_an_egress(test: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    Lab::run(2, |lab| {
        lab.apply(&pool("pair", &["start: 10.10.0.31, end: 10.10.0.32"]))?;
        lab.apply(&egress("a", "", "externalIPPool: pair"))?;
        lab.gateway_of("a", "10.10.0.31")?;
        test(lab)
    })
}

#[test]
fn no_write_fails_while_a_lost_authority_is_replaced() -> Result<()> {
    with_an_egress(|lab| {
        let (old, length) = (certificate(lab)?, trusted_length(lab)?);
        let writes = under_writes(lab, || {
            lab.kubectl(&["-n", "egret-system", "delete", "secret", "egret-ca"])?;
            let renewed = |now: &String| !now.is_empty() && *now != old;
            wait_until(
                "the webhook has another certificate",
                || certificate(lab),
                renewed,
            )?;
            let is_one = |now: &usize| *now < length * 3 / 2;
            wait_until(
                "the former authority is forgotten",
                || trusted_length(lab),
                is_one,
            )?;
            Ok(())
        })?;
        ensure!(writes > 10, "{writes} writes only");
        Ok(())
    })
}

#[test]
fn no_write_fails_while_the_webhook_is_restarted() -> Result<()> {
    with_an_egress(|lab| under_writes(lab, || lab.ask(&["webhook", "restart"]).map(drop)).map(drop))
}

#[test]
fn a_registration_that_somebody_has_spoilt_is_put_right() -> Result<()> {
    with_an_egress(|lab| {
        let spoil = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
        lab.kubectl(&[
            "patch",
            "validatingwebhookconfiguration",
            "egret",
            "--type=json",
            "-p",
            spoil,
        ])?;
        let works = || Ok(lab.patch_egress("a", "spec: {priority: 7}").is_ok());
        wait_until("an Egress can be written", works, |is_written| *is_written)?;
        Ok(())
    })
}

#[test]
fn without_the_webhook_specs_are_refused_and_labels_and_deletion_go_on() -> Result<()> {
    with_an_egress(|lab| {
        lab.ask(&["webhook", "kill", "--stay"])?;
        let refusal = lab.patch_egress("a", "spec: {priority: 7}");
        let refusal = format!("{:#}", refusal.err().context("nobody has looked at it")?);
        ensure!(refusal.contains("failed calling webhook"), "{refusal}");
        lab.kubectl(&["label", "egress", "a", "team=web"])?;
        lab.delete_egresses(&["a"])
    })
}
