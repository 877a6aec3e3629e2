//! Egret's own processes: how operator, webhook and agents are started on their nodes.
//!
//! Owns their arguments and environment, which are what their manifests give them in a cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::credentials::{EGRET_NAMESPACE, User};
use crate::home::Home;
use crate::netns::Netns;
use crate::process::Launch;
use crate::topology::NodeId;

/// How long a SIGTERM may take before SIGKILL follows, as in a Pod.
const GRACE: Duration = Duration::from_secs(30);

/// The name of all replicas of the webhook.
pub const WEBHOOK: &str = "webhook";
/// Where a replica of the webhook says whether it is ready, on its node's address.
pub const WEBHOOK_ADMIN_PORT: u16 = 9812;
/// Replicas of the webhook, each on another node; fewer where there are fewer nodes.
pub const WEBHOOK_REPLICAS: u8 = 2;

/// The name of an agent's process.
pub fn agent_name(node: NodeId) -> String {
    format!("agent/{node}")
}

/// The name of an operator replica's process; replicas count from 1.
pub fn operator_name(replica: u8) -> String {
    format!("operator/{replica}")
}

/// The name of a webhook replica's process; replicas count from 1.
pub fn webhook_name(replica: u8) -> String {
    format!("{WEBHOOK}/{replica}")
}

/// The agent of a node.
pub fn agent(program: &Path, home: &Home, node: NodeId, gossip_key: &Path) -> Launch {
    let folder = gossip_key.parent().unwrap_or(gossip_key);
    let mut launch = launch(program, home, node, agent_name(node), User::Agent);
    launch
        .args
        .extend(["--node-name".into(), node.to_string().into()]);
    launch.args.extend(["--gossip-keys".into(), folder.into()]);
    launch
}

/// A replica of the operator on its node.
pub fn operator(program: &Path, home: &Home, node: NodeId, replica: u8) -> Launch {
    launch(program, home, node, operator_name(replica), User::Operator)
}

/// A replica of the webhook on its node.
pub fn webhook(program: &Path, home: &Home, node: NodeId, replica: u8) -> Launch {
    launch(program, home, node, webhook_name(replica), User::Webhook)
}

/// They may share a node, and so its loopback. The webhook is asked from outside its node.
fn admin_address(user: User) -> String {
    match user {
        User::Operator => "127.0.0.1:9811".to_owned(),
        User::Webhook => format!("0.0.0.0:{WEBHOOK_ADMIN_PORT}"),
        User::Agent | User::Admin => "127.0.0.1:9810".to_owned(),
    }
}

fn launch(program: &Path, home: &Home, node: NodeId, name: String, user: User) -> Launch {
    let text = |name: &str, value: &str| (name.to_owned(), OsString::from(value));
    let pod = format!("egret-{}", name.replace('/', "-"));
    let admin = admin_address(user);
    let options = ["--log-format", "text", "--admin-address", &admin];
    let address = node.address().to_string();
    Launch {
        netns: Netns::Named(node.to_string()),
        program: PathBuf::from(program),
        args: options.map(OsString::from).into(),
        env: vec![
            ("KUBECONFIG".to_owned(), home.kubeconfig(user.file()).into()),
            text("POD_NAMESPACE", EGRET_NAMESPACE),
            text("POD_NAME", &pod),
            text("NODE_NAME", &node.to_string()),
            text("HOST_IP", &address),
            text("POD_IP", &address),
        ],
        log: home.log(&name),
        grace: GRACE,
        name,
    }
}
