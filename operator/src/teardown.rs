//! The end of Egret in a cluster: `kubectl delete -k config/default`.
//!
//! Owns what stands between that command and objects that never go: it deletes namespace, definitions, roles and Deployments
//! at once, while the finalizers on Egresses and pools need an operator that may still write. [`guard`] keeps, in good
//! time, what the end needs; [`leave`] is that end; [`plan`] decides, [`rights`] has the manifests. Never keeps anything
//! longer than that: what is guarded goes within a minute, done or not, as far as an operator is alive.

pub mod guard;
pub mod leave;
pub mod plan;
pub mod rights;

use egret_runtime::home::NAMESPACE;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};

/// Keeps what the end needs until it is over.
pub const FINALIZER: &str = "egret.dev/teardown";

/// The agents' account.
const AGENT: &str = "egret-agent";
/// The operator's account, and its role in its namespace and the binding of that.
const OPERATOR: &str = "egret-operator";

/// What is guarded, in the order in which it is let go. The operator's account is the last: without it nothing more can be
/// written.
fn guarded(client: &Client) -> [(Api<DynamicObject>, &'static str); 4] {
    let api = |kind: ApiResource| Api::namespaced_with(client.clone(), NAMESPACE, &kind);
    [
        (api(ApiResource::erase::<ServiceAccount>(&())), AGENT),
        (api(ApiResource::erase::<RoleBinding>(&())), OPERATOR),
        (api(ApiResource::erase::<Role>(&())), OPERATOR),
        (api(ApiResource::erase::<ServiceAccount>(&())), OPERATOR),
    ]
}
