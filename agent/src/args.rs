//! The agent's command line.
//!
//! Owns names and defaults of its arguments. Never reads anything but them and the environment.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use egret_domain::net::Cidr;
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
    /// File with the key that all agents share, 16 bytes or more.
    #[arg(long)]
    pub gossip_key_file: PathBuf,
    /// Destinations to which no Pod's traffic gets an egress IP; may be given several times.
    #[arg(long = "except-cidr", value_name = "CIDR")]
    pub except_cidrs: Vec<Cidr>,
    /// Numbers that Egret uses in the kernel.
    #[command(flatten, next_help_heading = "Numbers in the kernel")]
    pub settings: Settings,
    /// What every process has.
    #[command(flatten)]
    pub common: Common,
}
