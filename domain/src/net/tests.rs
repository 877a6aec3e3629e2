//! Networks, ranges and their counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn range(start: &str, end: &str) -> IpRange {
    IpRange::new(ip(start), ip(end)).unwrap()
}

#[test]
fn a_network_forgets_its_host_bits() {
    for (written, canonical) in [
        ("10.10.1.5/24", "10.10.1.0/24"),
        ("10.10.1.5/32", "10.10.1.5/32"),
        ("255.255.255.255/0", "0.0.0.0/0"),
        ("fd00::1234/64", "fd00::/64"),
        ("ffff::1/0", "::/0"),
        ("FD00:0::0001/128", "fd00::1/128"),
    ] {
        assert_eq!(cidr(written).to_string(), canonical, "{written}");
        assert_eq!(cidr(written), cidr(canonical), "{written}");
    }
}

#[test]
fn a_text_that_is_no_network_is_refused_and_quoted() {
    for text in [
        "",
        "/",
        "10.10.1.0",
        "10.10.1.0/",
        "/24",
        "10.10.1.0/33",
        "fd00::/129",
        "10.10.1.0/+5",
        "10.10.1.0/-1",
        "10.10.1.0/256",
        "10.10.1.0/24/24",
        "10.10.1.0/ 24",
        " 10.10.1.0/24",
        "10.10.1/24",
        "010.10.1.0/24",
        "fe80::1%eth0/64",
        "10.10.1.0/٢",
    ] {
        let error = text.parse::<Cidr>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text:?} ")), "{error}");
    }
}

