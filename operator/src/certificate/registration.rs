//! The registration of the webhook at the API server: what it is asked about, and whom the API server trusts in this.
//!
//! Owns the content of both configurations. Never writes them.
//!
//! They cover one API group, so nothing of the cluster waits for Egret: neither Pods, nor Egret's own Deployments and
//! Secrets, by which it comes back. Within the group, what keeps the datapath and deletion going is not asked about: the
//! status and finalizers as subresources, the operator's own writes, changes of labels and finalizers only; and the
//! answer to a deletion, which is never a refusal, is done without when nobody gives it.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use serde_json::{Value, json};

use super::plan::Root;
use super::read;

/// The name of both configurations.
pub const NAME: &str = "egret";
/// The Service of the webhook, and the port of its that the API server calls.
pub const SERVICE: &str = "egret-webhook";
/// See [`SERVICE`].
const SERVICE_PORT: i32 = 443;

/// Long enough for a busy replica, short enough for a person who waits.
const TIMEOUT_S: i32 = 5;

/// Where Egret lives in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its namespace.
    pub namespace: String,
    /// The UID of that namespace: the configurations go when it goes, and with them the obstacle that a webhook without
    /// replicas would be.
    pub uid: String,
}

/// The names by which the API server calls the webhook's Service.
pub fn server_names(namespace: &str) -> Vec<String> {
    ["svc", "svc.cluster.local"]
        .map(|end| format!("{SERVICE}.{namespace}.{end}"))
        .into()
}

/// The fields that the operator owns of the mutating configuration.
pub fn mutating(home: &Home, bundle: &str) -> Value {
    let mut webhook = webhook(home, bundle, "defaults.egret.dev", "/mutate");
    ask(&mut webhook, &["CREATE", "UPDATE"], "Fail");
    // Another webhook may take away what made a default right.
    set(&mut webhook, "reinvocationPolicy", json!("IfNeeded"));
    configuration(home, &[webhook])
}

/// The fields that the operator owns of the validating configuration.
pub fn validating(home: &Home, bundle: &str) -> Value {
    let mut validation = webhook(home, bundle, "validation.egret.dev", "/validate");
    ask(&mut validation, &["CREATE", "UPDATE"], "Fail");
    let mut deletion = webhook(home, bundle, "deletion.egret.dev", "/validate");
    // The answer is a warning at most: nobody has to keep an object because it cannot be given.
    ask(&mut deletion, &["DELETE"], "Ignore");
    configuration(home, &[validation, deletion])
}

fn configuration(home: &Home, webhooks: &[Value]) -> Value {
    json!({
        "metadata": {"ownerReferences": [{
            "apiVersion": "v1", "kind": "Namespace", "name": home.namespace, "uid": home.uid,
        }]},
        "webhooks": webhooks,
    })
}

fn webhook(home: &Home, bundle: &str, name: &str, path: &str) -> Value {
    json!({
        "name": name,
        "clientConfig": {
            "caBundle": ByteString(bundle.as_bytes().to_vec()),
            "service": {
                "namespace": home.namespace, "name": SERVICE, "path": path, "port": SERVICE_PORT,
            },
        },
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_S,
        "admissionReviewVersions": ["v1"],
        "matchConditions": conditions(home),
        // Every object, said and so owned: else somebody else's selector switches the webhook off, and stays.
        "namespaceSelector": {},
        "objectSelector": {},
    })
}

/// For which requests the webhook is asked, beside its rules.
fn conditions(home: &Home) -> Value {
    let operator = format!("system:serviceaccount:{}:egret-operator", home.namespace);
    json!([
        // It has checked what it writes, and has to go on when no replica is there: addresses, finalizers.
        {"name": "not-the-operator", "expression": format!("request.userInfo.username != '{operator}'")},
        // Labels, finalizers and owners are nothing that Egret checks: an object that is to go can go.
        {"name": "changes-what-is-checked", "expression":
            "request.operation != 'UPDATE' || object.?spec != oldObject.?spec || \
             object.metadata.?annotations != oldObject.metadata.?annotations"},
    ])
}

/// One version is named: requests for the other are converted to it.
fn ask(webhook: &mut Value, operations: &[&str], on_failure: &str) {
    let rule = json!({
        "apiGroups": ["crd.antrea.io"],
        "apiVersions": ["v1beta1"],
        "resources": ["egresses", "externalippools"],
        "scope": "Cluster",
        "operations": operations,
    });
    set(webhook, "rules", json!([rule]));
    set(webhook, "failurePolicy", json!(on_failure));
}

