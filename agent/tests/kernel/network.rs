//! A network for packets: a node with a Pod, another node, and an external host that remembers whom it has seen.
//!
//! The test's namespace is the node, 10.10.0.101, with the Pod 10.244.1.2 behind a veth; it masquerades as a CNI does.
//! The external host, 10.10.0.200, is also the bridge between the nodes. All runs on one processor: so a packet is
//! through before what is sent after it on the same way.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::thread;

use egret_agent::kernel::Kernel;
use egret_agent::kernel::linux::Linux;
use egret_agent::kernel::settings::Settings;
use egret_domain::datapath::{Commit, Element, diff, identity};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns};
use nix::unistd::Pid;

use crate::namespace::{ip, output, run};
use crate::{NODE, make};

/// The other node.
const GATEWAY: &str = "10.10.0.102";
/// The Ethernet addresses of the Pod's gateway and of the external host: known beforehand, so that no packet has to wait
/// for ARP and is overtaken.
const POD_GATEWAY_MAC: &str = "02:00:00:00:00:01";
const EXT_MAC: &str = "02:00:00:00:00:c8";
/// What a CNI does for Pods that no Egress selects.
const MASQUERADE: &str = "table ip cni { chain post { type nat hook postrouting priority 100; \
                          ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade; }; }";
/// Markers are sent so often: a packet through the other node has a longer way than a marker.
const MARKERS: usize = 4;

/// The node, its Pod and the external host.
pub(crate) struct Node {
    kernel: Linux,
    pod: UdpSocket,
    is: BTreeSet<Element>,
}

impl Node {
    pub(crate) async fn new() -> Self {
        stay_on_one_processor();
        run("mount -t tmpfs run /run; ip netns add ext; ip netns add pod");
        external_host();
        connect_to_bridge("eth0", "10.10.0.101", None);
        run(&format!(
            "ip neigh replace 10.10.0.200 lladdr {EXT_MAC} dev eth0 nud permanent"
        ));
        pod_with_gateway();
        run(&format!("nft '{MASQUERADE}'"));
        let mut kernel = Linux::new(Settings::default(), NODE).unwrap();
        let is = kernel.repair().await.unwrap();
        Self {
            kernel,
            pod: in_netns("pod", || UdpSocket::bind("10.244.1.2:4000").unwrap()),
            is,
        }
    }

    pub(crate) async fn should(&mut self, elements: impl IntoIterator<Item = Element>) {
        let should = elements.into_iter().collect();
        self.kernel
            .commit(&Commit::of(&diff(&self.is, &should)))
            .await
            .unwrap();
        self.is = should;
    }

    /// Sends a packet of the Pod's one flow, and tells whom the external host has seen since the last one.
    pub(crate) fn seen_of_a_packet(&self) -> Vec<String> {
        run("ip netns exec ext nft flush set ip seen sources");
        self.pod.send_to(b"packet", "10.10.0.200:9").unwrap();
        wait_for_markers();
        listed("ext", "sources")
    }
}

/// Waits until what was sent to the external host before is there, or is not to come.
pub(crate) fn wait_for_markers() {
    for _ in 0..MARKERS {
        let refused = TcpStream::connect("10.10.0.200:9").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

/// The entries of one of the sets of what a host has seen.
pub(crate) fn listed(netns: &str, set: &str) -> Vec<String> {
    let listed = output(&format!("ip netns exec {netns} nft list set ip seen {set}"));
    let Some((_, elements)) = listed.split_once("elements = {") else {
        return Vec::new();
    };
    let elements = elements.trim_end_matches(|c: char| c == '}' || c.is_whitespace());
    let elements = elements.split(',').map(str::trim).map(str::to_owned);
    elements.collect()
}

/// Does something in another network namespace. A socket that is opened there stays there.
pub(crate) fn in_netns<T: Send + 'static>(
    netns: &str,
    what: impl FnOnce() -> T + Send + 'static,
) -> T {
    let file = File::open(format!("/run/netns/{netns}")).unwrap();
    let there = thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        what()
    });
    there.join().unwrap()
}

