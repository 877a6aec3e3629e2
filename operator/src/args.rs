//! The operator's command line.
//!
//! Owns names and defaults of its arguments. Never reads anything but them and the environment.

use clap::Parser;
use egret_runtime::args::Common;
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// Allocates egress IPs from pools and says which nodes may hold them.
#[derive(Debug, Clone, Parser)]
#[command(name = "egret-operator", version)]
pub struct Args {
    /// How many egress IPs of pools a node may hold, unless its annotation node.antrea.io/max-egress-ips says otherwise.
    #[arg(long, default_value_t = 255, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_egress_ips_per_node: u16,
    /// How long a certificate of the webhook is valid, from 30s to 3650d. It is renewed when a third of that is left.
    #[arg(
        long,
        env = "EGRET_CERTIFICATE_LIFETIME",
        value_name = "TIME",
        default_value = "90d",
        value_parser = lifetime
    )]
    pub certificate_lifetime: SignedDuration,
    /// What this replica is called in the Lease by which replicas agree on which of them leads.
    #[arg(long, env = "POD_NAME", default_value = "egret-operator")]
    pub name: String,
    /// What every process has.
    #[command(flatten)]
    pub common: Common,
}

/// Shorter, there is no time to change over from one authority to the next.
const SHORTEST: SignedDuration = SignedDuration::from_secs(30);
const LONGEST: SignedDuration = SignedDuration::from_hours(3650 * 24);

fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours());
    match time {
        Ok(time) if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
        _ => Err("say 30s to 3650d, in s, m, h or d".to_owned()),
    }
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

    #[test]
    fn no_namespace_can_be_chosen_where_only_one_works() {
        let args = ["egret-operator", "--namespace", "elsewhere"];
        assert!(Args::try_parse_from(args).is_err());
    }

    #[test]
    fn a_lifetime_is_read_in_days_and_refused_where_nothing_could_be_renewed() {
        let read = |text| {
            Args::try_parse_from(["egret-operator", "--certificate-lifetime", text])
                .map(|args| args.certificate_lifetime)
        };
        assert_eq!(read("2d").unwrap(), SignedDuration::from_hours(48));
        assert_eq!(read("30s").unwrap(), SHORTEST);
        for wrong in ["29s", "-1d", "3651d", "1y", "long", "10"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
