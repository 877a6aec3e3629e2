//! Which addresses can be sources, and what is said of others.

use proptest::prelude::*;

use super::*;

fn reason<T: std::fmt::Debug>(parsed: Result<T, BadAddress>) -> String {
    parsed.unwrap_err().to_string()
}

#[test]
fn addresses_of_both_families_are_read() {
    for text in [
        "10.10.0.8",
        "0.0.0.0",
        "255.255.255.255",
        "fd00::8",
        "::",
        "2001:DB8::1",
    ] {
        assert_eq!(address(text), Ok(text.parse().unwrap()));
    }
}

#[test]
fn what_is_wrong_with_an_address_is_said() {
    for (text, part) in [
        ("10.10.0.300", "write it like 10.10.0.8 or fd00::8"),
        ("", "write it like"),
        (" 10.10.0.8", "write it like"),
        ("10.10.0", "write it like"),
        ("168427528", "write it like"),
        ("0x0a.0.0.1", "write it like"),
        ("fd00::g", "write it like"),
        ("010.10.0.008", "write 10.10.0.8"),
        ("10.10.0.00", "write 10.10.0.0"),
        ("fe80::1%eth0", "without '%'"),
        ("10.10.0.8/32", "without '/'"),
    ] {
        let reason = reason(address(text));
        assert!(reason.contains(part), "{text:?} {reason}");
    }
}

#[test]
fn an_address_that_never_leaves_a_node_is_no_source() {
    for (text, kind) in [
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("255.255.255.255", "broadcast"),
        ("::ffff:10.10.0.8", "write 10.10.0.8"),
    ] {
        let reason = reason(routable(text));
        assert!(reason.contains(kind), "{text:?} {reason}");
    }
}

#[test]
fn ordinary_private_and_public_addresses_are_sources() {
    for text in [
        "10.10.0.8",
        "192.168.1.1",
        "203.0.113.7",
        "100.64.0.1",
        "fd00::8",
        "2001:db8::1",
    ] {
        assert!(routable(text).is_ok(), "{text}");
    }
}

#[test]
fn host_bits_of_a_network_are_masked() {
    assert_eq!(network("10.10.1.5/28").unwrap().to_string(), "10.10.1.0/28");
    assert_eq!(network("fd00::8/64").unwrap().to_string(), "fd00::/64");
}

#[test]
fn networks_of_every_size_are_read() {
    for text in [
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/8",
        "10.10.0.8/32",
        "fd00::8/128",
    ] {
        assert_eq!(network(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_wrong_with_a_network_is_said() {
    for (text, part) in [
        ("10.0.0.0", "write 10.0.0.0/32"),
        ("fd00::8", "write fd00::8/128"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("fd00::/129", "from 0 to 128"),
        ("10.0.0.0/", "from 0 to 32"),
        ("10.0.0.0/+8", "from 0 to 32"),
        ("10.0.0.0/08", "from 0 to 32"),
        ("10.0.0.0/-1", "from 0 to 32"),
        ("10.0.0.0/255.0.0.0", "from 0 to 32"),
        ("10.0.0.0/8/8", "from 0 to 32"),
        ("010.0.0.0/8", "write 10.0.0.0"),
        ("fe80::%1/64", "without '%'"),
        ("10.0.0/8", "write ADDRESS/PREFIX"),
        ("everything", "write ADDRESS/PREFIX"),
        ("", "write ADDRESS/PREFIX"),
    ] {
        let reason = reason(network(text));
        assert!(reason.contains(part), "{text:?} {reason}");
    }
}

#[test]
fn a_range_is_an_address_a_network_or_two_addresses() {
    for (text, range) in [
        ("10.10.0.8", "10.10.0.8"),
        ("10.10.0.0/30", "10.10.0.0-10.10.0.3"),
        ("10.10.0.2-10.10.0.9", "10.10.0.2-10.10.0.9"),
        ("10.10.0.2 - 10.10.0.9", "10.10.0.2-10.10.0.9"),
        ("fd00::1-fd00::9", "fd00::1-fd00::9"),
    ] {
        assert_eq!(any_range(text).unwrap().to_string(), range);
    }
}

#[test]
fn what_is_wrong_with_a_range_is_said() {
    for (text, part) in [
        ("10.10.0.9-10.10.0.2", "exchange first and last"),
        ("10.10.0.2-fd00::9", "mixes IPv4 and IPv6"),
        ("10.10.0.2-", "is not an IP address"),
        ("10.10.0.2-10.10.0.3-10.10.0.4", "is not an IP address"),
        ("10.10.0.0/33", "from 0 to 32"),
        ("some", "10.10.0.2-10.10.0.9"),
    ] {
        let reason = reason(any_range(text));
        assert!(reason.contains(part), "{text:?} {reason}");
    }
}

#[test]
fn a_range_with_nothing_to_use_is_refused_and_one_with_something_is_not() {
    for (text, is_usable) in [
        ("127.0.0.0/8", false),
        ("224.0.1.0/24", false),
        ("169.254.10.1-169.254.10.9", false),
        ("fe80::/64", false),
        ("::ffff:10.0.0.0/104", false),
        ("0.0.0.0/8", false),
        ("0.0.0.0-1.0.0.0", true),
        ("0.0.0.0/0", true),
        ("::/0", true),
        ("223.255.255.0-224.0.0.9", true),
        ("10.10.0.0/24", true),
    ] {
        assert_eq!(
            routable_range(any_range(text).unwrap()).is_ok(),
            is_usable,
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = (address(&text), routable(&text), network(&text), any_range(&text));
    }

    #[test]
    fn nothing_that_looks_like_a_network_makes_it_panic(text in "[0-9a-f.:%/+-]{0,60}") {
        let _ = (address(&text), routable(&text), network(&text), any_range(&text));
    }

    #[test]
    fn every_address_is_read_back(ip in any::<IpAddr>()) {
        prop_assert_eq!(address(&ip.to_string()), Ok(ip));
    }

    #[test]
    fn every_network_is_read_back(ip in any::<IpAddr>(), prefix in 0..=128_u8) {
        prop_assume!(prefix <= Family::of(ip).bits());
        let network_of = Cidr::new(ip, prefix).unwrap();
        prop_assert_eq!(network(&network_of.to_string()), Ok(network_of));
    }
}
