//! Real packets of Pods on a real kernel: which source address an external host sees.
//!
//! The node's namespace has a Pod behind a veth, masquerades like a CNI does, and is wired to an external host.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{TcpStream, UdpSocket};
use std::thread;

use egret_agent::kernel::Kernel;
use egret_agent::kernel::linux::Linux;
use egret_agent::kernel::settings::Settings;
use egret_domain::datapath::{Commit, Element, diff, identity};
use nix::sched::{CloneFlags, setns};

use crate::NODE;
use crate::namespace::{inside, ip, output, run};

/// A node with a Pod, 10.244.1.2, and an external host, 10.10.0.200, that remembers whom it has seen.
struct Node {
    kernel: Linux,
    pod: UdpSocket,
    is: BTreeSet<Element>,
}

impl Node {
    async fn new() -> Self {
        run("mount -t tmpfs run /run; ip netns add ext; ip netns add pod");
        run("ip link add eth0 type veth peer name eth0 netns ext; ip link set eth0 up");
        run("ip addr add 10.10.0.101/16 dev eth0; echo 1 > /proc/sys/net/ipv4/ip_forward");
        run("ip -n ext addr add 10.10.0.200/16 dev eth0; ip -n ext link set eth0 up");
        run("ip link add pod0 type veth peer name eth0 netns pod; ip link set pod0 up");
        run("ip -n pod addr add 10.244.1.2/32 dev eth0; ip -n pod link set eth0 up");
        run(
            "ip -n pod route add 169.254.1.1 dev eth0; ip -n pod route add default via 169.254.1.1",
        );
        run("ip addr add 169.254.1.1/32 dev pod0; ip route add 10.244.1.2 dev pod0");
        run(
            "nft 'table ip cni { chain post { type nat hook postrouting priority 100; \
             ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade; }; }'",
        );
        run(
            "ip netns exec ext nft 'table ip seen { set sources { type ipv4_addr; flags dynamic; }; \
             chain in { type filter hook prerouting priority -400; \
             meta l4proto udp update @sources { ip saddr }; }; }'",
        );
        let kernel = Linux::new(Settings::default(), NODE).unwrap();
        let mut node = Self {
            kernel,
            pod: socket_in("pod"),
            is: BTreeSet::new(),
        };
        node.is = node.kernel.repair().await.unwrap();
        node
    }

    async fn should(&mut self, elements: impl IntoIterator<Item = Element>) {
        let should = elements.into_iter().collect();
        self.kernel
            .commit(&Commit::of(&diff(&self.is, &should)))
            .await
            .unwrap();
        self.is = should;
    }

    /// Sends a packet of the Pod's one flow, and tells whom the external host has seen since the last one.
    fn seen_of_a_packet(&self) -> Vec<String> {
        run("ip netns exec ext nft flush set ip seen sources");
        self.pod.send_to(b"packet", "10.10.0.200:9").unwrap();
        // Refused by the external host, but only behind the packet: on the same way nothing overtakes.
        let refused = TcpStream::connect("10.10.0.200:9").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let listed = output("ip netns exec ext nft list set ip seen sources");
        let addresses = listed.split(['{', '}', ',', ' ', '\n', '\t']);
        addresses
            .filter(|word| word.parse::<std::net::Ipv4Addr>().is_ok())
            .map(str::to_owned)
            .collect()
    }
}

/// A socket in another network namespace; it stays there.
fn socket_in(netns: &str) -> UdpSocket {
    let file = File::open(format!("/run/netns/{netns}")).unwrap();
    let opened = thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        UdpSocket::bind("10.244.1.2:4000").unwrap()
    });
    opened.join().unwrap()
}

fn local() -> [Element; 3] {
    let (pod, egress_ip) = (ip("10.244.1.2"), ip("10.10.0.11"));
    [
        Element::Local { pod, egress_ip },
        Element::Gateway {
            identity: identity(egress_ip),
            egress_ip,
        },
        Element::Address(egress_ip),
    ]
}

#[test]
fn a_pod_on_its_gateway_leaves_with_the_egress_ip_although_a_cni_masquerades() {
    inside(
        "packets::a_pod_on_its_gateway_leaves_with_the_egress_ip_although_a_cni_masquerades",
        async {
            let mut node = Node::new().await;
            node.should(local()).await;
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
fn a_flow_that_was_masqueraded_before_its_pod_was_selected_leaves_with_the_nodes_ip_no_more() {
    inside(
        "packets::a_flow_that_was_masqueraded_before_its_pod_was_selected_leaves_with_the_nodes_ip_no_more",
        async {
            let mut node = Node::new().await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.101"]);
            node.should(local()).await;
            assert!(!node.seen_of_a_packet().contains(&"10.10.0.101".to_owned()));
            node.should([Element::Remote {
                pod: ip("10.244.1.2"),
                identity: None,
            }])
            .await;
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
            node.should(local()).await;
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
            node.should(local().into_iter().chain([except])).await;
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
