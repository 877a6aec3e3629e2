//! What `kubectl apply` says of an object, right or wrong: the table, and what happens when many ask at once.

mod table;

use std::collections::BTreeSet;
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Result, bail};
use egret_e2e::lab::{Answer, Lab};
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::Egress;
use egret_e2e::patience::wait_until;

use self::table::{Case, Expected};

/// The pools and Egresses that the cases of the table meet.
const WORLD: &str = "
apiVersion: crd.antrea.io/v1beta1
kind: ExternalIPPool
metadata: {name: prod}
spec:
  ipRanges: [{start: 10.10.0.11, end: 10.10.0.20}, {cidr: 10.10.1.0/28}]
  exclude: [10.10.0.15]
  subnetInfo: {gateway: 10.10.1.3, prefixLength: 16}
---
apiVersion: crd.antrea.io/v1beta1
kind: ExternalIPPool
metadata: {name: edge}
spec:
  ipRanges: [{start: 10.10.2.1, end: 10.10.2.2}]
---
";

fn make_world(lab: &Lab) -> Result<()> {
    lab.apply(WORLD)?;
    let in_edge = |name: &str| egress(name, &pods_with("app", name), "externalIPPool: edge");
    lab.apply(&[in_edge("edge-a"), in_edge("edge-b")].concat())?;
    lab.apply(&egress(
        "web",
        &pods_with("app", "web"),
        "externalIPPool: prod",
    ))?;
    lab.apply(&egress(
        "fixed",
        &pods_with("app", "fixed"),
        "egressIP: 10.10.0.102",
    ))?;
    lab.gateway_of("web", "10.10.0.11")?;
    lab.gateway_of("edge-a", "10.10.2.1")?;
    lab.gateway_of("edge-b", "10.10.2.2")?;
    lab.wait_for_gateway("fixed", "10.10.0.102", "node-2")
}

#[test]
fn every_object_of_the_table_gets_the_answer_beside_it() -> Result<()> {
    Lab::run(2, |lab| {
        make_world(lab)?;
        let mut wrong = Vec::new();
        for case in table::CASES {
            let answer = offer(lab, case)?;
            if let Some(difference) = difference(case, &answer) {
                wrong.push(format!("{case:?}\n  {difference}\n  {}", answer.words));
            }
        }
        if !wrong.is_empty() {
            bail!(
                "{} of {} answers:\n{}",
                wrong.len(),
                table::CASES.len(),
                wrong.join("\n")
            );
        }
        Ok(())
    })
}

/// What is to be refused is applied for good; everything else without storing it, so that all cases meet the same world.
fn offer(lab: &Lab, case: &Case) -> Result<Answer> {
    match case.expected {
        Expected::Refused(_) => lab.tell(&["apply", "-f", "-"], &case.manifest()),
        _ => lab.offer(&case.manifest()),
    }
}

/// In which way the answer is another one than expected.
fn difference(case: &Case, answer: &Answer) -> Option<String> {
    let lacks = |words: &[&str], text: &str| {
        let missing = words.iter().find(|words| !text.contains(**words));
        missing.map(|words| format!("does not say {words:?}"))
    };
    match case.expected {
        Expected::Refused(_) if answer.is_taken => Some("is taken".to_owned()),
        Expected::Refused(words) => lacks(words, &answer.words),
        _ if !answer.is_taken => Some("is refused".to_owned()),
        Expected::Warned(words) => lacks(words, &answer.warnings().join("\n")),
        Expected::Silent => {
            let warnings = answer.warnings();
            (!warnings.is_empty()).then(|| format!("warns: {warnings:?}"))
        }
        Expected::Stored(pointer, text) => {
            let stored = answer.object.pointer(pointer);
            let stored = stored.map_or("absent".to_owned(), ToString::to_string);
            (stored != text).then(|| format!("{pointer} is {stored}, not {text}"))
        }
    }
}

#[test]
fn a_pool_in_use_may_be_deleted_and_says_who_uses_it() -> Result<()> {
    Lab::run(2, |lab| {
        make_world(lab)?;
        let answer = lab.offer_deletion("externalippool", "prod")?;
        assert!(answer.is_taken);
        assert!(
            answer
                .warnings()
                .iter()
                .any(|words| words.contains("in use") && words.contains("web")),
            "{answer:?}"
        );
        let answer = lab.offer_deletion("egress", "web")?;
        assert!(
            answer.is_taken && answer.warnings().is_empty(),
            "{answer:?}"
        );
        Ok(())
    })
}

fn default_pool(name: &str, range: &str) -> String {
    format!(
        "---\n{{apiVersion: crd.antrea.io/v1beta1, kind: ExternalIPPool, metadata: {{name: {name}, annotations: \
         {{egret.dev/is-default-pool: \"true\"}}}}, spec: {{ipRanges: [{{cidr: {range}}}]}}}}"
    )
}

