//! The operator's command line.
//!
//! Owns names and defaults of its arguments. Never reads anything but them and the environment.

use clap::Parser;
use egret_runtime::args::Common;
use egret_runtime::home::NAMESPACE;
use egret_runtime::watch::Key;
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::agents::daemon_set::MaxUnavailable;

/// Allocates egress IPs from pools and says which nodes may hold them.
#[derive(Debug, Clone, Parser)]
#[command(name = "egret-operator", version)]
pub struct Args {
    /// Where the configuration is. If it is not there, the newest of Antrea's in kube-system counts; else the defaults.
    #[arg(long, value_name = "NAMESPACE/NAME", default_value_t = usual_config(), value_parser = place)]
    pub config: Key,
    /// The image that the agents run. Without one, somebody else has to run them.
    #[arg(long, env = "EGRET_AGENT_IMAGE", value_name = "IMAGE")]
    pub agent_image: Option<String>,
    /// How many agents may be away at once while a change rolls out: a number, or a share of the nodes. The egress IPs of
    /// a node whose agent is away move to other nodes.
    #[arg(long, value_name = "NUMBER|SHARE", default_value = "10%")]
    pub agent_max_unavailable: MaxUnavailable,
    /// How long the agents' gossip is sealed with the same key, from 20s to 3650d.
    #[arg(
        long,
        env = "EGRET_GOSSIP_KEY_LIFETIME",
        value_name = "TIME",
        default_value = "30d",
        value_parser = key_lifetime
    )]
    pub gossip_key_lifetime: SignedDuration,
    /// How long a certificate of the webhook is valid, from 30s to 3650d. It is renewed when a third of that is left.
    #[arg(
        long,
        env = "EGRET_CERTIFICATE_LIFETIME",
        value_name = "TIME",
        default_value = "90d",
        value_parser = lifetime
    )]
    pub certificate_lifetime: SignedDuration,
    /// What this replica is called in the Lease by which replicas agree on which of them leads, and in Events.
    #[arg(long, env = "POD_NAME", default_value = "egret-operator")]
    pub name: String,
    /// What every process has.
    #[command(flatten)]
    pub common: Common,
}

fn usual_config() -> Key {
    Key {
        namespace: Some(NAMESPACE.to_owned()),
        name: "egret-config".to_owned(),
    }
}

/// Shorter, there is no time to change over from one authority to the next.
const SHORTEST: SignedDuration = SignedDuration::from_secs(30);
const LONGEST: SignedDuration = SignedDuration::from_hours(3650 * 24);

/// Shorter, agents have no time to read a key before the next one.
const SHORTEST_KEY: SignedDuration = SignedDuration::from_secs(20);

fn lifetime(text: &str) -> Result<SignedDuration, String> {
    time(text, SHORTEST, "30s")
}

fn key_lifetime(text: &str) -> Result<SignedDuration, String> {
    time(text, SHORTEST_KEY, "20s")
}

fn place(text: &str) -> Result<Key, String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(Key {
                namespace: Some(namespace.to_owned()),
                name: name.to_owned(),
            })
        }
        _ => Err("say NAMESPACE/NAME, such as egret-system/egret-config".to_owned()),
    }
}

fn time(text: &str, shortest: SignedDuration, told: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours());
    match time {
        Ok(time) if (shortest..=LONGEST).contains(&time) => Ok(time),
        _ => Err(format!("say {told} to 3650d, in s, m, h or d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_named_with_its_namespace() {
        let key = Args::parse_from(["egret-operator"]).config;
        assert_eq!(key.to_string(), "egret-system/egret-config");
        for wrong in ["egret-config", "/egret-config", "a/", "a/b/c"] {
            let args = ["egret-operator", "--config", wrong];
            assert!(Args::try_parse_from(args).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_gossip_key_lives_long_enough_to_be_read() {
        let read = |text| Args::try_parse_from(["egret-operator", "--gossip-key-lifetime", text]);
        assert!(read("19s").is_err());
        let args = read("20s").unwrap();
        assert_eq!(args.gossip_key_lifetime, SHORTEST_KEY);
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
