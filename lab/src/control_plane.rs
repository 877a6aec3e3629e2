//! The real control plane: etcd, kube-apiserver and kube-controller-manager in the root namespace.
//!
//! Owns their command lines, what the API server writes into its audit log, and the wait until it answers. Plays nothing
//! itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::time::error::Elapsed;

use crate::credentials::{ADMIN, Credentials};
use crate::family::Families;
use crate::home::{Home, HomeError};
use crate::netns::Netns;
use crate::process::Launch;
use crate::spec::LabSpec;
use crate::topology::{api_address, joined, pod_network, service_network};

/// How long the API server may take to answer, at any start, on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The nodes of a real cluster do not share their processors with its control plane: here Egret's processes come
/// first, or a busy API server would look like a node that is dead.
const NICENESS: &str = "5";

/// On the lab's own tmpfs: no disk is waited for, and nothing stays.
const ETCD_FOLDER: &str = "/run/etcd";
/// What a cluster needs that has no cloud and no volumes.
const CONTROLLERS: &str = "namespace-controller,serviceaccount-controller,\
root-ca-certificate-publisher-controller,garbage-collector-controller,pod-garbage-collector-controller,\
deployment-controller,replicaset-controller,daemonset-controller,endpointslice-controller,\
endpoints-controller,node-lifecycle-controller,taint-eviction-controller,disruption-controller";

/// Every request of Egret's accounts and its outcome, without its content: `hack/lab logs audit`.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:egret-system"]
- level: None
"#;

/// Why the API cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// The kubeconfig is wrong.
    #[error("the lab's kubeconfig cannot be read: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// No client could be made of it.
    #[error("no client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// The API server did not become ready.
    #[error("the API server was not ready within {PATIENCE:?}: {log} says why")]
    NotReady {
        /// Where to look.
        log: String,
    },
}

fn launch(spec: &LabSpec, home: &Home, name: &str, program: &str, args: Vec<OsString>) -> Launch {
    let nice = [
        "-n".into(),
        NICENESS.into(),
        spec.assets.join(program).into(),
    ];
    Launch {
        name: name.to_owned(),
        netns: Netns::Root,
        program: "nice".into(),
        args: nice.into_iter().chain(args).collect(),
        env: Vec::new(),
        log: home.log(name),
        grace: Duration::from_secs(1),
    }
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

fn option(name: &str, value: impl Into<OsString>) -> OsString {
    let mut option = OsString::from(format!("--{name}="));
    option.push(value.into());
    option
}

/// etcd, without waiting for any disk.
pub fn etcd(spec: &LabSpec, home: &Home) -> Launch {
    let mut args = words(
        "--unsafe-no-fsync --log-level=warn --listen-client-urls=http://127.0.0.1:2379 \
         --advertise-client-urls=http://127.0.0.1:2379 --listen-peer-urls=http://127.0.0.1:2380",
    );
    args.push(option("data-dir", ETCD_FOLDER));
    launch(spec, home, "etcd", "etcd", args)
}

/// Writes down what the API server is to write into its audit log.
pub fn audit_policy(home: &Home) -> Result<PathBuf, HomeError> {
    home.write_secret("audit-policy.yaml", AUDIT_POLICY.as_bytes())
}

/// The API server: RBAC, a static token for the administrator, aggregator routing for webhooks, an audit log of bounded
/// size.
pub fn apiserver(
    spec: &LabSpec,
    home: &Home,
    credentials: &Credentials,
    audit_policy: &Path,
) -> Launch {
    let mut args = words(
        "--etcd-servers=http://127.0.0.1:2379 --secure-port=6443 \
         --authorization-mode=RBAC --allow-privileged=true --enable-aggregator-routing=true \
         --service-account-issuer=https://kubernetes.default.svc --profiling=false \
         --shutdown-delay-duration=0s --audit-log-maxsize=50 --audit-log-maxbackup=1",
    );
    args.extend([
        option("bind-address", any_address(spec.families)),
        option(
            "advertise-address",
            api_address(spec.families.first()).to_string(),
        ),
        option(
            "service-cluster-ip-range",
            joined(spec.families, service_network),
        ),
        option("token-auth-file", &credentials.tokens),
        option("client-ca-file", &credentials.ca),
        option("tls-cert-file", &credentials.server_certificate),
        option("tls-private-key-file", &credentials.server_key),
        option("service-account-key-file", &credentials.account_public_key),
        option("service-account-signing-key-file", &credentials.account_key),
        option("audit-policy-file", audit_policy),
        option("audit-log-path", home.log("audit")),
        option("cert-dir", home.folder().join("secrets")),
    ]);
    launch(spec, home, "apiserver", "kube-apiserver", args)
}

/// All addresses of these families.
fn any_address(families: Families) -> &'static str {
    match families {
        Families::Ipv4 => "0.0.0.0",
        Families::Ipv6 | Families::Dual => "::",
    }
}

/// The controllers, as administrator.
pub fn controller_manager(spec: &LabSpec, home: &Home, credentials: &Credentials) -> Launch {
    let mut args = words(
        "--leader-elect=false --allocate-node-cidrs=false --secure-port=0 \
         --kube-api-qps=200 --kube-api-burst=400",
    );
    args.extend([
        option("controllers", CONTROLLERS),
        option("cluster-cidr", joined(spec.families, pod_network)),
        option("kubeconfig", home.kubeconfig(ADMIN)),
        option("root-ca-file", &credentials.ca),
        option("service-account-private-key-file", &credentials.account_key),
    ]);
    launch(
        spec,
        home,
        "controller-manager",
        "kube-controller-manager",
        args,
    )
}

/// A client with the administrator's rights.
pub async fn client(home: &Home) -> Result<Client, ControlPlaneError> {
    let file = Kubeconfig::read_from(home.kubeconfig(ADMIN))?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(file, &options).await?;
    config.connect_timeout = Some(Duration::from_secs(3));
    Ok(Client::try_from(config)?)
}

/// Waits until the API server says that it is ready.
pub async fn ready(client: &Client, home: &Home) -> Result<(), ControlPlaneError> {
    let log = home.log("apiserver").display().to_string();
    let answers = answers(client).await;
    answers.map_err(|_| ControlPlaneError::NotReady { log })
}

/// Asks until the API server says that it is ready.
pub async fn answers(client: &Client) -> Result<(), Elapsed> {
    let asking = async {
        while !is_ready(client).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await
}

async fn is_ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => client
            .request_text(request)
            .await
            .is_ok_and(|answer| answer == "ok"),
        Err(_) => false,
    }
}
