//! What is applied to a fresh cluster before Egret's processes start.
//!
//! Owns the order: namespace, gossip key, then the kustomize folders, then waiting for the CRDs.
//! The manifests themselves are those of `config/`, so each run exercises them, but for the workloads: what they would
//! run, the lab runs as processes.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::io::AsyncWriteExt;
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
        data: Some([("keys".to_owned(), ByteString(key))].into()),
        ..Secret::default()
    };
    Api::<Secret>::namespaced(client.clone(), EGRET_NAMESPACE)
        .create(&params, &secret)
        .await?;
    Ok(())
}

/// Applies the lab's kustomize folders but for workloads, then waits until the API serves their kinds.
pub async fn apply(spec: &LabSpec, home: &Home) -> Result<(), ManifestError> {
    let mut objects = String::new();
    for folder in &spec.manifests {
        let folder = folder.display().to_string();
        let all = kubectl(spec, home, &["kustomize", &folder], "").await?;
        objects.push_str(&without_workloads(&all));
    }
    if objects.is_empty() {
        return Ok(());
    }
    kubectl(spec, home, &["apply", "--server-side", "-f", "-"], &objects).await?;
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    kubectl(spec, home, &wait, "").await.map(drop)
}

/// The objects of a text as kustomize writes it, each begun by a line of dashes.
fn without_workloads(all: &str) -> String {
    let objects = all.split("\n---\n");
    let others = objects.filter(|object| !object.lines().any(|line| line == "kind: Deployment"));
    others
        .flat_map(|object| ["---\n", object.trim_end(), "\n"])
        .collect()
}

/// Runs kubectl with this input; gives its output.
async fn kubectl(
    spec: &LabSpec,
    home: &Home,
    args: &[&str],
    input: &str,
) -> Result<String, ManifestError> {
    let not_run = |source| ManifestError::Io {
        path: spec.kubectl.clone(),
        source,
    };
    let mut child = Command::new(&spec.kubectl)
        .args(args)
        .env("KUBECONFIG", home.kubeconfig(User::Admin.file()))
        .env("KUBECACHEDIR", home.folder().join("kube-cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(not_run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read all says why on its standard error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(not_run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(ManifestError::Kubectl {
        command: args.join(" "),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_lab_runs_itself_is_left_out() {
        let all = "kind: Role\nrules: []\n---\nkind: Deployment\nspec: {}\n---\nkind: Service\n";
        let left = without_workloads(all);
        assert_eq!(left, "---\nkind: Role\nrules: []\n---\nkind: Service\n");
        // A Deployment that is only spoken of.
        let reference = "kind: Other\nspec:\n  kind: Deployment\n";
        assert_eq!(without_workloads(reference), format!("---\n{reference}"));
    }
}
