//! The keeper of the webhook's certificates against a mock API server, until there is nothing to do.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use egret_runtime::live::Liveness;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::{plan, registration};
use super::*;
use crate::keeper;

mod api;

use api::Api;

const AUTHORITY: &str = "secrets/egret-ca";
const LEAF: &str = "secrets/egret-webhook-tls";
const MUTATING: &str = "mutatingwebhookconfigurations/egret";
const VALIDATING: &str = "validatingwebhookconfigurations/egret";

impl Keeper<Api> {
    async fn settle(&mut self) -> Result<Timestamp, Problem> {
        let (metrics, pulse) = (self.metrics.clone(), Liveness::default().pulse("test"));
        let due = keeper::settle(self, &metrics, &pulse).await?;
        Ok(due.expect("certificates end"))
    }
}

/// What somebody does to the objects.
type Disorder = fn(&Api);

/// Everything in place with two replicas, for a while, and the operator that has done it.
async fn installed() -> (Api, Keeper<Api>) {
    let api = Api::new();
    let mut operator = api.operator();
    operator.settle().await.unwrap();
    api.start_replicas(2);
    operator.note(Change::Replicas);
    operator.settle().await.unwrap();
    api.pass(plan::SETTLE);
    api.written();
    (api, operator)
}

/// The authorities in a Secret or in its bundle.
fn roots(secret: &Secret, entry: &str) -> Vec<Root> {
    let data = secret.data.as_ref().unwrap();
    data.get(entry)
        .map_or_else(Vec::new, |pem| read::roots(&pem.0))
}

#[tokio::test]
async fn nothing_is_registered_before_a_replica_serves_and_then_it_is() {
    let api = Api::new();
    let mut operator = api.operator();
    operator.settle().await.unwrap();
    assert_eq!(api.written(), ["POST secrets", "POST secrets"]);
    api.start_replicas(1);
    operator.note(Change::Replicas);
    operator.settle().await.unwrap();
    assert_eq!(
        api.written(),
        [format!("PATCH {MUTATING}"), format!("PATCH {VALIDATING}")]
    );
    assert!(api.is_every_replica_trusted());
    assert_eq!(api.object(LEAF)["type"], "kubernetes.io/tls");
    let owner = &api.object(MUTATING)["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&"Namespace".into(), &"of-namespace".into())
    );
}

