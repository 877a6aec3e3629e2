//! Arguments that every process has.
//!
//! Owns their names and defaults. Never reads a ConfigMap: those settings are each process's own.

use std::net::{Ipv6Addr, SocketAddr};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;

use crate::levels;

/// Port of the admin server unless `--admin-address` says otherwise.
pub const ADMIN_PORT: u16 = 6090;

/// Arguments that every process has; put into its own with `#[command(flatten)]`.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: a level (off, error, warn, info, debug, trace), and others for modules, such as `info,kube=debug`. It
    /// can be changed while the process runs: PUT /log-level of the admin server, from the same machine or Pod.
    #[arg(long, env = "EGRET_LOG", default_value = "info", value_parser = levels::parse)]
    pub log_level: Targets,

    /// Address of the admin server: /live, /ready, /metrics and /log-level.
    #[arg(long, default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, ADMIN_PORT)))]
    pub admin_address: SocketAddr,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
