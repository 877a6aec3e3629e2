//! Who is where: the names and addresses of everything in a lab, as pure functions of an index.
//!
//! Never touches the system. The numbers are part of what users rely on: node-i is 10.10.0.(100+i),
//! its Pods are in 10.244.i.0/24 and the external host is 10.10.0.200. With IPv6 they are `fd10::(100+i)`, the number
//! written in decimal digits, `fd24:0:0:i::/64` and `fd10::200`.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::family::{Addresses, Families, Family};

#[cfg(test)]
mod tests;

/// The API server and the nodes' default router: the lab's own end of the underlay.
pub const fn api_address(family: Family) -> IpAddr {
    underlay_address(family, 1)
}

/// The host outside the cluster.
pub const fn ext_address(family: Family) -> IpAddr {
    underlay_address(family, 200)
}

/// The prefix length of the underlay.
pub const fn underlay_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => 16,
        Family::V6 => 64,
    }
}

const fn underlay_address(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 10, 0, number)),
        Family::V6 => {
            let last = in_decimal_digits(number);
            IpAddr::V6(Ipv6Addr::new(0xfd10, 0, 0, 0, 0, 0, 0, last))
        }
    }
}

/// The link-local address that goes with an IPv6 one of the underlay.
pub fn link_local(address: Ipv6Addr) -> Ipv6Addr {
    let [.., last] = address.segments();
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)
}

/// The number whose hexadecimal digits are the decimal ones of this.
const fn in_decimal_digits(number: u8) -> u16 {
    let number = number as u16;
    number / 100 * 0x100 + number / 10 % 10 * 0x10 + number % 10
}

/// The link-local address that every Pod uses as its router.
pub const fn pod_gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
    }
}

/// All Pods of all nodes.
pub const fn pod_network(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.244.0.0/16",
        Family::V6 => "fd24::/48",
    }
}

/// All Services.
pub const fn service_network(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.96.0.0/12",
        Family::V6 => "fd96::/112",
    }
}

/// A network of each of these families, as Kubernetes takes them.
pub fn joined(families: Families, network: impl Fn(Family) -> &'static str) -> String {
    let networks: Vec<_> = families.each().map(network).collect();
    networks.join(",")
}

/// The API server as everybody in the lab calls it.
pub fn api_url(families: Families) -> String {
    format!(
        "https://{}",
        SocketAddr::new(api_address(families.first()), 6443)
    )
}

/// What the external host serves.
pub fn ext_url(family: Family) -> String {
    format!("http://{}/", SocketAddr::new(ext_address(family), EXT_PORT))
}
/// The bridge in the lab's root namespace.
pub const BRIDGE: &str = "underlay";
/// The most nodes a lab can have: node-100 would take the external host's address.
pub const MAX_NODES: u8 = 99;
/// Where the external host's HTTP server listens.
pub const EXT_PORT: u16 = 8080;

/// Why a name does not stand for anything in a lab.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Not `node-1` to `node-99`.
    #[error("{0:?} is not a node: nodes are called node-1, node-2, ...")]
    Node(String),
    /// Neither a node nor `ext` nor `api`.
    #[error("{0:?} is not an endpoint of the underlay: say node-N, ext or api")]
    Endpoint(String),
    /// Not `NAMESPACE/POD`.
    #[error("{0:?} is not a Pod: say NAMESPACE/POD")]
    Pod(String),
    /// Not a place where a command can run.
    #[error("{0:?} is not a target: say NAMESPACE/POD, node/NODE, ext or lab")]
    Target(String),
}

/// A node of the lab, by its number (1 to [`MAX_NODES`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(u8);

impl NodeId {
    /// Nodes 1 to `count`.
    pub fn first(count: u8) -> impl Iterator<Item = Self> + Clone {
        (1..=count.min(MAX_NODES)).map(Self)
    }

    /// The node's address on the underlay.
    pub fn address(self, family: Family) -> IpAddr {
        underlay_address(family, self.0.saturating_add(100))
    }

    /// The same of each family.
    pub fn addresses(self, families: Families) -> Addresses {
        Addresses::of(families, |family| self.address(family))
    }

    /// The Ethernet address of the node's uplink.
    pub fn mac(self) -> String {
        format!("02:00:0a:0a:00:{:02x}", self.0.saturating_add(100))
    }

