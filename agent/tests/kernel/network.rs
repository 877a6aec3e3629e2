//! A network for packets: a node with a Pod, another node, and an external host that remembers whom it has seen.
//!
//! The test's namespace is the node, 10.10.0.101, with the Pod 10.244.1.2 behind a veth; it masquerades as a CNI does.
//! The external host, 10.10.0.200, is also the bridge between the nodes. All have IPv6 addresses too. All runs on one processor: so a packet is
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
use egret_domain::net::Family;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns};
use nix::unistd::Pid;

use crate::make;
use crate::namespace::{ip, output, run};

/// Who has which address of a family.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The header, as nft calls it.
    header: &'static str,
    /// The node.
    pub(crate) node: &'static str,
    /// The other node.
    pub(crate) gateway: &'static str,
    /// The external host.
    pub(crate) ext: &'static str,
    /// The Pod.
    pub(crate) pod: &'static str,
    /// The prefix length of the network between them.
    prefix: u8,
    /// The length of an address.
    bits: u8,
    /// The Pods' network.
    pods: &'static str,
    /// Where the Pod's packets go first.
    pod_gateway: &'static str,
}

const V4: Plan = Plan {
    header: "ip",
    node: "10.10.0.101",
    gateway: "10.10.0.102",
    ext: "10.10.0.200",
    pod: "10.244.1.2",
    prefix: 16,
    bits: 32,
    pods: "10.244.0.0/16",
    pod_gateway: "169.254.1.1",
};

const V6: Plan = Plan {
    header: "ip6",
    node: "fd10::101",
    gateway: "fd10::102",
    ext: "fd10::200",
    pod: "fd24:0:0:1::2",
    prefix: 64,
    bits: 128,
    pods: "fd24::/48",
    pod_gateway: "fe80::1",
};

/// The addresses of a family.
pub(crate) const fn plan(family: Family) -> &'static Plan {
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

fn plan_of(ip: IpAddr) -> &'static Plan {
    plan(Family::of(ip))
}

/// The Ethernet addresses of the Pod's gateway and of the external host: known beforehand, so that no packet has to wait
/// for ARP and is overtaken.
const POD_GATEWAY_MAC: &str = "02:00:00:00:00:01";
const EXT_MAC: &str = "02:00:00:00:00:c8";
/// Markers are sent so often: a packet through the other node has a longer way than a marker.
const MARKERS: usize = 4;

/// The node, its Pod and the external host.
pub(crate) struct Node {
    pub(crate) kernel: Linux,
    plan: &'static Plan,
    pod: UdpSocket,
    is: BTreeSet<Element>,
}

impl Node {
    pub(crate) async fn new() -> Self {
        Self::sending(Family::V4, Family::V4).await
    }

