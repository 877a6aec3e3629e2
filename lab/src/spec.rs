//! What a lab was asked to be: written by `up`, read by everything else of the same lab.
//!
//! Owns the choices and their text form. Never looks at the running lab.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::family::Families;
use crate::topology::NodeId;

/// How the nodes hide Pod addresses from the outside, as a CNI does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Masquerade {
    /// A rule of iptables over nftables.
    IptablesNft,
    /// A rule of the old iptables.
    IptablesLegacy,
    /// An nftables table of its own.
    Nft,
}

/// A lab's name: up to 32 lower-case letters, digits and dashes, as it becomes a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabName(String);

/// The name cannot be a folder.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} cannot name a lab: use 1 to 32 lower-case letters, digits and dashes (EGRET_LAB)")]
pub struct LabNameError(String);

impl FromStr for LabName {
    type Err = LabNameError;

    fn from_str(name: &str) -> Result<Self, LabNameError> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=32).contains(&name.len()) && name.chars().all(legal) {
            return Ok(Self(name.to_owned()));
        }
        Err(LabNameError(name.to_owned()))
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that `up` decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabSpec {
    /// Which lab this is.
    pub name: LabName,
    /// How many nodes it has.
    pub nodes: u8,
    /// What the addresses are of.
    pub families: Families,
    /// How nodes masquerade.
    pub masquerade: Masquerade,
    /// MTU of the underlay and of the Pods, in bytes.
    pub mtu: u16,
    /// The folder with etcd, kube-apiserver and kube-controller-manager.
    pub assets: PathBuf,
    /// The kubectl to use.
    pub kubectl: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// Egret, when it shall run.
    pub egret: Option<Egret>,
}

/// What Egret is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Egret {
    /// The folder of its programs: each image is the one of its name.
    pub programs: PathBuf,
    /// The kustomize folder that is applied.
    pub manifests: PathBuf,
    /// Whether the webhook's Deployment is applied too.
    pub has_webhook: bool,
}

impl LabSpec {
    /// The lab's nodes, in order.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + Clone + use<> {
        NodeId::first(self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["", "..", "a/b", "Lab", &"x".repeat(33)] {
            assert!(name.parse::<LabName>().is_err(), "{name}");
        }
        assert_eq!(
            "default-2".parse::<LabName>().unwrap().to_string(),
            "default-2"
        );
    }
}
