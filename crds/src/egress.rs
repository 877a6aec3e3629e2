//! `Egress`: which Pods leave the cluster with which address.
//!
//! Owns its fields, schema and printer columns. Never says what a legal value means (see [`egret_domain::egress`]).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::selector::LabelSelector;

/// That an address comes from somewhere is structural, so it is refused even where no webhook runs; a mutating webhook
/// has filled in a default pool by then. The lists are let through: what validates after this rule says what to write
/// instead of them.
const ADDRESS_GIVEN: &str = "(has(self.egressIP) && self.egressIP != '') \
    || (has(self.externalIPPool) && self.externalIPPool != '') \
    || (has(self.egressIPs) && size(self.egressIPs) > 0) \
    || (has(self.externalIPPools) && size(self.externalIPPools) > 0)";
pub(crate) const NO_ADDRESS: &str =
    "set externalIPPool to have an address allocated, egressIP to name one yourself, or both";

/// Which Pods, which address, and what else holds for their traffic to outside the cluster.
#[derive(
    CustomResource, JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "crd.antrea.io",
    version = "v1beta1",
    kind = "Egress",
    plural = "egresses",
    shortname = "eg",
    status = "EgressStatus",
    derive = "PartialEq",
    doc = "An Egress gives the Pods it selects a fixed source address for traffic that leaves the cluster.",
    printcolumn = r#"{"name": "EgressIP", "type": "string", "jsonPath": ".status.egressIP",
        "description": "The address that selected Pods have outside."}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Node", "type": "string", "jsonPath": ".status.egressNode",
        "description": "The node that holds the address."}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend(
    "x-kubernetes-validations" = [{ "rule": ADDRESS_GIVEN, "message": NO_ADDRESS }]
))]
pub struct EgressSpec {
    /// The Pods that are selected: `podSelector` alone selects Pods of all namespaces, `namespaceSelector` alone all
    /// Pods of these namespaces, both together the Pods that meet both. `{}` selects nothing.
    pub applied_to: AppliedTo,
    /// The source address that selected Pods get, IPv4 or IPv6. Without `externalIPPool` it must be on some node
    /// already. With it, it must be an address of that pool; when left out, one is allocated and written here.
    #[serde(
        rename = "egressIP",
        default,
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 64))]
    pub egress_ip: Option<String>,
    /// The `ExternalIPPool` that the address comes from. Its nodes hold the address, one at a time.
    #[serde(
        rename = "externalIPPool",
        default,
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 253))]
    pub external_ip_pool: Option<String>,
    /// Not supported: use `egressIP`.
    #[serde(rename = "egressIPs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub egress_ips: Vec<String>,
    /// Not supported: use `externalIPPool`.
    #[serde(
        rename = "externalIPPools",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub external_ip_pools: Vec<String>,
    /// Limit of outgoing traffic, shared by all that leaves with this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// What traffic of selected Pods to outside does while no node can hold the address: `Drop`, or `NodeIP` to let
    /// it leave with the address of the Pod's node. A failover in progress always drops.
    #[serde(default)]
    pub when_unavailable: WhenUnavailable,
    /// Destinations that keep the normal path, as networks such as `10.0.0.0/8`.
    #[serde(rename = "exceptCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 64)))]
    pub except_cidrs: Vec<String>,
    /// Where several Egresses select one Pod, the highest priority is used, then the oldest, then the first by name.
    #[serde(default)]
    pub priority: i32,
}

/// Which Pods are selected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedTo {
    /// Pods with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Pods in namespaces with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// Limit of outgoing traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Bits per second as a quantity, such as `500M`: from 8k to 100G.
    #[schemars(length(max = 64))]
    pub rate: String,
    /// Bits that may exceed the rate at once, as a quantity of up to 32G. Default: 100 ms of the rate, at least 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub burst: Option<String>,
}

// Variants without doc comments: see `selector::Operator`.
/// What traffic of selected Pods to outside does while no node can hold the egress IP.
#[allow(
    missing_docs,
    reason = "the field's documentation, which users see, says what they mean"
)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnavailable {
    #[default]
    Drop,
    #[serde(rename = "NodeIP")]
    NodeIp,
}

/// What is so: written by Egret only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressStatus {
    /// The address that selected Pods have outside, once a node holds it.
    #[serde(
        rename = "egressIP",
        default,
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub egress_ip: Option<String>,
    /// The node that holds the address.
    #[serde(
        default,
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub egress_node: Option<String>,
    /// The nodes that may hold the address, in the order in which they are asked to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub candidates: Vec<String>,
    /// `IPAllocated`, `IPAssigned`, `Overlapped` and their sum `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub conditions: Vec<Condition>,
}

/// Reads an empty string as a field left out: clients that know no absent strings write it so.
fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}
