//! `ExternalIPPool`: addresses to allocate egress IPs from, and the nodes that may hold them.
//!
//! Owns its fields, schema and printer columns. Never says which address is handed out (see [`egret_domain::pool`]).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::selector::LabelSelector;

/// Marks, with the value `true`, the pool for Egresses that name neither an address nor a pool.
pub(crate) const DEFAULT_POOL: &str = "egret.dev/is-default-pool";

const ONE_RANGE: &str =
    "has(self.cidr) ? !has(self.start) && !has(self.end) : has(self.start) && has(self.end)";
pub(crate) const NOT_ONE_RANGE: &str = "give either cidr, or both start and end";

/// Which addresses there are, and where they may be.
#[derive(
    CustomResource, JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "crd.antrea.io",
    version = "v1beta1",
    kind = "ExternalIPPool",
    plural = "externalippools",
    shortname = "eip",
    status = "ExternalIPPoolStatus",
    derive = "PartialEq",
    doc = "An ExternalIPPool holds addresses that Egresses get allocated, and names the nodes that may hold them.",
    printcolumn = r#"{"name": "Total", "type": "integer", "jsonPath": ".status.usage.total",
        "description": "Addresses that can be handed out."}"#,
    printcolumn = r#"{"name": "Used", "type": "integer", "jsonPath": ".status.usage.used",
        "description": "Addresses in use."}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalIPPoolSpec {
    /// Where the addresses come from; ranges are used in this order, each from its lowest free address.
    #[schemars(length(max = 1024))]
    pub ip_ranges: Vec<IpRange>,
    /// The nodes that may hold the addresses. `{}` means all nodes.
    #[serde(default)]
    pub node_selector: LabelSelector,
    /// The subnet of the addresses, where it is not the nodes' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_info: Option<SubnetInfo>,
    /// Addresses that are never handed out: each an address, a network such as `10.10.0.0/30`, or a range such as
    /// `10.10.0.2-10.10.0.9`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(max = 128)))]
    pub exclude: Vec<String>,
}

/// A range of addresses: either `cidr`, or `start` and `end`.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend(
    "x-kubernetes-validations" = [{ "rule": ONE_RANGE, "message": NOT_ONE_RANGE }]
))]
pub struct IpRange {
    /// A network such as `10.10.1.0/28`. Its first address is not handed out, for IPv4 its last neither; of two
    /// addresses or one, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cidr: Option<String>,
    /// The first address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub start: Option<String>,
    /// The last address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub end: Option<String>,
}

/// The subnet that a pool's addresses are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubnetInfo {
    /// The subnet's router. Never handed out.
    #[schemars(length(max = 64))]
    pub gateway: String,
    /// The subnet's prefix length in bits.
    #[schemars(range(min = 1, max = 127))]
    pub prefix_length: i32,
    /// The subnet's VLAN; 0 or left out where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub vlan: Option<i32>,
}

/// What is so: written by Egret only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalIPPoolStatus {
    /// How many addresses there are and are in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// `Ready` and `Exhausted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub conditions: Vec<Condition>,
}

/// How many addresses there are and are in use; more than fit are counted as the largest number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Addresses that can be handed out: reserved, excluded and gateway addresses are not among them.
    pub total: i64,
    /// Addresses in use.
    pub used: i64,
}
