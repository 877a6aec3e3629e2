//! What is applied to a fresh cluster before Egret's processes start.
//!
//! Owns the order: namespace, gossip key, then the kustomize folders, then waiting for the CRDs.
//! The manifests themselves are those of `config/`, so each run exercises them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::process::Command;

use crate::credentials::{EGRET_NAMESPACE, User};
use crate::home::Home;
use crate::spec::LabSpec;

/// Why the manifests were not applied.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The API server refused.
    #[error("{EGRET_NAMESPACE} could not be prepared: {0}")]
    Api(#[from] kube::Error),
    /// kubectl could not be started, or a file not read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// kubectl said no.
    #[error("kubectl {command} failed: {stderr}")]
    Kubectl {
        /// Its arguments.
        command: String,
        /// What it said.
        stderr: String,
    },
}

/// Makes Egret's namespace and the gossip key in it.
pub async fn prepare(client: &Client, gossip_key: &Path) -> Result<(), ManifestError> {
    let key = std::fs::read(gossip_key).map_err(|source| ManifestError::Io {
        path: gossip_key.to_owned(),
        source,
    })?;
    let named = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let namespace = Namespace {
        metadata: named(EGRET_NAMESPACE),
        ..Namespace::default()
    };
    let params = PostParams::default();
    Api::<Namespace>::all(client.clone())
        .create(&params, &namespace)
        .await?;
    let secret = Secret {
        metadata: named("egret-gossip"),
        data: Some([("key".to_owned(), ByteString(key))].into()),
        ..Secret::default()
    };
    Api::<Secret>::namespaced(client.clone(), EGRET_NAMESPACE)
        .create(&params, &secret)
        .await?;
    Ok(())
}

/// Applies the lab's kustomize folders, then waits until the API serves their kinds.
pub async fn apply(spec: &LabSpec, home: &Home) -> Result<(), ManifestError> {
    for folder in &spec.manifests {
        let folder = folder.display().to_string();
        kubectl(spec, home, &["apply", "--server-side", "-k", &folder]).await?;
    }
    if spec.manifests.is_empty() {
        return Ok(());
    }
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    kubectl(spec, home, &wait).await
}

async fn kubectl(spec: &LabSpec, home: &Home, args: &[&str]) -> Result<(), ManifestError> {
    let output = Command::new(&spec.kubectl)
        .args(args)
        .env("KUBECONFIG", home.kubeconfig(User::Admin.file()))
        .env("KUBECACHEDIR", home.folder().join("kube-cache"))
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|source| ManifestError::Io {
            path: spec.kubectl.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(ManifestError::Kubectl {
        command: args.join(" "),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
