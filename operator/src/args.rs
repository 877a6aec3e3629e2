//! The operator's command line.
//!
//! Owns names and defaults of its arguments. Never reads anything but them and the environment.

use clap::Parser;
use egret_runtime::args::Common;

/// Allocates egress IPs from pools and says which nodes may hold them.
#[derive(Debug, Clone, Parser)]
#[command(name = "egret-operator", version)]
pub struct Args {
    /// How many egress IPs of pools a node may hold, unless its annotation node.antrea.io/max-egress-ips says otherwise.
    #[arg(long, default_value_t = 255, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_egress_ips_per_node: u16,
    /// What every process has.
    #[command(flatten)]
    pub common: Common,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_no_node_could_keep_is_refused() {
        for wrong in ["0", "10001", "many"] {
            let args = ["egret-operator", "--max-egress-ips-per-node", wrong];
            assert!(Args::try_parse_from(args).is_err(), "{wrong}");
        }
        assert_eq!(
            Args::parse_from(["egret-operator"]).max_egress_ips_per_node,
            255
        );
    }
}
