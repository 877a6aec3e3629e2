//! The rules as text: each set that is named is made, and the order.

use super::*;

const BOTH: &[Family] = &[Family::V4, Family::V6];

fn rules() -> Vec<Chain> {
    chains(BOTH, &Settings::default(), 1450)
}

fn position(chain: &str, part: &str) -> usize {
    let chain = rules().into_iter().find(|c| c.name == chain).unwrap();
    chain
        .rules
        .iter()
        .position(|rule| rule.contains(part))
        .unwrap()
}

#[test]
fn every_set_that_a_rule_names_is_made() {
    for chain in rules() {
        for rule in &chain.rules {
            for name in rule.split('@').skip(1) {
                let name: String = name
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let is_made = sets(BOTH)
                    .iter()
                    .any(|set| set.family == chain.family && set.name == name);
                assert!(is_made, "{name} in {rule}");
            }
        }
    }
}

#[test]
fn every_set_that_is_made_is_named_by_a_rule() {
    for set in sets(BOTH) {
        let named = format!("@{}", set.name);
        let is_named = rules().iter().any(|chain| {
            chain.family == set.family && chain.rules.iter().any(|rule| rule.contains(&named))
        });
        assert!(is_named, "{}", set.name);
    }
}

#[test]
fn who_may_use_the_tunnel_is_checked_before_its_packets_go_untracked() {
    assert!(position("tunnel", "@peers") < position("tunnel", "notrack"));
    assert!(position("tunnel", "fib saddr") < position("tunnel", "notrack"));
}

#[test]
fn a_packet_of_the_tunnel_is_translated_as_the_tunnels_and_never_as_a_local_pods() {
    assert!(position("translate", "@gateway") < position("translate", "@local"));
    assert!(position("translate", "oifname") < position("translate", "@gateway"));
}

#[test]
fn the_mark_bit_that_is_set_is_the_one_that_is_cleared() {
    let settings = Settings {
        mark_bit: 0x100,
        ..Settings::default()
    };
    let text = text(BOTH, &chains(BOTH, &settings, 1450));
    assert!(text.contains("meta mark set meta mark or 0x100"));
    assert!(text.contains("meta mark set meta mark and 0xfffffeff"));
}

#[test]
fn a_rule_in_a_chain_of_another_priority_is_another_rule() {
    let [chain, ..] = &mut *rules() else {
        unreachable!()
    };
    let before = chain.fingerprint("drop");
    chain.hook = Some("type filter hook input priority 7; policy accept;".to_owned());
    assert_ne!(chain.fingerprint("drop"), before);
}

#[test]
fn segments_fit_the_tunnel() {
    let text = text(BOTH, &rules());
    assert!(text.contains("maxseg size set 1410"));
    assert!(text.contains("maxseg size set 1390"));
}

#[test]
fn the_probe_names_no_link_of_egrets_but_in_matches() {
    let probe = probe(BOTH, &Settings::default());
    assert!(!probe.contains("device \"egret0\""));
    assert!(probe.contains("hook egress device \"lo\""));
}

#[test]
fn source_ports_are_random_where_that_is_configured_but_not_on_the_way_into_the_tunnel() {
    let settings = Settings {
        random_ports: true,
        ..Settings::default()
    };
    let text = text(BOTH, &chains(BOTH, &settings, 1450));
    let snat = text.lines().filter(|line| line.contains("snat to"));
    let random: Vec<_> = snat.map(|line| line.contains("fully-random")).collect();
    assert_eq!(random, [false, true, true].repeat(2));
    assert!(!self::text(BOTH, &rules()).contains("random"));
}

#[test]
fn the_rules_of_both_families_are_the_same_but_for_the_names_of_things_and_neighbour_discovery() {
    let of = |family: Family| -> Vec<(&str, String)> {
        let of_family = rules()
            .into_iter()
            .filter(|chain| chain.family == family.into());
        let rules =
            of_family.flat_map(|chain| chain.rules.into_iter().map(move |rule| (chain.name, rule)));
        rules
            .filter(|(_, rule)| !rule.contains("icmpv6") && !rule.contains("maxseg size set 1"))
            .map(|(chain, rule)| (chain, rule.replace("ip6 ", "ip ")))
            .collect()
    };
    assert_eq!(of(Family::V4), of(Family::V6));
    assert!(of(Family::V4).len() > 10);
}

#[test]
fn a_node_without_ipv6_gets_no_table_for_it() {
    let only = &[Family::V4];
    let text = text(only, &chains(only, &Settings::default(), 1450));
    let made = text.lines().filter(|line| !line.starts_with("delete"));
    let made: Vec<_> = made
        .filter(|line| line.contains("ip6") || line.contains("ipv6"))
        .collect();
    // Whatever is there from before goes: adding first, as deleting what is not there is an error.
    assert_eq!(made, ["add table ip6 egret"]);
}

#[test]
fn neighbour_discovery_for_a_pooled_ip_passes_before_what_matches_no_flow_is_dropped() {
    let inbound = rules()
        .into_iter()
        .find(|chain| (chain.family, chain.name) == (TableFamily::Ip6, "inbound"));
    let rules = inbound.unwrap().rules;
    assert!(
        rules[0].contains("nd-neighbor-solicit") && rules[0].ends_with("accept"),
        "{rules:?}"
    );
}