/// Whether these lines stand in what the registry shows.
fn assert_shown(registry: &Registry, lines: &[&str]) {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    for line in lines {
        let line = format!("egret_operator_webhook_{line}");
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn replicas_that_cannot_be_reached_are_seen_in_the_metrics_and_asked_less_and_less_often() {
    let (api, mut registry) = (Api::new(), Registry::default());
    let mut operator = api.operator();
    operator.metrics = Metrics::registered(&mut registry);
    operator.settle().await.unwrap();
    api.start_replicas(2);
    api.cut_off(true);
    operator.note(Change::Replicas);
    let before = api.asked();
    for _ in 0..20 {
        let due = operator.settle().await.unwrap();
        api.set_clock(due);
    }
    assert_eq!(api.asked() - before, 20);
    assert!(operator.lag.since().is_some());
    let minutes = SignedDuration::from_mins(10);
    assert!(api.now().duration_since(operator.lag.since().unwrap()) > minutes);
    let unseen = ["registered 0", "replicas_listed 2", "replicas_serving 0"];
    assert_shown(&registry, &unseen);
    api.cut_off(false);
    operator.settle().await.unwrap();
    let settled = ["registered 1", "replicas_listed 0", "replicas_serving 0"];
    assert_shown(&registry, &settled);
    assert_eq!(operator.lag.since(), None);
}

#[tokio::test]
async fn an_operator_that_starts_anew_writes_nothing() {
    let (api, _) = installed().await;
    api.operator().settle().await.unwrap();
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn the_key_of_the_authority_is_in_no_other_object() {
    let (api, _) = installed().await;
    let key = api.object(AUTHORITY)["data"]["tls.key"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [LEAF, MUTATING, VALIDATING] {
        assert!(!api.object(path).to_string().contains(&key), "{path}");
    }
}

#[tokio::test]
async fn whatever_is_deleted_or_overwritten_is_put_right_and_then_left_alone() {
    let (api, mut operator) = installed().await;
    let disorders: [(&str, Disorder); 7] = [
        ("a deleted certificate", |api| api.delete(LEAF)),
        ("a deleted authority", |api| api.delete(AUTHORITY)),
        ("a deleted configuration", |api| api.delete(MUTATING)),
        ("an overwritten caBundle", |api| {
            api.edit(VALIDATING, |one| {
                one["webhooks"][0]["clientConfig"]["caBundle"] = "".into();
            });
        }),
        ("another's rules", |api| {
            api.edit(MUTATING, |one| {
                one["webhooks"][0]["rules"] = serde_json::json!([]);
            });
        }),
        ("a key of another pair", |api| {
            let key = api.object(AUTHORITY)["data"]["tls.key"].clone();
            api.edit(LEAF, |one| one["data"]["tls.key"] = key);
        }),
        ("rubbish", |api| {
            api.edit(AUTHORITY, |one| {
                one["data"] = serde_json::json!({"tls.crt": "AAAA"});
            });
        }),
    ];
    for (what, disorder) in disorders {
        disorder(&api);
        for _ in 0..6 {
            operator.settle().await.unwrap();
            assert!(api.is_every_replica_trusted(), "{what}");
            api.start_replicas(2);
            api.pass(plan::SETTLE);
        }
        assert!(!api.written().is_empty(), "{what}");
        assert_eq!(roots(&api.secret(AUTHORITY), read::PREVIOUS), [], "{what}");
        api.operator().settle().await.unwrap();
        assert_eq!(api.written(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn nobody_switches_a_webhook_off_by_what_the_operator_has_not_written() {
    let (api, mut operator) = installed().await;
    let right = [api.object(MUTATING), api.object(VALIDATING)];
    let none = || serde_json::json!({"matchLabels": {"no": "object"}});
    let off = || serde_json::json!({"name": "off", "expression": "false"});
    let additions: [(&str, Value); 3] = [
        ("/objectSelector", none()),
        ("/namespaceSelector", none()),
        ("/matchConditions/-", off()),
    ];
    for (place, value) in additions {
        for path in [MUTATING, VALIDATING] {
            api.edit(path, |one| {
                add(&mut one["webhooks"][0], place, value.clone());
            });
        }
        operator.settle().await.unwrap();
        for (path, right) in [MUTATING, VALIDATING].iter().zip(&right) {
            assert_eq!(api.object(path)["webhooks"], right["webhooks"], "{place}");
        }
        assert_eq!(api.written().len(), 2, "{place}");
        operator.settle().await.unwrap();
        assert_eq!(api.written(), [""; 0], "{place}");
    }
}

#[tokio::test]
async fn a_foreign_condition_goes_together_with_whatever_else_is_wrong() {
    let (api, mut operator) = installed().await;
    let right = api.object(VALIDATING);
    api.edit(VALIDATING, |one| {
        let webhook = &mut one["webhooks"][0];
        webhook["clientConfig"]["caBundle"] = "".into();
        let off = serde_json::json!({"name": "off", "expression": "false"});
        add(webhook, "/matchConditions/-", off);
    });
    operator.settle().await.unwrap();
    assert_eq!(api.object(VALIDATING)["webhooks"], right["webhooks"]);
    api.written();
    api.operator().settle().await.unwrap();
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn a_webhook_that_another_has_put_beside_stays() {
    let (api, mut operator) = installed().await;
    api.edit(MUTATING, |one| {
        add(
            one,
            "/webhooks/-",
            serde_json::json!({"name": "another.example"}),
        );
        let off = serde_json::json!({"name": "off", "expression": "false"});
        add(&mut one["webhooks"][0], "/matchConditions/-", off);
    });
    operator.settle().await.unwrap();
    let webhooks = &api.object(MUTATING)["webhooks"];
    assert_eq!(webhooks[1]["name"], "another.example");
    assert_eq!(webhooks[0]["matchConditions"].as_array().unwrap().len(), 2);
}

/// Puts something at a place of an object, where `-` is the end of a list.
fn add(object: &mut Value, place: &str, value: Value) {
    match place.strip_suffix("/-") {
        Some(list) => {
            let list = object.pointer_mut(list).unwrap();
            list.as_array_mut().unwrap().push(value);
        }
        None => object[place.trim_start_matches('/')] = value,
    }
}

#[tokio::test]
async fn a_renewed_certificate_has_the_same_authority() {
    let (api, mut operator) = installed().await;
    let (ca, leaf) = (api.object(AUTHORITY), api.object(LEAF));
    let due = operator.settle().await.unwrap();
    api.set_clock(due);
    operator.settle().await.unwrap();
    assert_eq!(api.written(), [format!("PUT {LEAF}")]);
    assert_eq!(api.object(AUTHORITY), ca);
    assert_ne!(api.object(LEAF)["data"]["tls.crt"], leaf["data"]["tls.crt"]);
}

/// Lets time pass, with replicas that read each certificate, until there is a new authority.
async fn renew_authority(api: &Api, operator: &mut Keeper<Api>) {
    let renewed = format!("PUT {AUTHORITY}");
    for _ in 0..10 {
        let due = operator.settle().await.unwrap();
        if api.written().contains(&renewed) {
            return;
        }
        api.start_replicas(2);
        api.set_clock(due);
    }
    panic!("the authority is never renewed");
}

#[tokio::test]
async fn the_next_authority_signs_only_after_it_has_been_trusted_for_a_while() {
    let (api, mut operator) = installed().await;
    let renewed = format!("PUT {LEAF}");
    renew_authority(&api, &mut operator).await;
    assert_eq!(roots(&api.secret(AUTHORITY), read::PREVIOUS).len(), 1);
    assert!(api.is_every_replica_trusted());
    api.pass(plan::SETTLE - SignedDuration::from_secs(1));
    operator.settle().await.unwrap();
    assert_eq!(api.written(), [""; 0]);
    api.pass(SignedDuration::from_secs(1));
    operator.settle().await.unwrap();
    assert_eq!(api.written(), [renewed]);
    assert!(api.is_every_replica_trusted());
}

#[tokio::test]
async fn after_both_secrets_are_lost_nothing_is_signed_before_the_new_authority_is_trusted() {
    let (api, mut operator) = installed().await;
    api.delete(AUTHORITY);
    api.delete(LEAF);
    operator.settle().await.unwrap();
    let registered = [MUTATING, VALIDATING].map(|path| format!("PATCH {path}"));
    let made = ["POST secrets".to_owned()];
    assert_eq!(api.written(), [&made[..], &registered].concat());
    assert!(api.object(LEAF).is_null());
    assert!(api.is_every_replica_trusted());
    api.pass(plan::SETTLE);
    operator.settle().await.unwrap();
    assert_eq!(api.written(), made);
    assert!(api.is_every_replica_trusted());
    api.start_replicas(2);
    api.pass(plan::ASK_AGAIN);
    operator.settle().await.unwrap();
    assert!(api.is_every_replica_trusted());
    assert_eq!(roots(&api.secret(AUTHORITY), read::PREVIOUS), []);
}

#[tokio::test]
async fn the_former_authority_is_trusted_until_the_last_replica_has_changed_over() {
    let (api, mut operator) = installed().await;
    renew_authority(&api, &mut operator).await;
    api.pass(plan::SETTLE);
    for replica in 0..2 {
        operator.settle().await.unwrap();
        assert!(api.is_every_replica_trusted());
        assert_eq!(roots(&api.secret(AUTHORITY), read::PREVIOUS).len(), 1);
        api.refresh_replica(replica);
        api.pass(plan::ASK_AGAIN);
    }
    operator.settle().await.unwrap();
    assert!(api.is_every_replica_trusted());
    assert_eq!(roots(&api.secret(AUTHORITY), read::PREVIOUS), []);
    assert_eq!(roots(&api.secret(LEAF), read::BUNDLE).len(), 1);
}

#[tokio::test]
async fn of_two_operators_at_once_one_makes_the_authority_and_both_use_it() {
    let api = Api::new();
    let (mut left, mut right) = (api.operator(), api.operator());
    let (one, other) = tokio::join!(left.settle(), right.settle());
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(api.written(), ["POST secrets", "POST secrets"]);
    api.start_replicas(2);
    left.note(Change::Replicas);
    right.note(Change::Replicas);
    let (one, other) = tokio::join!(left.settle(), right.settle());
    assert!(one.is_ok() && other.is_ok());
    assert!(api.is_every_replica_trusted());
}

#[tokio::test]
async fn an_older_bundle_is_not_written_over_a_newer_one() {
    let (api, operator) = installed().await;
    let stale = operator.store.read().await.unwrap();
    let bundle = read::pem_of(&roots(&api.secret(AUTHORITY), read::CERTIFICATE));
    api.delete(AUTHORITY);
    api.operator().settle().await.unwrap();
    let now = api.object(MUTATING);
    api.edit(MUTATING, |one| {
        one["metadata"]["managedFields"] = serde_json::json!([]);
    });
    let error = operator
        .store
        .register(&stale, &format!("{bundle}\n"))
        .await
        .unwrap_err();
    assert_eq!(error.category().as_str(), "conflict");
    assert_eq!(api.object(MUTATING)["webhooks"], now["webhooks"]);
}

#[tokio::test]
async fn in_a_namespace_that_is_going_nothing_is_made() {
    let api = Api::new();
    api.edit("namespaces/egret-system", |one| {
        one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    assert!(api.operator().settle().await.is_err());
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn without_its_namespace_nothing_is_made_and_the_message_says_what_to_do() {
    let api = Api::new();
    api.delete("namespaces/egret-system");
    let problem = api.operator().settle().await.unwrap_err();
    assert!(
        problem.to_string().contains("apply config/default"),
        "{problem}"
    );
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn an_api_server_that_drops_fields_is_not_written_to_for_ever_and_may_be_the_cause() {
    let (api, mut operator) = installed().await;
    api.drop_conditions();
    api.delete(VALIDATING);
    let problem = operator.settle().await.unwrap_err();
    assert!(problem.to_string().contains("1.30"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_and_a_change_is_acted_on_by_the_leader() {
    let api = Api::new();
    api.fail("POST secrets", 500);
    let (tell, changes) = futures::channel::mpsc::unbounded();
    let (lead, is_lead) = watch::channel(false);
    let pulse = Liveness::default().pulse("test");
    let keeper = keeper::Keeper::new(api.operator(), is_lead, Metrics::default(), pulse);
    tokio::spawn(keeper.run(changes, pending()));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(api.written().len(), 0, "another leads");
    lead.send_replace(true);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(api.written().len(), 2);
    api.delete(LEAF);
    tell.unbounded_send(Change::Object).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(api.written(), ["POST secrets"]);
    lead.send_replace(false);
    api.delete(LEAF);
    tell.unbounded_send(Change::Object).unwrap();
    sleep(Duration::from_secs(1)).await;
    tell.unbounded_send(Change::Object).unwrap();
    sleep(keeper::LONGEST_REST * 2).await;
    assert_eq!(api.written().len(), 0, "another leads again");
}
