//! The webhook's certificates: no request fails while they are made anew, and what must not depend on the webhook does
//! not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pool};
use egret_e2e::patience::wait_until;
use serde_json::{Value, json};

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

/// An Egress that may be stored, and one that may not for a reason that only the webhook knows.
fn good_and_bad() -> [Value; 2] {
    ["10.10.0.32", "10.10.0.40"].map(|ip| {
        json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Egress", "metadata": {"name": "offered"},
            "spec": {"appliedTo": {"podSelector": {}}, "externalIPPool": "pair", "egressIP": ip}})
    })
}

const PER_SECOND: u32 = 200;
/// Long enough for several certificates and, as an authority lives three times as long, for another authority.
const UNDER_LOAD_S: u32 = 75;

#[test]
fn of_two_hundred_requests_per_second_none_fails_while_certificates_are_renewed() -> Result<()> {
    Lab::run_with_short_certificates(2, |lab| {
        lab.apply(&pool("pair", &["start: 10.10.0.31, end: 10.10.0.32"]))?;
        let [good, _] = good_and_bad();
        let offers = lab.offers(&good, PER_SECOND, UNDER_LOAD_S)?;
        let (mut certificates, mut trusted) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..UNDER_LOAD_S {
            certificates.insert(certificate(lab)?);
            trusted.insert(entry(lab, r"ca\.crt")?);
            sleep(Duration::from_secs(1));
        }
        let answers = offers.finish()?;
        eprintln!("{} certificates: {answers:?}", certificates.len());
        let all = usize::try_from(PER_SECOND * UNDER_LOAD_S)?;
        ensure!(answers.taken == all, "not all were taken: {answers:?}");
        ensure!(
            certificates.len() > 2,
            "certificates were not renewed under load"
        );
        ensure!(
            trusted.len() > 1,
            "the authority was not renewed under load"
        );
        Ok(())
    })
}

#[test]
fn none_is_answered_wrongly_while_replicas_are_killed() -> Result<()> {
    with_an_egress(|lab| {
        let [good, bad] = good_and_bad();
        let (good, bad) = (lab.offers(&good, 100, 12)?, lab.offers(&bad, 100, 12)?);
        for replica in ["1", "2", "1"] {
            sleep(Duration::from_secs(3));
            lab.ask(&["webhook", "kill", replica])?;
        }
        let (good, bad) = (good.finish()?, bad.finish()?);
        eprintln!("good: {good:?}\nbad: {bad:?}");
        ensure!(good.refused.is_empty(), "a good one was refused: {good:?}");
        ensure!(bad.taken == 0, "a bad one was taken: {bad:?}");
        // Those that nobody could answer are told so, and are few.
        for answers in [&good, &bad] {
            let failed: usize = answers.failed.values().sum();
            ensure!(failed * 4 < answers.sent, "{answers:?}");
            let is_told = |words: &String| words.contains("failed calling webhook");
            ensure!(answers.failed.keys().all(is_told), "{answers:?}");
        }
        Ok(())
    })
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
