//! IPv6 on the real kernel: its packets, their tunnel over either family, and its addresses.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use egret_agent::kernel::Kernel;
use egret_agent::kernel::linux::Linux;
use egret_agent::kernel::settings::Settings;
use egret_domain::datapath::{Commit, Element, diff, identity};
use egret_domain::net::Family;
use egret_runtime::describe;

use crate::namespace::{inside, ip, output, run};
use crate::network::{
    Node, in_netns, local, make_gateway_over, plan, through_the_tunnel_to, wait_for_markers,
};

const EGRESS_IP: &str = "fd10::11";

fn uplink_mac() -> String {
    let link = output("ip -o link show eth0 | grep -o 'ether [^ ]*' | cut -d' ' -f2");
    link.trim().to_owned()
}

async fn a_pod_elsewhere_leaves_with_its_egress_ip(family: Family, underlay: Family) {
    let egress_ip = match family {
        Family::V4 => "10.10.0.11",
        Family::V6 => EGRESS_IP,
    };
    let mut node = Node::sending(family, underlay).await;
    make_gateway_over(underlay, &[egress_ip]);
    assert_eq!(node.seen_of_a_packet(), [plan(family).node]);
    node.should(through_the_tunnel_to(plan(underlay).gateway, egress_ip))
        .await;
    assert_eq!(node.seen_of_a_packet(), [egress_ip]);
    node.should([]).await;
    assert_eq!(node.seen_of_a_packet(), [plan(family).node]);
}

#[test]
fn an_ipv6_pod_elsewhere_leaves_with_its_egress_ip_through_a_tunnel_over_ipv6() {
    inside(
        "families::an_ipv6_pod_elsewhere_leaves_with_its_egress_ip_through_a_tunnel_over_ipv6",
        a_pod_elsewhere_leaves_with_its_egress_ip(Family::V6, Family::V6),
    );
}

#[test]
fn an_ipv6_pod_elsewhere_leaves_with_its_egress_ip_through_a_tunnel_over_ipv4() {
    inside(
        "families::an_ipv6_pod_elsewhere_leaves_with_its_egress_ip_through_a_tunnel_over_ipv4",
        a_pod_elsewhere_leaves_with_its_egress_ip(Family::V6, Family::V4),
    );
}

#[test]
fn an_ipv4_pod_elsewhere_leaves_with_its_egress_ip_through_a_tunnel_over_ipv6() {
    inside(
        "families::an_ipv4_pod_elsewhere_leaves_with_its_egress_ip_through_a_tunnel_over_ipv6",
        a_pod_elsewhere_leaves_with_its_egress_ip(Family::V4, Family::V6),
    );
}

#[test]
fn an_ipv6_pod_on_its_gateway_leaves_with_the_egress_ip() {
    inside(
        "families::an_ipv6_pod_on_its_gateway_leaves_with_the_egress_ip",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            node.should(local(EGRESS_IP)).await;
            assert_eq!(node.seen_of_a_packet(), [EGRESS_IP]);
        },
    );
}

#[test]
fn an_ipv6_pod_whose_translation_is_missing_is_dropped_and_not_masqueraded() {
    inside(
        "families::an_ipv6_pod_whose_translation_is_missing_is_dropped_and_not_masqueraded",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            node.should(local(EGRESS_IP)).await;
            run("nft delete element ip6 egret local { fd24:0:0:1::2 }");
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}

#[test]
fn an_ipv6_pod_without_a_gateway_or_a_way_into_the_tunnel_is_not_let_out() {
    inside(
        "families::an_ipv6_pod_without_a_gateway_or_a_way_into_the_tunnel_is_not_let_out",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            node.should([Element::Remote {
                pod: ip(plan(Family::V6).pod),
                identity: Some(identity(ip(EGRESS_IP))),
            }])
            .await;
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
            run("ip -6 rule del pref 150");
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}

#[test]
fn an_egress_ip_of_one_family_leaves_the_other_familys_packets_of_its_pod_alone() {
    inside(
        "families::an_egress_ip_of_one_family_leaves_the_other_familys_packets_of_its_pod_alone",
        async {
            let mut node = Node::sending(Family::V6, Family::V4).await;
            node.should(local("10.10.0.11")).await;
            assert_eq!(node.seen_of_a_packet(), [plan(Family::V6).node]);
        },
    );
}

#[test]
fn the_node_answers_neighbours_for_a_pooled_ipv6_address_and_never_uses_it_itself() {
    inside(
        "families::the_node_answers_neighbours_for_a_pooled_ipv6_address_and_never_uses_it_itself",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            let guard = Element::Guard(ip(EGRESS_IP));
            node.should(local(EGRESS_IP).into_iter().chain([guard]))
                .await;
            let reach = || {
                in_netns("ext", || {
                    let socket = std::net::UdpSocket::bind("[fd10::200]:4000").unwrap();
                    socket.send_to(b"packet", (EGRESS_IP, 9)).unwrap();
                });
                sleep(Duration::from_millis(300));
                output(&format!("ip -n ext -6 neigh show {EGRESS_IP}"))
            };
            let mac = uplink_mac();
            let learnt = reach();
            assert!(learnt.contains(&mac), "{learnt}");
            // Also the question whether it is still there, which goes to the address itself, is answered.
            run(&format!(
                "ip -n ext -6 neigh change {EGRESS_IP} dev br0 nud probe lladdr {mac}"
            ));
            let known = || output(&format!("ip -n ext -6 neigh show {EGRESS_IP}"));
            for _ in 0..50 {
                if known().contains("REACHABLE") {
                    break;
                }
                sleep(Duration::from_millis(100));
            }
            assert!(known().contains("REACHABLE"), "{}", known());
            let source = output("ip -6 route get fd10::200");
            assert!(source.contains("src fd10::101"), "{source}");
            let address = output("ip -6 addr show dev eth0 to fd10::11");
            assert!(
                address.contains("deprecated") && address.contains("/128"),
                "{address}"
            );
        },
    );
}

#[test]
fn neighbours_that_know_another_node_for_an_ipv6_egress_ip_learn_of_this_one_at_once() {
    inside(
        "families::neighbours_that_know_another_node_for_an_ipv6_egress_ip_learn_of_this_one_at_once",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            run(&format!(
                "ip -n ext -6 neigh replace {EGRESS_IP} lladdr 02:00:00:00:00:99 dev br0 nud reachable"
            ));
            node.should(local(EGRESS_IP)).await;
            wait_for_markers();
            let mac = uplink_mac();
            let learnt = output(&format!("ip -n ext -6 neigh show {EGRESS_IP}"));
            assert!(learnt.contains(&mac), "{learnt}");
        },
    );
}

