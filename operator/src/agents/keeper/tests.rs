//! The keeper of the agents' objects against a mock API server, until there is nothing to do.

use std::sync::{Arc, Mutex};

use egret_crds::keyring::Key;
use egret_runtime::apply::Category;
use egret_runtime::live::Liveness;
use serde_json::json;

use super::super::configure::Follower;
use super::super::daemon_set::MaxUnavailable;
use super::super::plan::{ASK_EVERY, LONGEST_STALL};
use super::*;
use crate::keeper;
use crate::metrics::Metrics;

mod api;

use api::{Api, CONFIG, CONFIG_MAP, DAEMON_SET, LIFETIME, SECRET};

impl Keeper<Api> {
    async fn settle(&mut self) -> Result<Option<Timestamp>, Problem> {
        let pulse = Liveness::default().pulse("test");
        keeper::settle(self, &Metrics::default(), &pulse).await
    }
}

/// What somebody does to the objects.
type Disorder = fn(&Api);

/// Everything as it is when nothing is left to do.
async fn installed() -> (Api, Keeper<Api>) {
    let api = Api::new();
    let (_, mut operator) = api.operator().await;
    operator.settle().await.unwrap();
    api.written();
    (api, operator)
}

#[tokio::test]
async fn settings_and_keys_are_there_before_an_agent_that_reads_them() {
    let api = Api::new();
    let (_, mut operator) = api.operator().await;
    let until = operator.settle().await.unwrap();
    let expected = [
        format!("PATCH {CONFIG_MAP}"),
        "POST secrets".to_owned(),
        format!("PATCH {DAEMON_SET}"),
    ];
    assert_eq!(api.written(), expected);
    assert_eq!(until, api.now().checked_add(LIFETIME).ok());
    let pod = &api.object(DAEMON_SET)["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "registry/egret-agent:1");
    assert_eq!(pod["serviceAccountName"], "egret-agent");
}

#[tokio::test]
async fn an_operator_that_starts_anew_writes_nothing() {
    let (api, _) = installed().await;
    let (_, mut operator) = api.operator().await;
    operator.settle().await.unwrap();
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn what_is_deleted_or_overwritten_is_put_right_and_the_keys_are_the_same_as_before() {
    let (api, mut operator) = installed().await;
    let right = [CONFIG_MAP, SECRET, DAEMON_SET].map(|path| (path, api.object(path)));
    let disorders: [(&str, Disorder); 7] = [
        ("no settings", |api| api.delete(CONFIG_MAP)),
        ("other settings", |api| {
            api.edit(CONFIG_MAP, |one| {
                one["data"]["antrea-agent.conf"] = "".into();
            });
        }),
        ("more settings", |api| {
            api.edit(CONFIG_MAP, |one| {
                one["data"]["antrea-controller.conf"] = "featureGates: {Egress: false}".into();
            });
        }),
        ("no keys", |api| api.delete(SECRET)),
        ("rubbish for keys", |api| {
            api.edit(SECRET, |one| {
                one["data"]["keys"] = "AAAA".into();
            });
        }),
        ("no agents", |api| api.delete(DAEMON_SET)),
        ("another image", |api| {
            api.edit(DAEMON_SET, |one| {
                one["spec"]["template"]["spec"]["containers"][0]["image"] = "evil".into();
            });
        }),
    ];
    for (what, disorder) in disorders {
        disorder(&api);
        let settled = operator.settle().await;
        settled.unwrap_or_else(|problem| panic!("{what}: {problem}"));
        assert!(!api.written().is_empty(), "{what}");
        for (path, right) in &right {
            for part in ["data", "spec"] {
                assert_eq!(api.object(path)[part], right[part], "{what}");
            }
        }
        operator.settle().await.unwrap();
        assert_eq!(api.written(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn a_change_of_the_configuration_reaches_the_agents_and_what_they_run_with() {
    let (api, mut operator) = installed().await;
    let digest =
        |api: &Api| api.object(DAEMON_SET)["spec"]["template"]["metadata"]["annotations"].clone();
    let before = digest(&api);
    api.configure("egress: {maxEgressIPsPerNode: 12}");
    api.follow(&operator).await;
    operator.settle().await.unwrap();
    let text = api.object(CONFIG_MAP)["data"]["antrea-agent.conf"].to_string();
    assert!(text.contains("maxEgressIPsPerNode: 12"), "{text}");
    assert_ne!(digest(&api), before);
}

#[tokio::test]
async fn what_is_wrong_is_told_once_and_changes_nothing_and_so_is_that_it_is_mended() {
    let (api, mut operator) = installed().await;
    let before = api.object(CONFIG_MAP);
    api.configure("egres: {}\nnonsense: 1");
    for _ in 0..2 {
        api.follow(&operator).await;
        operator.tell();
        operator.settle().await.unwrap();
    }
    assert_eq!(api.written(), [""; 0]);
    let told = api.heard();
    let [happening] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (happening.is_good, happening.reason),
        (false, "InvalidConfig")
    );
    let source = &happening.regarding;
    assert_eq!(source.name.as_deref(), Some("egret-config"));
    assert_eq!(source.namespace.as_deref(), Some("egret-system"));
    let message = &happening.message;
    assert!(
        message.contains("egres: is not known") && message.contains("nonsense"),
        "{message}"
    );
    assert_eq!(api.object(CONFIG_MAP), before);
    api.configure("egress: {maxEgressIPsPerNode: 255}");
    api.follow(&operator).await;
    operator.tell();
    assert_eq!(reasons(&api), ["ValidConfig"]);
}

fn reasons(api: &Api) -> Vec<&'static str> {
    let heard = api.heard().into_iter();
    heard.map(|happening| happening.reason).collect()
}

#[tokio::test]
async fn a_new_leader_tells_what_is_wrong_and_not_that_nothing_is() {
    let (api, mut operator) = installed().await;
    operator.tell();
    assert_eq!(reasons(&api), [""; 0]);
    api.configure("egres: {}");
    api.follow(&operator).await;
    operator.tell();
    assert_eq!(reasons(&api), ["InvalidConfig"]);
    operator.forget();
    api.configure("");
    api.follow(&operator).await;
    operator.tell();
    assert_eq!(reasons(&api), [""; 0]);
}

#[tokio::test]
async fn an_operator_that_starts_with_a_wrong_configuration_keeps_what_agents_run_with() {
    let (api, mut operator) = installed().await;
    api.configure("egress: {maxEgressIPsPerNode: 12}");
    api.follow(&operator).await;
    operator.settle().await.unwrap();
    api.configure("egres: {}");
    api.written();
    let (configuration, mut operator) = api.operator().await;
    let in_force = configuration.borrow().in_force.clone().unwrap();
    assert_eq!(in_force.max_egress_ips_per_node, 12);
    operator.settle().await.unwrap();
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn a_first_start_with_a_wrong_configuration_waits_until_it_is_mended() {
    let api = Api::new();
    api.configure("egres: {}");
    let (configuration, mut operator) = api.operator().await;
    assert_eq!(configuration.borrow().in_force, None);
    operator.tell();
    assert_eq!(operator.settle().await.unwrap(), None);
    assert_eq!(api.written(), [""; 0]);
    assert_eq!(reasons(&api), ["InvalidConfig"]);
    api.configure("");
    api.follow(&operator).await;
    operator.settle().await.unwrap();
    assert_eq!(api.written().len(), 3);
}

#[tokio::test]
async fn without_a_configuration_of_egrets_own_antreas_newest_counts() {
    let api = Api::new();
    for (name, created, limit) in [
        ("old", "2026-01-01T00:00:00Z", 1),
        ("new", "2026-02-01T00:00:00Z", 2),
    ] {
        api.put(&format!("kube-system/configmaps/antrea-config-{name}"), &json!({
            "metadata": {"name": format!("antrea-config-{name}"), "namespace": "kube-system", "creationTimestamp": created},
            "data": {"antrea-agent.conf": format!("egress: {{maxEgressIPsPerNode: {limit}}}")},
        }));
    }
    let limit = |configuration: &watch::Receiver<Configuration>| {
        configuration
            .borrow()
            .in_force
            .clone()
            .unwrap()
            .max_egress_ips_per_node
    };
    let (configuration, operator) = api.operator().await;
    assert_eq!(limit(&configuration), 2);
    api.configure("egress: {maxEgressIPsPerNode: 3}");
    api.follow(&operator).await;
    assert_eq!(limit(&operator.configuration), 3);
    api.delete(CONFIG);
    api.follow(&operator).await;
    assert_eq!(limit(&operator.configuration), 2);
}

#[tokio::test]
async fn keys_change_as_agents_report_them() {
    let (api, mut operator) = installed().await;
    api.report("node-1", &[1], false);
    let keys = async |operator: &mut Keeper<Api>| {
        operator.settle().await.unwrap();
        api.keys().digests()
    };
    let digest = |byte| Key::new([byte; 32]).digest();
    api.pass(LIFETIME);
    assert_eq!(keys(&mut operator).await, [digest(1), digest(2)]);
    api.pass(ASK_EVERY);
    assert_eq!(keys(&mut operator).await, [digest(1), digest(2)]);
    api.report("node-1", &[1, 2], false);
    api.pass(ASK_EVERY);
    assert_eq!(keys(&mut operator).await, [digest(2), digest(1)]);
    api.report("node-1", &[2, 1], false);
    api.pass(ASK_EVERY);
    assert_eq!(keys(&mut operator).await, [digest(2)]);
    api.pass(ASK_EVERY);
    api.written();
    assert_eq!(keys(&mut operator).await, [digest(2)]);
    assert_eq!(api.written(), [""; 0]);
}

#[tokio::test]
async fn where_egress_is_off_the_agents_go_when_every_node_is_clean_and_come_back_when_it_is_on() {
    let (api, mut operator) = installed().await;
    api.report("node-1", &[1], false);
    api.report("node-2", &[1], false);
    api.configure("featureGates: {Egress: false}");
    api.follow(&operator).await;
    operator.settle().await.unwrap();
    api.report("node-1", &[1], true);
    api.pass(ASK_EVERY);
    operator.settle().await.unwrap();
    assert!(api.object(DAEMON_SET).is_object());
    api.report("node-2", &[1], true);
    api.pass(ASK_EVERY);
    operator.settle().await.unwrap();
    for gone in [DAEMON_SET, "egressnodes/node-1", "egressnodes/node-2"] {
        assert!(api.object(gone).is_null(), "{gone}");
    }
    api.written();
    api.pass(ASK_EVERY);
    operator.settle().await.unwrap();
    assert_eq!(api.written(), [""; 0]);
    api.configure("featureGates: {Egress: true}");
    api.follow(&operator).await;
    operator.settle().await.unwrap();
    assert!(api.object(DAEMON_SET).is_object());
}

#[tokio::test]
async fn a_dead_node_keeps_the_agents_only_for_a_while_after_the_last_one_that_became_clean() {
    let (api, mut operator) = installed().await;
    api.report("node-1", &[1], false);
    api.report("dead", &[1], false);
    api.configure("featureGates: {Egress: false}");
    api.follow(&operator).await;
    operator.settle().await.unwrap();
    let almost = LONGEST_STALL - SignedDuration::from_secs(1);
    api.pass(almost);
    api.report("node-1", &[1], true);
    operator.settle().await.unwrap();
    api.pass(almost);
    operator.settle().await.unwrap();
    assert!(api.object(DAEMON_SET).is_object());
    api.pass(ASK_EVERY);
    operator.settle().await.unwrap();
    assert!(api.object(DAEMON_SET).is_null());
}

#[tokio::test]
async fn without_an_image_somebody_else_runs_the_agents() {
    let api = Api::new();
    let (_, mut operator) = api.operator().await;
    operator.wish.image = None;
    operator.settle().await.unwrap();
    assert_eq!(
        api.written(),
        [format!("PATCH {CONFIG_MAP}"), "POST secrets".to_owned()]
    );
}

#[tokio::test]
async fn an_operator_that_was_slower_than_another_reads_again_what_that_has_written() {
    let api = Api::new();
    let (_, mut slow) = api.operator().await;
    let before = slow.store.read().await.unwrap();
    let (_, mut fast) = api.operator().await;
    fast.settle().await.unwrap();
    let keys = api.keys();
    let late = slow
        .change_keys(api.now(), Change::Make, &[], &before)
        .await;
    assert!(matches!(late, Err(Problem::Api(error)) if error.category() == Category::Conflict));
    slow.settle().await.unwrap();
    assert_eq!(api.keys(), keys);
}

/// Another operator has written everything since this one has read it.
#[tokio::test]
async fn what_another_has_written_since_is_neither_overwritten_nor_deleted() {
    let (api, mut late) = installed().await;
    api.report("node-1", &[1], true);
    let before = late.store.read().await.unwrap();
    let reports = late.store.agents(api.now()).await.unwrap();
    for path in [CONFIG_MAP, DAEMON_SET, "egressnodes/node-1"] {
        api.edit(path, |object| {
            object["metadata"]["labels"] = json!({"new": "er"});
        });
    }
    let settings = Settings {
        max_egress_ips_per_node: 7,
        ..Settings::default()
    };
    for step in [
        Step::WriteConfiguration,
        Step::WriteDaemonSet,
        Step::DeleteDaemonSet(Vec::new()),
        Step::DeleteReports(reports.all),
    ] {
        let what = format!("{step:?}");
        let taken = late.take(api.now(), step, &before, &settings).await;
        let is_conflict =
            matches!(&taken, Err(Problem::Api(error)) if error.category() == Category::Conflict);
        assert!(is_conflict, "{what}: {taken:?}");
    }
    for path in [CONFIG_MAP, DAEMON_SET, "egressnodes/node-1"] {
        assert_eq!(api.object(path)["metadata"]["labels"], json!({"new": "er"}));
    }
}

#[tokio::test]
async fn a_report_that_was_written_anew_is_read_again_before_it_is_deleted() {
    let (api, mut operator) = installed().await;
    api.report("node-1", &[1], true);
    api.configure("featureGates: {Egress: false}");
    api.follow(&operator).await;
    operator.agents = Some(operator.store.agents(api.now()).await.unwrap());
    api.report("node-1", &[1], true);
    operator.settle().await.unwrap();
    assert!(api.object("egressnodes/node-1").is_null());
}
