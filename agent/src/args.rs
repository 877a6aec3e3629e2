//! The agent's command line.
//!
//! Owns names and defaults of its arguments. Never reads anything but them and the environment.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use egret_runtime::args::Common;

use crate::kernel::settings::Settings;

/// Gives selected Pods of this node their egress IP, and holds egress IPs for others.
#[derive(Debug, Clone, Parser)]
#[command(name = "egret-agent", version)]
pub struct Args {
    /// This node's name in the API.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// This node's own address, at which the tunnel ends: the Node's `InternalIP`.
    #[arg(long, env = "HOST_IP")]
    pub node_address: IpAddr,
    /// UDP port on which the agents gossip; the same on all nodes.
    #[arg(long, default_value_t = 10_351)]
    pub gossip_port: u16,
    /// Folder with the keys that all agents share: the Secret egret-gossip, which the operator makes.
    #[arg(long, value_name = "DIR", default_value = "/run/egret/gossip")]
    pub gossip_keys: PathBuf,
    /// Folder with the configuration: the ConfigMap egret-agent, which the operator makes. Without one, the defaults.
    #[arg(long, value_name = "DIR", default_value = "/run/egret/config")]
    pub config: PathBuf,
    /// Numbers that Egret uses in the kernel.
    #[command(flatten, next_help_heading = "Numbers in the kernel")]
    pub settings: Settings,
    /// What every process has.
    #[command(flatten)]
    pub common: Common,
}
