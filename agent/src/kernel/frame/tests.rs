//! The rules as text: each set that is named is made, and the order.

use super::*;

fn rules() -> Vec<Chain> {
    chains(&Settings::default(), 1450)
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
                let is_made = SETS
                    .iter()
                    .any(|set| set.family == chain.family && set.name == name);
                assert!(is_made, "{name} in {rule}");
            }
        }
    }
}

#[test]
fn every_set_that_is_made_is_named_by_a_rule() {
    for set in SETS {
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
    let text = text(&chains(&settings, 1450));
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
    assert!(text(&chains(&Settings::default(), 1450)).contains("maxseg size set 1410"));
}

#[test]
fn the_probe_names_no_link_of_egrets_but_in_matches() {
    let probe = probe(&Settings::default());
    assert!(!probe.contains("device \"egret0\""));
    assert!(probe.contains("hook egress device \"lo\""));
}

#[test]
fn source_ports_are_random_where_that_is_configured_but_not_on_the_way_into_the_tunnel() {
    let settings = Settings {
        random_ports: true,
        ..Settings::default()
    };
    let text = text(&chains(&settings, 1450));
    let snat = text.lines().filter(|line| line.contains("snat to"));
    let random: Vec<_> = snat.map(|line| line.contains("fully-random")).collect();
    assert_eq!(random, [false, true, true]);
    assert!(!self::text(&chains(&Settings::default(), 1450)).contains("random"));
}
