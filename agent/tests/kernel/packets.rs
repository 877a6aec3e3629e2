//! Real packets of Pods on a real kernel: which source address an external host sees.

use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use egret_domain::datapath::{Element, identity};

use crate::namespace::{inside, ip, output, run};
use crate::network::{
    Node, in_netns, listed, local, make_gateway_of, through_the_tunnel, wait_for_markers,
};

#[test]
fn a_pod_on_its_gateway_leaves_with_the_egress_ip_although_a_cni_masquerades() {
    inside(
        "packets::a_pod_on_its_gateway_leaves_with_the_egress_ip_although_a_cni_masquerades",
        async {
            let mut node = Node::new().await;
            node.should(local("10.10.0.11")).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.11"]);
        },
    );
}

#[test]
fn a_pod_elsewhere_leaves_its_gateway_with_the_egress_ip_although_a_cni_masquerades() {
    inside(
        "packets::a_pod_elsewhere_leaves_its_gateway_with_the_egress_ip_although_a_cni_masquerades",
        async {
            let mut node = Node::new().await;
            make_gateway_of(&["10.10.0.11"]);
            node.should(through_the_tunnel("10.10.0.11")).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.11"]);
        },
    );
}

#[test]
fn a_pod_that_nothing_selects_leaves_as_the_cni_wants() {
    inside(
        "packets::a_pod_that_nothing_selects_leaves_as_the_cni_wants",
        async {
            let node = Node::new().await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.101"]);
        },
    );
}

#[test]
fn a_pod_whose_gateway_is_not_known_is_not_let_out() {
    inside(
        "packets::a_pod_whose_gateway_is_not_known_is_not_let_out",
        async {
            let mut node = Node::new().await;
            let remote = |identity| Element::Remote {
                pod: ip("10.244.1.2"),
                identity,
            };
            node.should([remote(None)]).await;
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
            node.should([remote(Some(identity(ip("10.10.0.11"))))])
                .await;
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_pod_is_not_let_out_untunnelled_when_the_route_to_the_tunnel_is_gone() {
    inside(
        "packets::a_pod_is_not_let_out_untunnelled_when_the_route_to_the_tunnel_is_gone",
        async {
            let mut node = Node::new().await;
            node.should([Element::Remote {
                pod: ip("10.244.1.2"),
                identity: None,
            }])
            .await;
            run("ip rule del pref 150");
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_pod_whose_translation_is_missing_is_dropped_and_not_masqueraded() {
    inside(
        "packets::a_pod_whose_translation_is_missing_is_dropped_and_not_masqueraded",
        async {
            let mut node = Node::new().await;
            node.should(local("10.10.0.11")).await;
            run("nft delete element ip egret local { 10.244.1.2 }");
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_destination_that_is_excepted_keeps_its_way() {
    inside(
        "packets::a_destination_that_is_excepted_keeps_its_way",
        async {
            let mut node = Node::new().await;
            let except = Element::Except("10.10.0.200/32".parse().unwrap());
            node.should(local("10.10.0.11").into_iter().chain([except]))
                .await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.101"]);
            node.should([
                Element::Remote {
                    pod: ip("10.244.1.2"),
                    identity: None,
                },
                except,
            ])
            .await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.101"]);
        },
    );
}

#[test]
fn what_comes_for_a_pooled_ip_that_is_elsewhere_is_dropped_without_a_word() {
    inside(
        "packets::what_comes_for_a_pooled_ip_that_is_elsewhere_is_dropped_without_a_word",
        async {
            let mut node = Node::new().await;
            let mac = output("ip -o link show eth0 | grep -o 'ether [^ ]*' | cut -d' ' -f2");
            let mac = mac.trim();
            // The external host has not learnt that the IPs have moved, and for one the node knows no more than it.
            for last in [11, 12] {
                run(&format!(
                    "ip -n ext neigh replace 10.10.0.{last} lladdr {mac} dev br0 nud permanent"
                ));
            }
            node.should([Element::Elsewhere(ip("10.10.0.11"))]).await;
            let said_about = |egress_ip: &'static str| {
                in_netns("ext", move || {
                    let socket = UdpSocket::bind("10.10.0.200:4000").unwrap();
                    // Conntrack lets a redirect out from the second packet on, and the kernel none so soon.
                    for _ in 0..2 {
                        socket.send_to(b"packet", (egress_ip, 9)).unwrap();
                        sleep(Duration::from_millis(100));
                    }
                });
                wait_for_markers();
                listed("ext", "icmp_types")
            };
            assert_eq!(said_about("10.10.0.11"), Vec::<String>::new());
            assert_eq!(said_about("10.10.0.12"), ["redirect"]);
            let dropped = output("nft list chain ip egret stray");
            assert!(dropped.contains("packets 2 "), "{dropped}");
        },
    );
}

#[test]
fn an_address_of_this_node_is_reached_even_if_it_is_taken_for_an_egress_ip_elsewhere() {
    inside(
        "packets::an_address_of_this_node_is_reached_even_if_it_is_taken_for_an_egress_ip_elsewhere",
        async {
            let mut node = Node::new().await;
            node.should([Element::Elsewhere(crate::NODE)]).await;
            let refused = in_netns("ext", || std::net::TcpStream::connect("10.10.0.101:9"));
            let kind = refused.unwrap_err().kind();
            assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
        },
    );
}
