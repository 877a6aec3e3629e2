//! `EgressNode`: one node's own report on how it serves egress IPs.
//!
//! Owns its fields, schema and printer columns. Never a place for wishes: it has no spec, and only the node's agent
//! writes it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nothing: an `EgressNode` is all status.
#[derive(
    CustomResource, JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "EgressNode",
    plural = "egressnodes",
    status = "EgressNodeStatus",
    derive = "PartialEq",
    no_spec,
    doc = "An EgressNode is the report of the agent on the node of the same name.",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status",
        "description": "Whether the node can hold egress IPs and serve selected Pods."}"#,
    printcolumn = r#"{"name": "Address", "type": "string", "jsonPath": ".status.tunnelAddress",
        "description": "Where other nodes send tunnelled packets."}"#,
    printcolumn = r#"{"name": "IPs", "type": "integer", "jsonPath": ".status.egressIPCount",
        "description": "Egress IPs held."}"#,
    printcolumn = r#"{"name": "Pods", "type": "integer", "jsonPath": ".status.pods",
        "description": "Pods served."}"#,
    printcolumn = r#"{"name": "Version", "type": "string", "jsonPath": ".status.version",
        "description": "The agent's version."}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
pub struct EgressNodeFields {}

/// The reason of `Ready` being false where Egress is off and nothing of Egret is left on the node.
pub const DISABLED: &str = "Disabled";

/// What the agent sees.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressNodeStatus {
    /// `Ready`: whether the node can hold egress IPs and serve selected Pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub conditions: Vec<Condition>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The node address that other nodes send tunnelled packets to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_address: Option<String>,
    /// The networks that the node's own addresses are in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// The tunnel's MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i32>,
    /// The egress IPs that the node holds.
    #[serde(rename = "egressIPs", default, skip_serializing_if = "Vec::is_empty")]
    pub egress_ips: Vec<String>,
    /// How many egress IPs the node holds.
    #[serde(rename = "egressIPCount", default)]
    pub egress_ip_count: i32,
    /// How many addresses of the node's Pods an Egress selects, also those that wait for their egress IP.
    #[serde(default)]
    pub pods: i32,
    /// Checks of the node that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_checks: Vec<FailedCheck>,
    /// Digests of the gossip's keys that the agent accepts; the first is of the one that it seals with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gossip_keys: Vec<String>,
    /// Nodes whose agents do not answer this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers_down: Vec<PeerDown>,
    /// Egresses that some Pod of this node is selected by but does not use, because another Egress comes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlapped: Vec<String>,
}

/// A check of the node that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedCheck {
    /// The check.
    pub name: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A node whose agent does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerDown {
    /// The node.
    pub node: String,
    /// Since when, by the clock of the node that reports it.
    pub since: Time,
}