/// The Pod's way is into the tunnel, to the other node.
pub(crate) fn through_the_tunnel(egress_ip: &str) -> [Element; 2] {
    let identity = identity(ip(egress_ip));
    [
        Element::Remote {
            pod: ip("10.244.1.2"),
            identity: Some(identity),
        },
        Element::Forward {
            identity,
            node: ip(GATEWAY),
        },
    ]
}

/// The node itself is the gateway of its Pod.
pub(crate) fn local(egress_ip: &str) -> [Element; 3] {
    let (pod, egress_ip) = (ip("10.244.1.2"), ip(egress_ip));
    [
        Element::Local { pod, egress_ip },
        Element::Gateway {
            identity: identity(egress_ip),
            egress_ip,
        },
        Element::Address(egress_ip),
    ]
}

/// Makes the other node, gateway of these egress IPs.
pub(crate) fn make_gateway_of(egress_ips: &[&str]) {
    run("ip netns add gw");
    connect_to_bridge("gw0", GATEWAY, Some("gw"));
    run("ip -n gw route add 10.244.1.0/24 via 10.10.0.101");
    run("ip netns exec gw sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'");
    run(&format!("ip netns exec gw nft '{MASQUERADE}'"));
    let held = egress_ips.iter().flat_map(|egress_ip| {
        let egress_ip = ip(egress_ip);
        [
            Element::Gateway {
                identity: identity(egress_ip),
                egress_ip,
            },
            Element::Guard(egress_ip),
            Element::Address(egress_ip),
        ]
    });
    let should: BTreeSet<_> = held.chain([Element::Peer(NODE)]).collect();
    in_netns("gw", move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let node: IpAddr = ip(GATEWAY);
            let mut kernel = Linux::new(Settings::default(), node).unwrap();
            make(&mut kernel, &should).await;
        });
    });
}

fn stay_on_one_processor() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap());
    let mut one = CpuSet::new();
    one.set(first.unwrap()).unwrap();
    sched_setaffinity(this, &one).unwrap();
}

fn external_host() {
    run(&format!(
        "ip -n ext link add br0 address {EXT_MAC} type bridge; ip -n ext link set br0 up; \
         ip -n ext addr add 10.10.0.200/16 dev br0"
    ));
    run(
        "ip netns exec ext nft 'table ip seen { set sources { type ipv4_addr; flags dynamic; }; \
         set icmp_types { type icmp_type; flags dynamic; }; \
         chain in { type filter hook prerouting priority -400; \
         ip daddr 10.10.0.200 meta l4proto udp update @sources { ip saddr }; \
         ip daddr 10.10.0.200 update @icmp_types { icmp type }; }; }'",
    );
}

/// Connects a node to the bridge.
fn connect_to_bridge(port: &str, address: &str, netns: Option<&str>) {
    let at = netns.map(|name| format!("-n {name}")).unwrap_or_default();
    run(&format!(
        "ip -n ext link add to-{port} type veth peer name wire; ip -n ext link set to-{port} master br0 up"
    ));
    let there = netns.map_or_else(|| std::process::id().to_string(), str::to_owned);
    run(&format!("ip -n ext link set wire netns {there} name eth0"));
    run(&format!(
        "ip {at} addr add {address}/16 dev eth0; ip {at} link set eth0 up"
    ));
}

/// Behind a veth without addresses of its own, as many CNIs have it.
fn pod_with_gateway() {
    run(&format!(
        "ip link add pod0 address {POD_GATEWAY_MAC} type veth peer name eth0 netns pod; ip link set pod0 up"
    ));
    run("ip -n pod addr add 10.244.1.2/32 dev eth0; ip -n pod link set eth0 up");
    run("ip -n pod route add 169.254.1.1 dev eth0; ip -n pod route add default via 169.254.1.1");
    run(&format!(
        "ip -n pod neigh replace 169.254.1.1 lladdr {POD_GATEWAY_MAC} dev eth0 nud permanent"
    ));
    run("ip addr add 169.254.1.1/32 dev pod0; ip route add 10.244.1.2 dev pod0");
    run("echo 1 > /proc/sys/net/ipv4/ip_forward");
}
