//! What a Pod can be told about itself: `fieldRef` in environments and in files.
//!
//! Owns which fields there are. A pure function of the Pod and its place.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::family::Addresses;
use crate::topology::NodeId;

/// A field that the lab does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this lab does not tell a Pod its {0}")]
pub struct UnknownField(String);

/// A Pod and where it is.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// Its node.
    pub node: NodeId,
    /// Its addresses.
    pub addresses: Addresses,
}

impl Fields<'_> {
    /// Its node's addresses.
    pub fn host(&self) -> Addresses {
        self.node.addresses(self.addresses.families())
    }

    /// The value of a field.
    pub fn get(&self, path: &str) -> Result<String, UnknownField> {
        let account = || self.pod.spec.as_ref()?.service_account_name.clone();
        Ok(match path {
            "metadata.name" => self.pod.name_any(),
            "metadata.namespace" => self.pod.namespace().unwrap_or_default(),
            "metadata.uid" => self.pod.uid().unwrap_or_default(),
            "spec.nodeName" => self.node.to_string(),
            "spec.serviceAccountName" => account().unwrap_or_default(),
            "status.hostIP" => self.host().first.to_string(),
            "status.hostIPs" => listed(self.host()),
            "status.podIP" => self.addresses.first.to_string(),
            "status.podIPs" => listed(self.addresses),
            other => return Err(UnknownField(other.to_owned())),
        })
    }
}

fn listed(addresses: Addresses) -> String {
    let all: Vec<_> = addresses.all().map(|address| address.to_string()).collect();
    all.join(",")
}
