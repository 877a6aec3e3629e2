//! A control plane on the loopback interface: etcd and kube-apiserver, with Egret's kinds.
//!
//! Owns their processes, which end with it, and their files. No controller runs beside them. Never measures.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use egret_crds::manifest;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use rcgen::KeyPair;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_mins(2);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);
const TOKEN: &str = "measured";

/// A running control plane.
pub struct Cluster {
    /// With all rights.
    pub client: Client,
    kubeconfig: PathBuf,
    folder: TempDir,
    _processes: [Child; 2],
}

impl Cluster {
    /// Starts one and waits until it serves Egret's kinds.
    pub async fn start(assets: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let (store, peers, port) = (free_port()?, free_port()?, free_port()?);
        let etcd = etcd(assets, folder.path(), store, peers)?;
        let apiserver = apiserver(assets, folder.path(), store, port)?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config(port))?;
        let file = Kubeconfig::read_from(&kubeconfig)?;
        let config =
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let cluster = Self {
            client,
            kubeconfig,
            folder,
            _processes: [etcd, apiserver],
        };
        timeout(PATIENCE, cluster.furnish())
            .await
            .with_context(|| {
                format!("the API server did not come up: {}", cluster.last_words())
            })??;
        Ok(cluster)
    }

    /// With the rights of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// For files that go with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Of the API server.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder().join("kube-apiserver.log"));
        log.unwrap_or_default()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned()
    }

    async fn furnish(&self) -> anyhow::Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let params = PostParams::default();
        for definition in manifest::definitions() {
            while let Err(error) = crds.create(&params, &definition).await {
                // Not there yet, or not with all of its rights.
                if matches!(&error, kube::Error::Api(status) if status.is_invalid()) {
                    return Err(error.into());
                }
                sleep(ASK_AGAIN_AFTER).await;
            }
            let name = definition.name_any();
            await_condition(crds.clone(), &name, is_crd_established()).await?;
        }
        let metadata = ObjectMeta {
            name: Some("egret-system".to_owned()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        Api::all(self.client.clone())
            .create(&params, &namespace)
            .await?;
        Ok(())
    }
}

/// A port that nobody uses at this moment.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn config(port: u16) -> String {
    let cluster =
        json!({"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    })
    .to_string()
}

fn etcd(assets: &Path, folder: &Path, port: u16, peers: u16) -> anyhow::Result<Child> {
    let (client, peer) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peers}"),
    );
    let mut command = Command::new(assets.join("etcd"));
    command
        .args(["--unsafe-no-fsync", "--log-level=error"])
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .arg(format!("--data-dir={}", folder.join("etcd").display()));
    spawn(command, folder, "etcd")
}

fn apiserver(assets: &Path, folder: &Path, store: u16, port: u16) -> anyhow::Result<Child> {
    let (tokens, key) = (folder.join("tokens"), folder.join("account.key"));
    let public_key = folder.join("account.pub");
    let pair = KeyPair::generate()?;
    std::fs::write(&tokens, format!("{TOKEN},bench,bench,system:masters\n"))?;
    std::fs::write(&key, pair.serialize_pem())?;
    std::fs::write(&public_key, pair.public_key_pem())?;
    let mut command = Command::new(assets.join("kube-apiserver"));
    command
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .args(["--authorization-mode=RBAC", "--profiling=false"])
        .args([
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
        ])
        .args([
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://bench",
        ])
        .arg(format!("--etcd-servers=http://127.0.0.1:{store}"))
        .arg(format!("--secure-port={port}"))
        .arg(format!("--token-auth-file={}", tokens.display()))
        .arg(format!("--cert-dir={}", folder.display()))
        .arg(format!(
            "--service-account-key-file={}",
            public_key.display()
        ))
        .arg(format!(
            "--service-account-signing-key-file={}",
            key.display()
        ));
    spawn(command, folder, "kube-apiserver")
}

/// Starts a process that ends with its handle, and writes what it says into a file.
pub fn spawn(mut command: Command, folder: &Path, name: &str) -> anyhow::Result<Child> {
    let log = File::create(folder.join(format!("{name}.log")))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}