#[test]
fn an_egress_without_ip_and_pool_gets_the_default_pool_if_there_is_just_one() -> Result<()> {
    Lab::run(2, |lab| {
        let plain = egress("plain", &pods_with("app", "plain"), "priority: 1");
        let answer = lab.offer(&plain)?;
        assert!(answer.words.contains("set externalIPPool"), "{answer:?}");
        lab.apply(&default_pool("first", "10.10.7.0/29"))?;
        lab.apply(&plain)?;
        lab.gateway_of("plain", "10.10.7.1")?;

        let second = default_pool("second", "10.10.6.0/29");
        let warnings = lab.offer(&second)?.warnings().join("\n");
        assert!(
            warnings.contains("second default pool beside first"),
            "{warnings}"
        );
        lab.apply(&second)?;
        let other = egress("other", &pods_with("app", "other"), "priority: 1");
        let is_told = |answer: &Answer| {
            answer
                .words
                .contains("several pools are marked as default (first, second)")
        };
        wait_until("both are seen", || lab.offer(&other), is_told)?;
        Ok(())
    })
}

const CLIENTS: usize = 20;
const EACH: usize = 50;
/// Of a /24, without its first and its last address.
const ADDRESSES: usize = 254;

#[test]
fn of_a_thousand_that_ask_at_once_for_254_addresses_each_gets_its_own_or_is_told_why() -> Result<()>
{
    Lab::run(2, |lab| {
        lab.apply(&pool("small", &["cidr: 10.10.8.0/24"]))?;
        let ask = |client: usize| {
            let names = (0..EACH).map(|number| format!("c{client}-{number}"));
            let manifests: Vec<_> = names
                .map(|name| egress(&name, "", "externalIPPool: small"))
                .collect();
            lab.apply(&manifests.concat())
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| scope.spawn(move || ask(client)))
                .collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().expect("a client"))
        })?;
        let are_all_answered = |seen: &Vec<Egress>| {
            seen.iter()
                .all(|egress| egress.condition("IPAllocated").is_some())
                && allocated(seen).count() == ADDRESSES
        };
        let seen = wait_until("all are answered", || lab.list("egress"), are_all_answered)?;
        assert_eq!(seen.len(), CLIENTS * EACH);
        let addresses: BTreeSet<_> = allocated(&seen).collect();
        assert_eq!(addresses.len(), ADDRESSES, "an address was given twice");
        for egress in &seen {
            let said = egress
                .condition("IPAllocated")
                .map(|said| said.reason.as_str());
            let expected = if egress.spec.egress_ip.is_some() {
                "Allocated"
            } else {
                "PoolExhausted"
            };
            assert_eq!(said, Some(expected), "{egress:?}");
        }
        Ok(())
    })
}

fn allocated(egresses: &[Egress]) -> impl Iterator<Item = &str> {
    egresses
        .iter()
        .filter_map(|egress| egress.spec.egress_ip.as_deref())
}

#[test]
fn what_is_applied_a_second_time_changes_nothing() -> Result<()> {
    Lab::run(6, |lab| {
        for file in ["config/samples/ha.yaml", "config/samples/static.yaml"] {
            lab.kubectl(&["apply", "--dry-run=server", "-f", file])?;
            lab.apply_file(file)?;
            let all_ready = |seen: &Vec<Egress>| seen.iter().all(Egress::is_ready);
            wait_until("all are in force", || lab.list("egress"), all_ready)?;
            let before = versions_at_rest(lab)?;
            let again = lab.kubectl(&["apply", "-f", file])?;
            assert!(
                again.lines().all(|line| line.ends_with(" unchanged")),
                "{again}"
            );
            // It fails where there is a difference.
            assert_eq!(lab.kubectl(&["diff", "-f", file])?, "");
            assert_eq!(versions(lab)?, before);

            let by_server = ["apply", "--server-side", "--force-conflicts", "-f", file];
            lab.kubectl(&by_server)?;
            let before = versions_at_rest(lab)?;
            lab.kubectl(&by_server)?;
            lab.kubectl(&["diff", "--server-side", "-f", file])?;
            assert_eq!(versions(lab)?, before);
            lab.kubectl(&["delete", "-f", file])?;
        }
        Ok(())
    })
}

/// The versions once they stay the same for a while: a pool's usage is told a little later.
fn versions_at_rest(lab: &Lab) -> Result<String> {
    let look = || {
        let before = versions(lab)?;
        sleep(Duration::from_secs(1));
        Ok((versions(lab)?, before))
    };
    let (versions, _) = wait_until("nothing changes any more", look, |(now, before)| {
        now == before
    })?;
    Ok(versions)
}

/// Names, generations and versions of everything that users make.
fn versions(lab: &Lab) -> Result<String> {
    let columns = "custom-columns=NAME:.metadata.name,GEN:.metadata.generation,VERSION:.metadata.resourceVersion";
    lab.kubectl(&["get", "egress,externalippools", "-o", columns])
}
