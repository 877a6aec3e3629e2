//! What a volume holds, from objects as values.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

fn entries(list: &[(&str, &str)]) -> Entries {
    let entry = |(key, text): &(&str, &str)| ((*key).to_owned(), text.as_bytes().to_vec());
    list.iter().map(entry).collect()
}

fn sources() -> Sources {
    let one = |name: &str, list| [(name.to_owned(), entries(list))].into();
    Sources {
        config_maps: Some(one("kube-root-ca.crt", &[("ca.crt", "CA")])),
        secrets: Some(one("egret-gossip", &[("key", "K"), ("old", "O")])),
    }
}

fn wanted(life_s: i64) -> Wish {
    Wish {
        audience: None,
        life_s,
    }
}

fn pod(volume: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "egret-system"},
        "spec": {"containers": [], "volumes": [volume]},
    }))
    .unwrap()
}

fn fields(pod: &Pod) -> Fields<'_> {
    Fields {
        pod,
        node: "node-1".parse().unwrap(),
        addresses: crate::family::Addresses {
            first: "10.244.1.254".parse().unwrap(),
            second: None,
        },
    }
}

fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec.as_ref().unwrap().volumes.as_deref().unwrap()
}

fn filled(volume: &Value, sources: &Sources, tokens: &Tokens) -> Result<Option<Entries>, Unfilled> {
    let pod = pod(volume);
    files(&volumes(&pod)[0], sources, tokens, &fields(&pod))
}

/// As admission puts it into every Pod.
fn api_access() -> Value {
    json!({"name": "kube-api-access", "projected": {"sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]}})
}

#[test]
fn a_service_account_is_three_files() {
    let tokens = Tokens::from([(wanted(3607), "T".to_owned())]);
    let found = filled(&api_access(), &sources(), &tokens).unwrap();
    let expected = [
        ("ca.crt", "CA"),
        ("namespace", "egret-system"),
        ("token", "T"),
    ];
    assert_eq!(found, Some(entries(&expected)));
    assert_eq!(
        wishes(pod(&api_access()).spec.as_ref().unwrap()),
        [wanted(3607)]
    );
}

#[test]
fn what_is_missing_is_waited_for_and_named() {
    let waits = |volume: &Value, sources: &Sources| {
        let unfilled = filled(volume, sources, &Tokens::new()).unwrap_err();
        unfilled.to_string()
    };
    assert!(waits(&api_access(), &sources()).contains("token of its service account"));
    let secret = |name: &str| json!({"name": "v", "secret": {"secretName": name}});
    assert!(waits(&secret("none"), &sources()).contains("Secret none"));
    assert!(waits(&secret("egret-gossip"), &Sources::default()).contains("Secret egret-gossip"));
    let key = json!({"name": "v", "secret": {"secretName": "egret-gossip",
        "items": [{"key": "none", "path": "x"}]}});
    assert!(waits(&key, &sources()).contains("key none"));
}

#[test]
fn what_may_be_missing_is_waited_for_only_until_it_is_known_to_be() {
    let volume = json!({"name": "v", "configMap": {"name": "none", "optional": true}});
    let nothing = filled(&volume, &sources(), &Tokens::new());
    assert_eq!(nothing, Ok(Some(Entries::new())));
    assert!(filled(&volume, &Sources::default(), &Tokens::new()).is_err());
}

#[test]
fn items_choose_keys_and_name_files() {
    let volume = json!({"name": "v", "secret": {"secretName": "egret-gossip",
        "items": [{"key": "key", "path": "deep/new"}]}});
    let found = filled(&volume, &sources(), &Tokens::new()).unwrap();
    assert_eq!(found, Some(entries(&[("deep/new", "K")])));
}

#[test]
fn an_empty_volume_is_the_pods_own_and_any_other_kind_is_refused() {
    let empty = filled(
        &json!({"name": "v", "emptyDir": {}}),
        &sources(),
        &Tokens::new(),
    );
    assert_eq!(empty, Ok(None));
    let host = json!({"name": "v", "hostPath": {"path": "/"}});
    assert_eq!(
        filled(&host, &sources(), &Tokens::new()),
        Err(Unfilled::Unknown("v".to_owned()))
    );
}
