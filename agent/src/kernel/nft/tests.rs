//! Commands for nft and the reading of its listing, without nft.

use egret_domain::datapath::identity;
use serde_json::json;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn removals_come_before_additions_and_each_set_is_named_once() {
    let (old, new) = (identity(ip("10.10.0.11")), identity(ip("10.10.0.12")));
    let remote = |pod: &str, identity| Element::Remote {
        pod: ip(pod),
        identity: Some(identity),
    };
    let changes = [
        Change::Add(remote("10.244.1.2", new)),
        Change::Add(remote("10.244.1.3", new)),
        Change::Remove(remote("10.244.1.2", old)),
    ];
    let text = commands(&changes, &Settings::default());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "delete element ip egret remote { 10.244.1.2 }",
            "delete element netdev egret identity { 10.244.1.2 }",
            "add element ip egret remote { 10.244.1.2, 10.244.1.3 }",
            "add element netdev egret identity { 10.244.1.2 : 02:e9:0a:0a:00:0c, 10.244.1.3 : 02:e9:0a:0a:00:0c }",
        ]
    );
}

#[test]
fn what_is_not_in_nftables_makes_no_command() {
    let forward = Element::Forward {
        identity: identity(ip("10.10.0.11")),
        node: ip("10.10.0.101"),
    };
    let changes = [
        Change::Add(forward),
        Change::Remove(Element::Address(ip("10.10.0.11"))),
    ];
    assert_eq!(commands(&changes, &Settings::default()), "");
}

fn listing(sets: &[(&str, serde_json::Value)]) -> Listing {
    let objects: Vec<_> = sets
        .iter()
        .map(|(name, elem)| json!({"map": {"name": name, "table": "egret", "elem": elem}}))
        .collect();
    let mut listing = Listing::of(&[Family::V4, Family::V6]);
    let json = json!({"nftables": objects}).to_string();
    listing.read(TableFamily::Ip, json.as_bytes()).unwrap();
    listing
}

#[test]
fn a_network_of_one_address_is_listed_as_an_address_and_read_as_a_network() {
    let prefix = json!({"prefix": {"addr": "10.96.0.0", "len": 12}});
    let listing = listing(&[("except", json!([prefix, "10.10.0.1"]))]);
    let expected =
        ["10.10.0.1/32", "10.96.0.0/12"].map(|cidr| Element::Except(cidr.parse().unwrap()));
    assert_eq!(
        listing.elements(&Settings::default()),
        BTreeSet::from(expected)
    );
}

#[test]
fn half_an_element_is_debris_and_so_is_one_with_a_wrong_value() {
    let egress_ip = "10.10.0.11";
    let zone = Settings::default().zone_of(ip(egress_ip));
    let pair = |pod: &str| json!({"concat": [pod, egress_ip]});
    let [whole, half, wrong] = ["10.244.1.2", "10.244.1.3", "10.244.1.4"];
    let listing = listing(&[
        ("here", json!([whole, half, wrong])),
        ("local", json!([[whole, egress_ip], [wrong, egress_ip]])),
        ("local_zone", json!([[whole, zone], [wrong, zone + 1]])),
        ("local_pair", json!([pair(whole), pair(wrong)])),
    ]);
    let whole = Element::Local {
        pod: ip(whole),
        egress_ip: ip(egress_ip),
    };
    assert_eq!(
        listing.elements(&Settings::default()),
        BTreeSet::from([whole])
    );
    assert_eq!(
        listing.debris(&Settings::default()),
        "delete element ip egret here { 10.244.1.3, 10.244.1.4 }\n\
         delete element ip egret local { 10.244.1.4 }\n\
         delete element ip egret local_pair { 10.244.1.4 . 10.10.0.11 }\n\
         delete element ip egret local_zone { 10.244.1.4 }\n"
    );
}

#[test]
fn a_listing_with_an_entry_that_cannot_be_named_is_not_the_frame() {
    let range = json!({"range": ["10.0.0.1", "10.0.0.9"]});
    assert!(listing(&[("except", json!([range]))]).has_strangers);
    assert!(listing(&[("local", json!([["10.244.1.2", range]]))]).has_strangers);
    assert!(!listing(&[("except", json!(["10.0.0.1"]))]).has_strangers);
}

#[test]
fn a_listing_that_is_no_json_is_an_error() {
    let mut listing = Listing::of(&[Family::V4, Family::V6]);
    assert!(matches!(
        listing.read(TableFamily::Ip, b"table ip"),
        Err(Error::Listing(_))
    ));
}