    /// The Pod sends packets of one family; the tunnel's are of the other or the same.
    pub(crate) async fn sending(family: Family, underlay: Family) -> Self {
        stay_on_one_processor();
        run("mount -t tmpfs run /run; ip netns add ext; ip netns add pod");
        external_host();
        connect_to_bridge("eth0", [V4.node, V6.node], None);
        for plan in [&V4, &V6] {
            run(&format!(
                "ip neigh replace {} lladdr {EXT_MAC} dev eth0 nud permanent; nft '{}'",
                plan.ext,
                masquerade(plan)
            ));
        }
        pod_with_gateway();
        let node = ip(plan(underlay).node);
        let mut kernel = Linux::new(Settings::default(), node).unwrap();
        let is = kernel.repair().await.unwrap();
        let plan = plan(family);
        Self {
            kernel,
            plan,
            pod: in_netns("pod", || UdpSocket::bind((plan.pod, 4000)).unwrap()),
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
        let header = self.plan.header;
        run(&format!(
            "ip netns exec ext nft flush set {header} seen sources"
        ));
        self.pod.send_to(b"packet", (self.plan.ext, 9)).unwrap();
        wait_for_markers_to(self.plan.ext);
        listed_of(header, "ext", "sources")
    }
}

/// Waits until what was sent to the external host before is there, or is not to come.
pub(crate) fn wait_for_markers() {
    wait_for_markers_to(V4.ext);
}

fn wait_for_markers_to(ext: &str) {
    for _ in 0..MARKERS {
        let refused = TcpStream::connect((ext, 9)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

/// The entries of one of the sets of what a host has seen.
pub(crate) fn listed(netns: &str, set: &str) -> Vec<String> {
    listed_of("ip", netns, set)
}

fn listed_of(header: &str, netns: &str, set: &str) -> Vec<String> {
    let listed = output(&format!(
        "ip netns exec {netns} nft list set {header} seen {set}"
    ));
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
    through_the_tunnel_to(V4.gateway, egress_ip)
}

/// The same; the other node has this address in the tunnel's underlay.
pub(crate) fn through_the_tunnel_to(gateway: &str, egress_ip: &str) -> [Element; 2] {
    let egress_ip = ip(egress_ip);
    let identity = identity(egress_ip);
    [
        Element::Remote {
            pod: ip(plan_of(egress_ip).pod),
            identity: Some(identity),
        },
        Element::Forward {
            identity,
            node: ip(gateway),
        },
    ]
}

/// The node itself is the gateway of its Pod.
pub(crate) fn local(egress_ip: &str) -> [Element; 3] {
    let egress_ip = ip(egress_ip);
    let pod = ip(plan_of(egress_ip).pod);
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
    make_gateway_over(Family::V4, egress_ips);
}

/// The same, with a tunnel whose packets are of this family.
pub(crate) fn make_gateway_over(underlay: Family, egress_ips: &[&str]) {
    run("ip netns add gw");
    connect_to_bridge("gw0", [V4.gateway, V6.gateway], Some("gw"));
    run(&format!("ip netns exec gw sh -c '{FORWARD}'"));
    for plan in [&V4, &V6] {
        run(&format!(
            "ip -n gw route add {} via {}; ip netns exec gw nft '{}'",
            plan.pod,
            plan.node,
            masquerade(plan)
        ));
    }
    let (node, gateway) = (ip(plan(underlay).node), ip(plan(underlay).gateway));
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
    let should: BTreeSet<_> = held.chain([Element::Peer(node)]).collect();
    in_netns("gw", move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut kernel = Linux::new(Settings::default(), gateway).unwrap();
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
         ip -n ext addr add 10.10.0.200/16 dev br0; ip -n ext addr add fd10::200/64 dev br0 nodad"
    ));
    run(
        "ip netns exec ext nft 'table ip seen { set sources { type ipv4_addr; flags dynamic; }; \
         set icmp_types { type icmp_type; flags dynamic; }; \
         chain in { type filter hook prerouting priority -400; \
         ip daddr 10.10.0.200 meta l4proto udp update @sources { ip saddr }; \
         ip daddr 10.10.0.200 update @icmp_types { icmp type }; }; }; \
         table ip6 seen { set sources { type ipv6_addr; flags dynamic; }; \
         chain in { type filter hook prerouting priority -400; \
         ip6 daddr fd10::200 meta l4proto udp update @sources { ip6 saddr }; }; }'",
    );
}

/// What a CNI does for Pods that no Egress selects.
fn masquerade(Plan { header, pods, .. }: &Plan) -> String {
    format!(
        "table {header} cni {{ chain post {{ type nat hook postrouting priority 100; \
         {header} saddr {pods} {header} daddr != {pods} masquerade; }}; }}"
    )
}

/// What it does to a node.
const FORWARD: &str =
    "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

/// Connects a node to the bridge.
fn connect_to_bridge(port: &str, addresses: [&str; 2], netns: Option<&str>) {
    let at = netns.map(|name| format!("-n {name}")).unwrap_or_default();
    run(&format!(
        "ip -n ext link add to-{port} type veth peer name wire; ip -n ext link set to-{port} master br0 up"
    ));
    let there = netns.map_or_else(|| std::process::id().to_string(), str::to_owned);
    run(&format!("ip -n ext link set wire netns {there} name eth0"));
    run(&format!("ip {at} link set eth0 up"));
    for address in addresses {
        let (prefix, nodad) = match plan_of(ip(address)).prefix {
            64 => (64, "nodad"),
            prefix => (prefix, ""),
        };
        run(&format!(
            "ip {at} addr add {address}/{prefix} dev eth0 {nodad}"
        ));
    }
}

/// Behind a veth without addresses of its own, as many CNIs have it.
fn pod_with_gateway() {
    run(&format!(
        "ip link add pod0 address {POD_GATEWAY_MAC} type veth peer name eth0 netns pod; ip link set pod0 up"
    ));
    run("ip -n pod link set eth0 up; ip addr add 169.254.1.1/32 dev pod0");
    for Plan {
        pod,
        bits,
        pod_gateway,
        ..
    } in [&V4, &V6]
    {
        let nodad = if *bits == 128 { "nodad" } else { "" };
        run(&format!(
            "ip -n pod addr add {pod}/{bits} dev eth0 {nodad}; ip -n pod route add {pod_gateway} dev eth0; \
             ip -n pod route add default via {pod_gateway} dev eth0; \
             ip -n pod neigh replace {pod_gateway} lladdr {POD_GATEWAY_MAC} dev eth0 nud permanent; \
             ip route add {pod} dev pod0"
        ));
    }
    run(FORWARD);
}