fn set(webhook: &mut Value, field: &str, value: Value) {
    if let Some(fields) = webhook.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// The webhooks of a configuration with ours exactly as wanted, if one of them is not: applying leaves what others have put
/// into a list of ours, and one more condition is enough to switch a webhook off. Webhooks of others stay.
pub fn mended(current: &Value, wanted: &Value) -> Option<Value> {
    let webhooks = |of: &Value| of["webhooks"].as_array().cloned().unwrap_or_default();
    let (current, wanted) = (webhooks(current), webhooks(wanted));
    let is_ours = |one: &&Value| wanted.iter().any(|ours| ours["name"] == one["name"]);
    let ours: Vec<_> = current.iter().filter(is_ours).collect();
    let is_right = ours.len() == wanted.len() && wanted.iter().all(|one| ours.contains(&one));
    let theirs = current.iter().filter(|one| !is_ours(one));
    (!is_right).then(|| wanted.iter().chain(theirs).cloned().collect())
}

/// The authorities that are trusted wherever the API server asks the webhook: in each of both configurations.
pub fn trusted(
    mutating: Option<&MutatingWebhookConfiguration>,
    validating: Option<&ValidatingWebhookConfiguration>,
) -> Vec<Root> {
    let mutating = mutating.and_then(|one| one.webhooks.as_ref());
    let validating = validating.and_then(|one| one.webhooks.as_ref());
    let clients = [
        clients(mutating.into_iter().flatten().map(|one| &one.client_config)),
        clients(
            validating
                .into_iter()
                .flatten()
                .map(|one| &one.client_config),
        ),
    ];
    let [mut trusted, others] = clients;
    trusted.retain(|root| others.contains(root));
    trusted
}

/// The authorities that are trusted in all of these calls.
fn clients<'a>(configs: impl Iterator<Item = &'a WebhookClientConfig>) -> Vec<Root> {
    let bundles = configs.map(|config| match &config.ca_bundle {
        Some(bundle) => read::roots(&bundle.0),
        None => Vec::new(),
    });
    let common = bundles.reduce(|mut common, bundle| {
        common.retain(|root| bundle.contains(root));
        common
    });
    common.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use egret_runtime::home::NAMESPACE;

    use super::*;

    fn home() -> Home {
        Home {
            namespace: "egret-system".to_owned(),
            uid: "u".to_owned(),
        }
    }

    fn webhooks(configuration: &Value) -> Vec<Value> {
        configuration["webhooks"].as_array().unwrap().clone()
    }

    #[test]
    fn nothing_outside_the_group_and_no_subresource_is_asked_about() {
        for configuration in [mutating(&home(), ""), validating(&home(), "")] {
            for webhook in webhooks(&configuration) {
                for rule in webhook["rules"].as_array().unwrap() {
                    assert_eq!(rule["apiGroups"], json!(["crd.antrea.io"]));
                    assert_eq!(rule["resources"], json!(["egresses", "externalippools"]));
                }
            }
        }
    }

    #[test]
    fn the_manifests_are_for_the_one_namespace() {
        let role = include_str!("../../../config/rbac/operator.yaml");
        assert!(role.contains(&format!("resourceNames: [{NAMESPACE}]")));
        // These name it themselves, for one role is for kube-system.
        let agent = include_str!("../../../config/rbac/agent.yaml");
        for manifest in [role, agent] {
            let accounts = manifest.split("kind: ServiceAccount").skip(1);
            for account in accounts {
                assert!(account.contains(&format!("  namespace: {NAMESPACE}\n")));
            }
        }
        for kustomization in [
            include_str!("../../../config/operator/kustomization.yaml"),
            include_str!("../../../config/webhook/kustomization.yaml"),
        ] {
            assert!(kustomization.contains(&format!("namespace: {NAMESPACE}\n")));
        }
    }

    #[test]
    fn only_a_deletion_goes_on_without_an_answer() {
        let configurations = [mutating(&home(), ""), validating(&home(), "")];
        let policies: Vec<_> = configurations
            .iter()
            .flat_map(webhooks)
            .map(|webhook| {
                let operations = webhook["rules"][0]["operations"].to_string();
                (
                    operations,
                    webhook["failurePolicy"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(
            policies,
            [
                (r#"["CREATE","UPDATE"]"#.to_owned(), "Fail".to_owned()),
                (r#"["CREATE","UPDATE"]"#.to_owned(), "Fail".to_owned()),
                (r#"["DELETE"]"#.to_owned(), "Ignore".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_written_is_what_kubernetes_reads() {
        let mut object = validating(&home(), "PEM");
        let read: ValidatingWebhookConfiguration = serde_json::from_value(object.clone()).unwrap();
        let config = &read.webhooks.as_ref().unwrap()[0].client_config;
        assert_eq!(config.ca_bundle.as_ref().unwrap().0, b"PEM");
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .insert("name".to_owned(), json!(NAME));
        let read: MutatingWebhookConfiguration =
            serde_json::from_value(mutating(&home(), "PEM")).unwrap();
        assert_eq!(read.webhooks.unwrap()[0].timeout_seconds, Some(TIMEOUT_S));
    }

    #[test]
    fn a_webhook_is_mended_unless_it_is_exactly_as_wanted_and_others_stay() {
        let wanted = validating(&home(), "PEM");
        assert_eq!(mended(&wanted, &wanted), None);
        let mut with_another = wanted.clone();
        let webhooks = with_another["webhooks"].as_array_mut().unwrap();
        webhooks.push(json!({"name": "another.example"}));
        assert_eq!(mended(&with_another, &wanted), None);
        for field in [
            "rules",
            "failurePolicy",
            "matchConditions",
            "objectSelector",
        ] {
            let mut current = with_another.clone();
            current["webhooks"][0][field] = json!("other");
            let mended = mended(&current, &wanted).unwrap();
            assert_eq!(mended, with_another["webhooks"], "{field}");
        }
    }

    #[test]
    fn trusted_is_what_every_call_trusts() {
        let (one, other) = (read::tests::root("one"), read::tests::root("other"));
        let both = read::pem_of([&one, &other]);
        let only = read::pem_of([&other]);
        let mutating = serde_json::from_value(mutating(&home(), &both)).unwrap();
        let validating = serde_json::from_value(validating(&home(), &only)).unwrap();
        assert_eq!(trusted(Some(&mutating), Some(&validating)), [other]);
        assert_eq!(trusted(Some(&mutating), None), []);
    }
}
