//! What a container runs, from a Pod's fields.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

/// A Pod of Egret's with this container.
fn pod(container: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "egret-agent-x", "namespace": "egret-system", "uid": "u"},
        "spec": {"serviceAccountName": "egret-agent", "nodeName": "node-2", "containers": [container]},
    }))
    .unwrap()
}

fn fields(pod: &Pod) -> Fields<'_> {
    Fields {
        pod,
        node: "node-2".parse().unwrap(),
        addresses: crate::family::Addresses {
            first: "10.244.2.254".parse().unwrap(),
            second: None,
        },
    }
}

fn containers(pod: &Pod) -> &[Container] {
    &pod.spec.as_ref().unwrap().containers
}

fn run(container: &Value) -> Result<Runnable, Unrunnable> {
    let pod = pod(container);
    Runnable::of(&containers(&pod)[0], &fields(&pod))
}

#[test]
fn an_image_is_the_program_of_its_name_whatever_its_registry_tag_and_digest() {
    for image in [
        "egret-agent",
        "egret-agent:0.1.0",
        "ghcr.io/some/egret-agent:1@sha256:00",
        "host:5000/egret-agent",
    ] {
        let runnable = run(&json!({"name": "c", "image": image})).unwrap();
        assert_eq!(runnable.program, Path::new("egret-agent"), "{image}");
    }
    for image in ["nginx", "egret", "egret-agent/other", ""] {
        let refusal = run(&json!({"name": "c", "image": image})).unwrap_err();
        assert_eq!(refusal, Unrunnable::Image(image.to_owned()));
    }
}

#[test]
fn a_command_takes_the_place_of_the_program_and_arguments_follow_it() {
    let container = json!({"name": "c", "image": "egret-agent",
        "command": ["/usr/bin/egret-agent", "-v"], "args": ["--x"]});
    let runnable = run(&container).unwrap();
    assert_eq!(runnable.program, Path::new("egret-agent"));
    assert_eq!(runnable.args, ["-v", "--x"]);
    let container = json!({"name": "c", "image": "egret-agent", "command": ["/bin/sh"]});
    assert_eq!(run(&container).unwrap().program, Path::new("/bin/sh"));
}

#[test]
fn a_program_is_told_what_its_manifest_says_and_where_the_api_server_is() {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let container = json!({"name": "c", "image": "egret-agent", "args": ["--node=$(NODE)", "$(NONE)", "$$(NODE)", "5$"],
    "env": [
        field("NODE", "spec.nodeName"), field("HOST", "status.hostIP"), field("IP", "status.podIP"),
        field("NAME", "metadata.name"), field("UID", "metadata.uid"), field("ACCOUNT", "spec.serviceAccountName"),
        {"name": "BOTH", "value": "$(NODE)/$(HOST)"},
    ]});
    let runnable = run(&container).unwrap();
    assert_eq!(runnable.args, ["--node=node-2", "$(NONE)", "$(NODE)", "5$"]);
    for (name, value) in [
        ("NODE", "node-2"),
        ("HOST", "10.10.0.102"),
        ("IP", "10.244.2.254"),
        ("NAME", "egret-agent-x"),
        ("UID", "u"),
        ("ACCOUNT", "egret-agent"),
        ("BOTH", "node-2/10.10.0.102"),
        ("KUBERNETES_SERVICE_HOST", "10.10.0.1"),
        ("KUBERNETES_SERVICE_PORT", "6443"),
    ] {
        assert_eq!(runnable.env.get(name).map(String::as_str), Some(value));
    }
}

#[test]
fn variables_that_come_from_elsewhere_are_refused() {
    let from = json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let container = json!({"name": "c", "image": "egret-agent", "env": [from]});
    assert_eq!(run(&container), Err(Unrunnable::Variable("A".to_owned())));
    let from = json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}});
    let container = json!({"name": "c", "image": "egret-agent", "env": [from]});
    assert!(
        run(&container)
            .unwrap_err()
            .to_string()
            .contains("status.phase")
    );
    let container = json!({"name": "c", "image": "egret-agent",
        "envFrom": [{"configMapRef": {"name": "m"}}]});
    assert_eq!(run(&container), Err(Unrunnable::EnvFrom));
}

fn mounted(path: &str) -> Result<Runnable, Unrunnable> {
    run(
        &json!({"name": "c", "image": "egret-agent", "volumeMounts": [{"name": "v", "mountPath": path}]}),
    )
}

#[test]
fn volumes_are_mounted_below_run_and_nowhere_else() {
    for (path, place) in [
        ("/run/egret/config", "/run/egret/config"),
        ("/var/run/secrets/x/", "/run/secrets/x"),
    ] {
        let mounts = mounted(path).unwrap().mounts;
        assert_eq!(mounts, [(PathBuf::from(place), "v".to_owned())].into());
    }
    for path in [
        "/etc/egret",
        "/run",
        "/var/run/",
        "/run/../etc",
        "run/a",
        "/runner",
    ] {
        let refusal = mounted(path).unwrap_err();
        assert!(refusal.to_string().contains("below /run"), "{path}");
    }
    let part = json!({"name": "c", "image": "egret-agent",
        "volumeMounts": [{"name": "v", "mountPath": "/run/a", "subPath": "b"}]});
    assert!(matches!(run(&part), Err(Unrunnable::SubPath(_))));
}

#[test]
fn who_drops_all_capabilities_has_what_it_adds() {
    let limited = |capabilities: Value| {
        let container = json!({"name": "c", "image": "egret-agent",
            "securityContext": {"capabilities": capabilities}});
        run(&container).unwrap().capabilities
    };
    let both = json!({"drop": ["ALL"], "add": ["NET_ADMIN", "CAP_NET_RAW"]});
    assert_eq!(
        limited(both),
        Some(vec!["net_admin".to_owned(), "net_raw".to_owned()])
    );
    assert_eq!(limited(json!({"drop": ["ALL"]})), Some(Vec::new()));
    assert_eq!(limited(json!({"add": ["NET_ADMIN"]})), None);
}