#[test]
fn a_network_reaches_from_its_first_to_its_last_address() {
    for (network, start, end) in [
        ("10.10.1.16/28", "10.10.1.16", "10.10.1.31"),
        ("10.10.1.16/31", "10.10.1.16", "10.10.1.17"),
        ("10.10.1.16/32", "10.10.1.16", "10.10.1.16"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("255.255.255.254/31", "255.255.255.254", "255.255.255.255"),
        ("fd00::/64", "fd00::", "fd00::ffff:ffff:ffff:ffff"),
        ("fd00::8/127", "fd00::8", "fd00::9"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ] {
        assert_eq!(cidr(network).range(), range(start, end), "{network}");
    }
}

#[test]
fn a_network_contains_its_edges_and_not_their_neighbours() {
    let network = cidr("10.10.1.16/28");
    assert!(network.contains(ip("10.10.1.16")) && network.contains(ip("10.10.1.31")));
    assert!(!network.contains(ip("10.10.1.15")) && !network.contains(ip("10.10.1.32")));
}

#[test]
fn no_network_contains_an_address_of_the_other_family() {
    assert!(!cidr("0.0.0.0/0").contains(ip("::1")));
    assert!(!cidr("::/0").contains(ip("0.0.0.1")));
    assert!(!cidr("::/0").contains(ip("255.255.255.255")));
    assert!(!cidr("0.0.0.0/0").contains(ip("::ffff:10.0.0.1")));
}

#[test]
fn the_network_of_one_address_has_the_full_prefix() {
    assert_eq!(Cidr::host(ip("10.10.1.5")), cidr("10.10.1.5/32"));
    assert_eq!(Cidr::host(ip("fd00::5")), cidr("fd00::5/128"));
}

#[test]
fn a_range_of_mixed_families_is_refused() {
    let (start, end) = (ip("10.10.1.1"), ip("fd00::1"));
    assert_eq!(
        IpRange::new(start, end),
        Err(BadRange::MixedFamilies { start, end })
    );
    assert_eq!(
        IpRange::new(end, start),
        Err(BadRange::MixedFamilies {
            start: end,
            end: start
        })
    );
}

#[test]
fn a_range_whose_end_comes_first_is_refused() {
    for (start, end) in [("10.10.1.10", "10.10.1.9"), ("fd00::10", "fd00::f")] {
        let (start, end) = (ip(start), ip(end));
        assert_eq!(
            IpRange::new(start, end),
            Err(BadRange::Backwards { start, end })
        );
    }
}

#[test]
fn addresses_are_compared_as_numbers_and_not_as_text() {
    assert!(range("10.10.1.9", "10.10.1.10").contains(ip("10.10.1.10")));
    assert!(range("9.0.0.0", "10.0.0.0").contains(ip("9.255.255.255")));
    assert!(range("fd00::9", "fd00::10").contains(ip("fd00::a")));
}

#[test]
fn a_range_at_either_end_of_the_address_space_does_not_wrap() {
    let v4 = range("255.255.255.254", "255.255.255.255");
    assert_eq!(v4.numbers(), 0xffff_fffe..=0xffff_ffff);
    let v6 = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(v6.numbers(), 0..=u128::MAX);
    assert_eq!(range("0.0.0.0", "0.0.0.0").numbers(), 0..=0);
}

#[test]
fn numbers_beyond_ipv4_are_no_ipv4_addresses() {
    let last = u128::from(u32::MAX);
    assert_eq!(from_number(Family::V4, last), Some(ip("255.255.255.255")));
    assert_eq!(from_number(Family::V4, last + 1), None);
    assert_eq!(IpRange::from_numbers(Family::V4, &(last..=last + 1)), None);
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "this is what is tested")]
fn an_empty_run_of_numbers_is_no_range() {
    assert_eq!(IpRange::from_numbers(Family::V6, &(5..=4)), None);
}

#[test]
fn a_range_of_one_address_prints_as_that_address() {
    assert_eq!(IpRange::single(ip("10.10.1.5")).to_string(), "10.10.1.5");
    assert_eq!(
        range("10.10.1.5", "10.10.1.6").to_string(),
        "10.10.1.5-10.10.1.6"
    );
}

#[test]
fn an_ethernet_address_is_read_in_either_case_and_printed_in_lower() {
    let mac = "02:E9:0a:0A:00:0b".parse::<Mac>().unwrap();
    assert_eq!(mac, Mac([0x02, 0xe9, 0x0a, 0x0a, 0x00, 0x0b]));
    assert_eq!(mac.to_string(), "02:e9:0a:0a:00:0b");
}

#[test]
fn a_text_that_is_no_ethernet_address_is_refused_and_quoted() {
    for text in [
        "",
        "02:e9:0a:0a:00",
        "02:e9:0a:0a:00:0b:0c",
        "02:e9:0a:0a:00:0b:",
        "02-e9-0a-0a-00-0b",
        "2:e9:0a:0a:00:0b",
        "002:e9:0a:0a:00:0b",
        "+2:e9:0a:0a:00:0b",
        "0g:e9:0a:0a:00:0b",
        "é:e9:0a:0a:00:0b",
    ] {
        let error = text.parse::<Mac>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text:?} ")), "{error}");
    }
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn any_cidr() -> impl Strategy<Value = (IpAddr, Cidr)> {
    (any_ip(), 0..=128_u8).prop_map(|(ip, prefix)| {
        let prefix = prefix.min(Family::of(ip).bits());
        (ip, Cidr::new(ip, prefix).unwrap())
    })
}

proptest! {
    #[test]
    fn a_network_survives_printing_and_parsing((_, network) in any_cidr()) {
        prop_assert_eq!(cidr(&network.to_string()), network);
    }

    #[test]
    fn a_network_contains_the_address_it_was_made_from((ip, network) in any_cidr()) {
        prop_assert!(network.contains(ip));
        prop_assert!(network.network() <= ip && ip <= network.range().end());
    }

    #[test]
    fn a_network_has_a_power_of_two_of_addresses((_, network) in any_cidr()) {
        let host_bits = u32::from(network.family().bits() - network.prefix());
        let numbers = network.range().numbers();
        let last_offset = numbers.end() - numbers.start();
        prop_assert_eq!(last_offset.count_ones(), host_bits);
        prop_assert_eq!(last_offset.trailing_ones(), host_bits);
    }

    #[test]
    fn an_address_survives_being_a_number(ip in any_ip()) {
        prop_assert_eq!(from_number(Family::of(ip), to_number(ip)), Some(ip));
    }

    #[test]
    fn numbers_are_ordered_as_their_addresses_are(a in any::<[u8; 4]>(), b in any::<[u8; 4]>()) {
        let number = |octets: [u8; 4]| to_number(Ipv4Addr::from(octets).into());
        prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
    }

    #[test]
    fn two_addresses_of_one_family_are_a_range_one_way_round(a in any::<u128>(), b in any::<u128>()) {
        let (first, last) = (Ipv6Addr::from_bits(a.min(b)), Ipv6Addr::from_bits(a.max(b)));
        let range = IpRange::new(first.into(), last.into()).unwrap();
        prop_assert_eq!(IpRange::from_numbers(Family::V6, &range.numbers()), Some(range));
        prop_assert_eq!(IpRange::new(last.into(), first.into()).is_ok(), a == b);
    }

    #[test]
    fn an_ethernet_address_survives_printing_and_parsing(bytes in any::<[u8; 6]>()) {
        let mac = Mac(bytes);
        prop_assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
    }
}