    /// The range that the node's Pods get their addresses from.
    pub fn pod_cidr(self, family: Family) -> String {
        match family {
            Family::V4 => format!("10.244.{}.0/24", self.0),
            Family::V6 => format!("fd24:0:0:{}::/64", self.0),
        }
    }

    /// The numbers that its Pods can have, lowest first; 0 and 1 are left out as a bridge plugin would.
    pub fn pod_numbers() -> impl DoubleEndedIterator<Item = u8> {
        2..=254
    }

    /// The address of its Pod of this number.
    pub fn pod_address(self, number: u8, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 244, self.0, number)),
            Family::V6 => {
                let (node, pod) = (in_decimal_digits(self.0), in_decimal_digits(number));
                IpAddr::V6(Ipv6Addr::new(0xfd24, 0, 0, node, 0, 0, 0, pod))
            }
        }
    }

    /// The end of an Ethernet address of its Pod of this number.
    pub fn pod_mac(self, number: u8) -> String {
        format!("0a:f4:{:02x}:{number:02x}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        name.strip_prefix("node-")
            .and_then(|digits| digits.parse::<u8>().ok())
            .map(Self)
            .filter(|node| (1..=MAX_NODES).contains(&node.0) && node.to_string() == name)
            .ok_or_else(|| NameError::Node(name.to_owned()))
    }
}

impl TryFrom<String> for NodeId {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.to_string()
    }
}

/// Something with a port on the underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Endpoint {
    /// The API server: the lab's own end of the bridge.
    Api,
    /// The external host.
    Ext,
    /// A node.
    Node(NodeId),
}

impl Endpoint {
    /// Every endpoint of a lab with `nodes` nodes.
    pub fn all(nodes: u8) -> impl Iterator<Item = Self> {
        [Self::Api, Self::Ext]
            .into_iter()
            .chain(NodeId::first(nodes).map(Self::Node))
    }

    /// The bridge port of this endpoint; the API server has none, it is the bridge itself.
    pub fn port(self) -> Option<String> {
        match self {
            Self::Api => None,
            Self::Ext => Some("ext".to_owned()),
            Self::Node(node) => Some(node.to_string()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name {
            "api" => Ok(Self::Api),
            "ext" => Ok(Self::Ext),
            node => node
                .parse()
                .map(Self::Node)
                .map_err(|_| NameError::Endpoint(name.to_owned())),
        }
    }
}

/// A Pod's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodKey {
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The Pod's name.
    pub name: String,
}

impl PodKey {
    /// The Pod's network namespace. The underscore cannot occur in either name, so two Pods never
    /// share one; a name too long for a file is replaced by its hash.
    pub fn netns(&self) -> String {
        let plain = format!("pod-{}_{}", self.namespace, self.name);
        if plain.len() <= 200 {
            return plain;
        }
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        format!("pod-{:016x}", hasher.finish())
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for PodKey {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name.split_once('/') {
            Some((namespace, pod)) if is_object_name(namespace) && is_object_name(pod) => {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: pod.to_owned(),
                })
            }
            _ => Err(NameError::Pod(name.to_owned())),
        }
    }
}

fn is_object_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    !name.is_empty() && !name.starts_with('.') && name.chars().all(legal)
}

/// Where a command can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The lab's root namespace, where the API server is.
    Lab,
    /// The external host.
    Ext,
    /// A node.
    Node(NodeId),
    /// A Pod.
    Pod(PodKey),
}

impl Target {
    /// The name of the network namespace; the root one has none.
    pub fn netns(&self) -> Option<String> {
        match self {
            Self::Lab => None,
            Self::Ext => Some("ext".to_owned()),
            Self::Node(node) => Some(node.to_string()),
            Self::Pod(pod) => Some(pod.netns()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab => f.write_str("lab"),
            Self::Ext => f.write_str("ext"),
            Self::Node(node) => write!(f, "node/{node}"),
            Self::Pod(pod) => pod.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match (name, name.strip_prefix("node/")) {
            ("lab", _) => Ok(Self::Lab),
            ("ext", _) => Ok(Self::Ext),
            (_, Some(node)) => node.parse().map(Self::Node),
            _ => name
                .parse()
                .map(Self::Pod)
                .map_err(|_| NameError::Target(name.to_owned())),
        }
    }
}
