//! The `DaemonSet` as Kubernetes reads it.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodSpec;

use super::*;

fn made() -> DaemonSet {
    let wanted = daemon_set(
        "registry/agent:1",
        MaxUnavailable::Percent(10),
        &Settings::default(),
    );
    serde_json::from_value(wanted).unwrap()
}

fn pod_of(daemon_set: &DaemonSet) -> PodSpec {
    let spec = daemon_set.spec.clone().unwrap();
    spec.template.spec.unwrap()
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    let wanted = daemon_set(
        "registry/agent:1",
        MaxUnavailable::Count(3),
        &Settings::default(),
    );
    let read: DaemonSet = serde_json::from_value(wanted.clone()).unwrap();
    let mut again = serde_json::to_value(read).unwrap();
    for field in ["apiVersion", "kind"] {
        again.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(again, wanted);
}

#[test]
fn an_agent_has_no_right_but_those_that_are_named() {
    let container = pod_of(&made()).containers.remove(0);
    let context = container.security_context.unwrap();
    let capabilities = context.capabilities.unwrap();
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    let added = ["NET_ADMIN", "NET_RAW"].map(str::to_owned);
    assert_eq!(capabilities.add, Some(added.into()));
    assert_eq!(
        (
            context.privileged,
            context.allow_privilege_escalation,
            context.read_only_root_filesystem
        ),
        (Some(false), Some(false), Some(true))
    );
}

#[test]
fn an_agent_runs_on_every_linux_node_whatever_keeps_others_off() {
    let pod = pod_of(&made());
    let toleration = &pod.tolerations.unwrap()[0];
    assert_eq!(
        (
            toleration.operator.as_deref(),
            &toleration.key,
            &toleration.effect
        ),
        (Some("Exists"), &None, &None)
    );
    assert_eq!(
        pod.priority_class_name.as_deref(),
        Some("system-node-critical")
    );
    assert_eq!(pod.host_network, Some(true));
}

#[test]
fn other_settings_make_another_template_and_the_same_make_the_same() {
    let template = |settings: &Settings| {
        daemon_set("i", MaxUnavailable::Count(1), settings)["spec"]["template"].clone()
    };
    let usual = Settings::default();
    let off = Settings {
        enabled: false,
        ..Settings::default()
    };
    assert_eq!(template(&usual), template(&usual.clone()));
    assert_ne!(template(&usual), template(&off));
}

#[test]
fn where_egress_is_off_no_node_that_is_away_keeps_others_from_cleaning_up() {
    let at_once = |enabled| {
        let settings = Settings {
            enabled,
            ..Settings::default()
        };
        let wanted = daemon_set("i", MaxUnavailable::Count(1), &settings);
        wanted["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].clone()
    };
    assert_eq!((at_once(true), at_once(false)), (json!(1), json!("100%")));
}

#[test]
fn agents_read_what_is_written_for_them() {
    let settings = Settings {
        max_egress_ips_per_node: 12,
        ..Settings::default()
    };
    let data = configuration(&settings)["data"].clone();
    let read = egret_crds::settings::read(&serde_json::from_value(data).unwrap());
    assert_eq!(read.unwrap().settings, settings);
}

#[test]
fn a_rollout_takes_a_number_or_a_share_but_never_none_and_never_more_than_all() {
    let read = |text: &str| text.parse::<MaxUnavailable>();
    assert_eq!(read("3"), Ok(MaxUnavailable::Count(3)));
    assert_eq!(read("10%"), Ok(MaxUnavailable::Percent(10)));
    for wrong in ["0", "0%", "101%", "", "%", "-1", "+1", "1.5", "many"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