#[test]
fn what_comes_for_a_pooled_ipv6_address_that_matches_no_flow_is_dropped_without_a_word() {
    inside(
        "families::what_comes_for_a_pooled_ipv6_address_that_matches_no_flow_is_dropped_without_a_word",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            let guard = Element::Guard(ip(EGRESS_IP));
            node.should(local(EGRESS_IP).into_iter().chain([guard]))
                .await;
            let limit = Duration::from_millis(300);
            let connect = move |to: &'static str| {
                in_netns("ext", move || {
                    let to = std::net::SocketAddr::new(ip(to), 9);
                    std::net::TcpStream::connect_timeout(&to, limit)
                        .unwrap_err()
                        .kind()
                })
            };
            assert_eq!(connect(EGRESS_IP), std::io::ErrorKind::TimedOut);
            assert_eq!(connect("fd10::101"), std::io::ErrorKind::ConnectionRefused);
        },
    );
}

#[test]
fn ipv6_elements_are_found_by_the_next_agent_and_what_others_added_is_not_taken_for_them() {
    inside(
        "families::ipv6_elements_are_found_by_the_next_agent_and_what_others_added_is_not_taken_for_them",
        async {
            let mut node = Node::sending(Family::V6, Family::V6).await;
            let should: BTreeSet<_> = local(EGRESS_IP)
                .into_iter()
                .chain(through_the_tunnel_to("fd10::102", "fd10::12"))
                .filter(|one| !matches!(one, Element::Remote { .. }))
                .chain([
                    Element::Guard(ip(EGRESS_IP)),
                    Element::Elsewhere(ip("fd10::12")),
                    Element::Peer(ip("fd10::102")),
                    Element::Except("fe80::/10".parse().unwrap()),
                    Element::Except("fd10::101/128".parse().unwrap()),
                    Element::Remote {
                        pod: ip("fd24:0:0:1::3"),
                        identity: Some(identity(ip("fd10::12"))),
                    },
                ])
                .collect();
            node.should(should.clone()).await;
            run("ip -6 addr add fd10::77/128 dev eth0 nodad");
            run("nft add element ip6 egret here { fd24::99 }");
            let mut next = Linux::new(Settings::default(), ip("fd10::101")).unwrap();
            let is = next.repair().await.unwrap();
            assert_eq!(is, should);
            let nothing = BTreeSet::new();
            next.commit(&Commit::of(&diff(&is, &nothing)))
                .await
                .unwrap();
            assert_eq!(next.repair().await.unwrap(), nothing);
            let left = output("ip -6 addr show dev eth0");
            assert!(
                left.contains("fd10::77") && !left.contains(EGRESS_IP),
                "{left}"
            );
        },
    );
}

#[test]
fn nothing_of_ipv6_stays_behind_once_removed() {
    inside(
        "families::nothing_of_ipv6_stays_behind_once_removed",
        async {
            let everything = || {
                output(
                    "nft -s list ruleset; ip -6 rule; ip -6 route show table 6089 2>/dev/null || true; ip -6 addr show dev eth0",
                )
            };
            let mut node = Node::sending(Family::V6, Family::V6).await;
            node.kernel.remove().await.unwrap();
            let before = everything();
            node.kernel.repair().await.unwrap();
            node.should(local(EGRESS_IP)).await;
            node.kernel.remove().await.unwrap();
            assert_eq!(everything(), before);
        },
    );
}

#[test]
fn a_node_that_does_not_forward_ipv6_is_told_the_setting_if_that_is_asked_of_it() {
    inside(
        "families::a_node_that_does_not_forward_ipv6_is_told_the_setting_if_that_is_asked_of_it",
        async {
            let mut node = Node::sending(Family::V6, Family::V4).await;
            let both = BTreeSet::from([Family::V4, Family::V6]);
            node.kernel.verify(&both).await.unwrap();
            run("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
            let error = node.kernel.verify(&both).await.unwrap_err();
            assert_eq!(error.check(), "forwarding");
            let advice = describe(&error);
            assert!(advice.contains("ipv6/conf/all/forwarding is 0"), "{advice}");
            node.kernel.verify(&[Family::V4].into()).await.unwrap();
        },
    );
}

#[test]
fn a_node_where_ipv6_is_switched_off_serves_ipv4_and_gets_nothing_for_ipv6() {
    inside(
        "families::a_node_where_ipv6_is_switched_off_serves_ipv4_and_gets_nothing_for_ipv6",
        async {
            run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
            let mut kernel = crate::kernel();
            assert_eq!(kernel.families(), [Family::V4]);
            crate::make(&mut kernel, &crate::some_elements()).await;
            assert_eq!(kernel.repair().await.unwrap(), crate::some_elements());
            let tables = output("nft list tables");
            assert!(!tables.contains("ip6"), "{tables}");
        },
    );
}
