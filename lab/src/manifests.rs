//! What is applied to a fresh cluster before Egret's processes start.
//!
//! Owns the order: namespace, then the kustomize folder.
//! The manifests themselves are those of `config/`, so each run exercises them.

use std::path::PathBuf;
use std::process::Stdio;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::credentials::{ADMIN, EGRET_NAMESPACE};
use crate::home::Home;
use crate::spec::{Egret, LabSpec};

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

/// Makes Egret's namespace, where nothing else does.
pub async fn prepare(client: &Client) -> Result<(), ManifestError> {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(EGRET_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let params = PostParams::default();
    Api::<Namespace>::all(client.clone())
        .create(&params, &namespace)
        .await?;
    Ok(())
}

/// Applies Egret's manifests.
pub async fn apply(spec: &LabSpec, egret: &Egret, home: &Home) -> Result<(), ManifestError> {
    let folder = egret.manifests.display().to_string();
    let mut objects = kubectl(spec, home, &["kustomize", &folder], "").await?;
    if !egret.has_webhook {
        objects = without_webhook(&objects);
    }
    let apply = ["apply", "--server-side", "-f", "-"];
    kubectl(spec, home, &apply, &objects).await.map(drop)
}

/// The objects of a text as kustomize writes it, each begun by a line of dashes, but for the webhook's Deployment.
fn without_webhook(all: &str) -> String {
    let is_webhook = |object: &str| {
        let has = |wanted: &str| object.lines().any(|line| line == wanted);
        has("kind: Deployment") && has("  name: egret-webhook")
    };
    let others = all.split("\n---\n").filter(|object| !is_webhook(object));
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
        .env("KUBECONFIG", home.kubeconfig(ADMIN))
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
    fn only_the_webhooks_deployment_is_left_out() {
        let object = |kind: &str, name: &str| format!("kind: {kind}\nmetadata:\n  name: {name}\n");
        let operator = object("Deployment", "egret-operator");
        let service = object("Service", "egret-webhook");
        let webhook = object("Deployment", "egret-webhook");
        let all = [operator.as_str(), &webhook, &service];
        assert_eq!(
            without_webhook(&all.join("---\n")),
            format!("---\n{operator}---\n{service}")
        );
    }
}
