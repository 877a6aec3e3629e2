//! The webhook's command line.
//!
//! Owns names and defaults of its arguments. Never reads anything but them and the environment.

use std::net::{Ipv6Addr, SocketAddr};

use clap::Parser;
use egret_runtime::args::Common;
use egret_runtime::home::NAMESPACE;

/// Port of the webhook unless `--address` says otherwise.
const PORT: u16 = 9443;

/// Checks Egresses and pools before they are stored, and fills in what is left out.
#[derive(Debug, Clone, Parser)]
#[command(name = "egret-webhook", version)]
pub struct Args {
    /// Address on which the API server's questions are answered.
    #[arg(long, default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)))]
    pub address: SocketAddr,
    /// The namespace that Egret is in.
    #[arg(long, env = "POD_NAMESPACE", default_value = NAMESPACE)]
    pub namespace: String,
    /// What every process has.
    #[command(flatten)]
    pub common: Common,
}
