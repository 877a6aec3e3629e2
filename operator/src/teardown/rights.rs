//! The roles that outlast those of `config/`, for as long as the namespace is there.
//!
//! Owns their fields. They belong to the namespace, so the garbage collector takes them away when that is gone, which
//! nobody then has to be left to do. They never give what the operator does not have: the API server would refuse that.

use egret_runtime::home::NAMESPACE;
use serde_json::{Value, json};

use super::{AGENT, OPERATOR};

/// A role, and the account that is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rights {
    /// The name of the role and of its binding.
    pub name: &'static str,
    account: &'static str,
    rules: Value,
}

/// Those of the operator and of the agents.
pub fn all() -> [Rights; 2] {
    let rule = |group: &str, resources: &[&str], names: &[&str], verbs: &[&str]| {
        json!({
            "apiGroups": [group], "resources": resources, "resourceNames": names, "verbs": verbs,
        })
    };
    // Whether it is being deleted.
    let home = || rule("", &["namespaces"], &[NAMESPACE], &["get"]);
    let rbac = "rbac.authorization.k8s.io";
    // Their finalizers.
    let users = json!({
        "apiGroups": ["crd.antrea.io"],
        "resources": ["egresses", "externalippools"],
        "verbs": ["list", "patch"],
    });
    let accounts = rule(
        "",
        &["serviceaccounts"],
        &[AGENT, OPERATOR],
        &["get", "patch"],
    );
    let roles = rule(
        rbac,
        &["roles", "rolebindings"],
        &[OPERATOR],
        &["get", "patch"],
    );
    [
        Rights {
            name: "egret-teardown",
            account: OPERATOR,
            rules: json!([home(), users, accounts, roles]),
        },
        Rights {
            name: "egret-agent-teardown",
            account: AGENT,
            rules: json!([home()]),
        },
    ]
}

impl Rights {
    /// The fields of the role, in a namespace with this UID.
    pub fn role(&self, namespace_uid: &str) -> Value {
        json!({"metadata": owned(namespace_uid), "rules": self.rules})
    }

    /// The fields of its binding.
    pub fn binding(&self, namespace_uid: &str) -> Value {
        json!({
            "metadata": owned(namespace_uid),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.name},
            "subjects": [{"kind": "ServiceAccount", "name": self.account, "namespace": NAMESPACE}],
        })
    }
}

fn owned(namespace_uid: &str) -> Value {
    json!({"ownerReferences": [
        {"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE, "uid": namespace_uid},
    ]})
}
