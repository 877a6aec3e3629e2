//! The loop with real decisions, against a mock API server that keeps objects.

mod api;

use std::time::Duration;

use egret_domain::name::NodeName;
use egret_domain::placement::Node;
use serde_json::{Value, json};

use self::api::Api;
use super::*;

/// Longer than any retry.
const LONG: Duration = Duration::from_mins(10);

fn node(name: &str) -> Message {
    let node = Node::linux(NodeName::from(name), 255);
    Message::Fact(Fact::Node(Box::new(node)))
}

/// One node, the pool `prod`, and these Egresses, all seen.
async fn seen(egresses: &[&str]) -> Api {
    fill(Api::new(), egresses).await
}

async fn fill(mut api: Api, egresses: &[&str]) -> Api {
    api.tell(Message::Configured).await;
    see(&mut api, egresses).await;
    api
}

/// The same, but for the settings.
async fn see(api: &mut Api, egresses: &[&str]) {
    api.tell(node("node-1")).await;
    api.create(
        "externalippools",
        "prod",
        &json!({"nodeSelector": {},
        "ipRanges": [{"start": "10.10.0.11", "end": "10.10.0.20"}]}),
    )
    .await;
    for name in egresses {
        api.create(
            "egresses",
            name,
            &json!({"appliedTo": {}, "externalIPPool": "prod"}),
        )
        .await;
    }
    for source in Source::all() {
        api.tell(Message::Synced(source)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_and_nobody_is_ready_before_everything_was_seen() {
    let mut api = Api::new();
    api.tell(Message::Configured).await;
    api.create(
        "egresses",
        "a",
        &json!({"appliedTo": {}, "externalIPPool": "prod"}),
    )
    .await;
    for source in [Source::Egresses, Source::Pools, Source::Nodes] {
        api.tell(Message::Synced(source)).await;
    }
    assert!(api.next(LONG).await.is_none());
    assert!(!api.readiness.awaited().is_empty());
    api.tell(Message::Synced(Source::EgressNodes)).await;
    assert!(api.next(LONG).await.is_some());
    assert!(api.readiness.awaited().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_egress_gets_finalizer_and_ip_in_one_write_then_its_status_and_nothing_more() {
    let mut api = seen(&["a"]).await;
    let lines = api.serve_all(LONG).await;
    let of_egress: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("egresses/a"))
        .collect();
    assert_eq!(of_egress, ["egresses/a", "egresses/a/status"]);
    let egress = api.object("egresses", "a");
    assert_eq!(egress["spec"]["egressIP"], "10.10.0.11");
    assert_eq!(
        egress["metadata"]["finalizers"],
        json!(["egret.dev/egress-ip"])
    );
    assert_eq!(egress["status"]["candidates"], json!(["node-1"]));
    assert_eq!(
        condition(&egress, "IPAllocated"),
        ("True".into(), "Allocated".into())
    );
    assert_eq!(
        condition(&egress, "Ready"),
        ("False".into(), "NotAssigned".into())
    );
    let pool = api.object("externalippools", "prod");
    assert_eq!(pool["status"]["usage"], json!({"total": 10, "used": 1}));
    assert_eq!(pool["metadata"]["finalizers"], json!(["egret.dev/pool"]));
}

/// Also where the write has to be tried again.
#[tokio::test(start_paused = true)]
async fn people_hear_of_each_transition_once() {
    let mut api = seen(&["a", "b"]).await;
    api.serve_all(LONG).await;
    let mut heard = api.heard();
    heard.sort();
    let expected = [("a", "Allocated"), ("b", "Allocated"), ("prod", "Valid")];
    assert_eq!(
        heard,
        expected.map(|(name, reason)| (name.to_owned(), reason))
    );
    api.edit("egresses", "a", |egress| {
        egress["metadata"]["labels"] = json!({"l": "v"});
    })
    .await;
    api.serve_all(LONG).await;
    assert_eq!(api.heard(), []);
    api.edit("egresses", "a", |egress| {
        egress["spec"]["bandwidth"] = json!({"rate": "fast"});
    })
    .await;
    api.fail("egresses/a/status", 500, 2);
    api.serve_all(LONG).await;
    assert_eq!(api.heard(), [("a".to_owned(), "InvalidSpec")]);
}

#[tokio::test(start_paused = true)]
async fn people_hear_of_a_node_with_an_illegible_limit() {
    let mut api = seen(&[]).await;
    api.serve_all(LONG).await;
    api.heard();
    for _ in 0..2 {
        api.tell(with_limit("many")).await;
    }
    api.serve_all(LONG).await;
    let expected = ("node-1".to_owned(), "InvalidMaxEgressIPs");
    assert_eq!(api.heard(), [expected]);
}

fn with_limit(limit: &str) -> Message {
    let wrong = Node {
        illegible_limit: Some(limit.to_owned()),
        ..Node::linux("node-1".into(), 255)
    };
    Message::Fact(Fact::Node(Box::new(wrong)))
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_illegible_before_is_told_by_the_first_leader_and_by_no_later_one() {
    for (has_another_led, expected) in [(false, vec!["InvalidMaxEgressIPs"]), (true, vec![])] {
        let (api, _able) = Api::following();
        let mut api = fill(api, &[]).await;
        api.tell(with_limit("many")).await;
        if has_another_led {
            api.others.note();
        }
        api.lead(true).await;
        api.serve_all(LONG).await;
        let mut told = api.heard();
        told.retain(|(name, _)| name == "node-1");
        let reasons: Vec<_> = told.into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, expected);
        api.tell(with_limit("more")).await;
        api.serve_all(LONG).await;
        assert_eq!(api.heard(), [("node-1".to_owned(), "InvalidMaxEgressIPs")]);
    }
}

fn condition(object: &Value, kind: &str) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_starts_anew_writes_nothing_when_all_is_written() {
    let mut api = seen(&["a", "b"]).await;
    api.serve_all(LONG).await;
    let mut api = api.restarted().await;
    assert_eq!(api.serve_all(LONG).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_decided_on_again() {
    let mut api = seen(&["a"]).await;
    api.fail("egresses/a", 409, 1);
    api.serve_all(LONG).await;
    assert_eq!(
        api.object("egresses", "a")["spec"]["egressIP"],
        "10.10.0.11"
    );
}

#[tokio::test(start_paused = true)]
async fn what_changed_before_the_retry_is_what_is_written() {
    let mut api = seen(&["a"]).await;
    api.fail("egresses/a", 409, 1);
    api.next(LONG).await.expect("the first try, or the pool");
    let spec = json!({"appliedTo": {}, "externalIPPool": "prod", "egressIP": "10.10.0.15"});
    api.replace("egresses", "a", &spec).await;
    api.serve_all(LONG).await;
    let egress = api.object("egresses", "a");
    assert_eq!(egress["spec"]["egressIP"], "10.10.0.15");
    assert_eq!(condition(&egress, "IPAllocated").0, "True");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_written_does_not_hinder_the_others_and_is_tried_less_and_less() {
    let mut api = seen(&["a", "b"]).await;
    api.fail("egresses/a", 500, usize::MAX);
    let lines = api.serve_all(Duration::from_secs(3)).await;
    assert_eq!(
        api.object("egresses", "b")["spec"]["egressIP"],
        "10.10.0.12"
    );
    let tries = lines.iter().filter(|line| *line == "egresses/a").count();
    assert!((3..20).contains(&tries), "{tries} tries");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_egress_is_let_go_when_its_node_has_let_go() {
    let mut api = seen(&["a"]).await;
    api.serve_all(LONG).await;
    api.edit("egresses", "a", |egress| {
        egress["status"]["egressNode"] = json!("node-1");
        egress["status"]["egressIP"] = json!("10.10.0.11");
        egress["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    })
    .await;
    assert_eq!(api.serve_all(LONG).await, ["egresses/a/status"]);
    assert_eq!(
        condition(&api.object("egresses", "a"), "Ready").1,
        "Withdrawing"
    );
    api.edit("egresses", "a", |egress| egress["status"] = json!({}))
        .await;
    let lines = api.serve_all(LONG).await;
    assert_eq!(lines[0], "egresses/a");
    assert_eq!(
        api.object("egresses", "a")["metadata"]["finalizers"],
        json!([])
    );
}

#[tokio::test(start_paused = true)]
async fn many_egresses_of_a_pool_cost_few_writes_to_it() {
    let mut api = seen(&[]).await;
    api.serve_all(LONG).await;
    let mut lines = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let spec = json!({"appliedTo": {}, "externalIPPool": "prod"});
        api.create("egresses", name, &spec).await;
        lines.extend(api.serve_all(Duration::from_millis(5)).await);
    }
    lines.extend(api.serve_all(LONG).await);
    let writes = lines
        .iter()
        .filter(|line| line.starts_with("externalippools"))
        .count();
    assert_eq!(writes, 2, "{lines:?}");
    assert_eq!(
        api.object("externalippools", "prod")["status"]["usage"]["used"],
        6
    );
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_an_egress_is_counted_without_its_name() {
    let mut api = seen(&["blue"]).await;
    api.serve_all(LONG).await;
    let hold =
        |node: &'static str| move |egress: &mut Value| egress["status"]["egressNode"] = json!(node);
    api.edit("egresses", "blue", hold("node-1")).await;
    api.edit("egresses", "blue", hold("node-2")).await;
    api.serve_all(LONG).await;
    let text = api.metrics();
    for line in [
        r#"egret_operator_allocations_total{result="Allocated"} 1"#,
        r#"egret_operator_holder_changes_total{change="taken"} 1"#,
        r#"egret_operator_holder_changes_total{change="moved"} 1"#,
        "egret_operator_egresses_allocated 1",
        "egret_operator_pool_addresses 10",
        "egret_operator_pool_addresses_used 1",
        r#"egret_operator_nodes{fit="true"} 1"#,
        "egret_operator_queued_objects 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for name in ["blue", "node-1", "10.10.0.11"] {
        assert!(!text.contains(name), "{name}\n{text}");
    }
}

/// So the sum over all replicas is the number of changes.
#[tokio::test(start_paused = true)]
async fn who_only_follows_counts_no_change_of_a_holder() {
    let (following, _) = Api::following();
    let mut api = fill(following, &["a"]).await;
    let hold = |egress: &mut Value| egress["status"]["egressNode"] = json!("node-1");
    api.edit("egresses", "a", hold).await;
    api.serve_all(LONG).await;
    let text = api.metrics();
    assert!(!text.contains("holder_changes_total{"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_the_operator_clears_has_not_left_by_itself() {
    let mut api = seen(&["a"]).await;
    api.serve_all(LONG).await;
    api.edit("egresses", "a", |egress| {
        egress["status"]["egressNode"] = json!("node-9");
    })
    .await;
    api.serve_all(LONG).await;
    let status = &api.object("egresses", "a")["status"];
    assert!(status["egressNode"].is_null(), "{status}");
    let text = api.metrics();
    assert!(!text.contains(r#"change="left""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_without_work_is_alive() {
    let mut api = seen(&[]).await;
    api.serve_all(LONG).await;
    for _ in 0..20 {
        sleep(Duration::from_secs(30)).await;
        assert_eq!(api.liveness.stuck(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_lead_is_ready_and_writes_nothing_until_it_does() {
    let (api, able) = Api::following();
    let mut api = fill(api, &["a"]).await;
    assert_eq!(api.serve_all(LONG).await, [""; 0]);
    assert!(api.readiness.awaited().is_empty());
    able.await.expect("it is able to lead");
    api.lead(true).await;
    let lines = api.serve_all(LONG).await;
    assert!(lines.contains(&"egresses/a".to_owned()), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn without_settings_in_force_a_replica_can_lead_but_decides_nothing_until_there_are_some() {
    let (mut api, able) = Api::following();
    see(&mut api, &["a"]).await;
    able.await.expect("it is able to lead");
    assert!(api.readiness.awaited().is_empty());
    api.lead(true).await;
    assert_eq!(api.serve_all(LONG).await, [""; 0]);
    assert_eq!(api.heard(), []);
    api.tell(Message::Configured).await;
    let lines = api.serve_all(LONG).await;
    assert!(lines.contains(&"egresses/a".to_owned()), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_decides_nothing_before_it_has_seen_what_the_former_has_written() {
    let (api, _able) = Api::following();
    let mut api = fill(api, &["a", "b"]).await;
    api.edit_unseen("egresses/b", |egress| {
        egress["spec"]["egressIP"] = json!("10.10.0.11");
        egress["metadata"]["managedFields"] = json!([{"manager": "egret-operator",
            "operation": "Apply", "fieldsV1": {"f:spec": {"f:egressIP": {}}}}]);
    });
    api.lead(true).await;
    assert_eq!(api.serve_all(LONG).await, [""; 0]);
    api.tell_of("egresses/b").await;
    api.serve_all(LONG).await;
    let ip = |name| api.object("egresses", name)["spec"]["egressIP"].clone();
    assert_eq!(
        (ip("a"), ip("b")),
        (json!("10.10.0.12"), json!("10.10.0.11"))
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_leads_no_more_writes_nothing_and_then_anew_what_is_missing() {
    let mut api = seen(&["a"]).await;
    api.serve_all(LONG).await;
    api.lead(false).await;
    let spec = json!({"appliedTo": {}, "externalIPPool": "prod"});
    api.create("egresses", "b", &spec).await;
    assert_eq!(api.serve_all(LONG).await, [""; 0]);
    // Another leader gives it an address.
    api.replace(
        "egresses",
        "b",
        &json!({"appliedTo": {}, "externalIPPool": "prod", "egressIP": "10.10.0.19"}),
    )
    .await;
    api.create("egresses", "c", &spec).await;
    api.lead(true).await;
    let lines = api.serve_all(LONG).await;
    assert!(
        !lines.iter().any(|line| line.contains("egresses/a")),
        "{lines:?}"
    );
    let ip = |name| api.object("egresses", name)["spec"]["egressIP"].clone();
    assert_eq!(
        (ip("b"), ip("c")),
        (json!("10.10.0.19"), json!("10.10.0.12"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_while_another_begins_to_lead_is_not_tried_again() {
    let mut api = seen(&["a"]).await;
    api.fail("egresses/a", 500, usize::MAX);
    api.next(LONG).await.expect("a try");
    api.lead(false).await;
    let lines = api.serve_all(LONG).await;
    let tries = lines.iter().filter(|line| *line == "egresses/a").count();
    assert!(tries <= 1, "one may be under way: {lines:?}");
}
