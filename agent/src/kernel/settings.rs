//! Numbers that Egret uses in the kernel, where another program might use the same.
//!
//! Owns their names and defaults. All nodes of a cluster must have the same VNI and port.

use std::net::IpAddr;

use clap::Args;
use egret_domain::net::Family;
use xxhash_rust::xxh3::xxh3_64;

/// Name of the tunnel's link.
pub const TUNNEL: &str = "egret0";
/// Name of the link that pooled IPv4 egress IPs sit on.
pub const EGRESS_IPS: &str = "egret-ips";
/// How many conntrack zones the flows on their gateway may have.
const GATEWAY_ZONES: u16 = 0x4000;
/// Name of the nftables tables.
pub const TABLE: &str = "egret";

/// Numbers that Egret uses in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Settings {
    /// The one bit of the packet mark that sends a packet into the tunnel.
    #[arg(long, default_value_t = 0x40, value_parser = one_bit)]
    pub mark_bit: u32,
    /// Preference of the policy routing rule.
    #[arg(long, default_value_t = 150)]
    pub rule_preference: u32,
    /// Routing table of the tunnel.
    #[arg(long, default_value_t = 6089)]
    pub route_table: u32,
    /// Protocol number that marks Egret's routes, rules and IPv6 addresses.
    #[arg(long, default_value_t = 147)]
    pub route_protocol: u8,
    /// VXLAN network identifier.
    #[arg(long, default_value_t = 4321)]
    pub vni: u32,
    /// UDP port of the tunnel.
    #[arg(long, default_value_t = 6089)]
    pub tunnel_port: u16,
    /// First of the 16,384 conntrack zones of flows on their gateway: each egress IP has one of them.
    #[arg(long, default_value_t = 0x4000, value_parser = clap::value_parser!(u16).range(1..=0xc000))]
    pub gateway_zones: u16,
    /// Conntrack zone of flows on their way into the tunnel.
    #[arg(long, default_value_t = 78, value_parser = clap::value_parser!(u16).range(1..))]
    pub source_zone: u16,
    /// Whether source ports are chosen at random: of the configuration, not of the command line.
    #[arg(skip)]
    pub random_ports: bool,
}

impl Settings {
    /// The conntrack zone of flows that leave their gateway with this egress IP. A flow whose egress IP has changed is
    /// thus a new flow. Two egress IPs share a zone once in 16,384 times: a flow between these is dropped.
    pub fn zone_of(&self, egress_ip: IpAddr) -> u16 {
        let hash = match egress_ip {
            IpAddr::V4(ip) => xxh3_64(&ip.octets()),
            IpAddr::V6(ip) => xxh3_64(&ip.octets()),
        };
        let [.., high, low] = hash.to_be_bytes();
        let place = u16::from_be_bytes([high, low]) % GATEWAY_ZONES;
        self.gateway_zones.saturating_add(place)
    }
}

fn one_bit(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x");
    let value = digits.map_or_else(|| text.parse(), |digits| u32::from_str_radix(digits, 16));
    match value {
        Ok(value) if value.is_power_of_two() => Ok(value),
        _ => Err("give one bit, such as 0x40".to_owned()),
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mark_bit: 0x40,
            rule_preference: 150,
            route_table: 6089,
            route_protocol: 147,
            vni: 4321,
            tunnel_port: 6089,
            gateway_zones: 0x4000,
            source_zone: 78,
            random_ports: false,
        }
    }
}

/// What is added to a packet in the tunnel: Ethernet, IP, UDP and VXLAN headers.
fn overhead_bytes(underlay: Family) -> u32 {
    match underlay {
        Family::V4 => 50,
        Family::V6 => 70,
    }
}

/// IPv6 vanishes from a link whose MTU is below this; on a smaller underlay the outer packets fragment.
const LEAST_MTU_BYTES: u32 = 1280;

/// MTU of the tunnel on an underlay of this family and MTU, in bytes.
pub fn tunnel_mtu(underlay: Family, underlay_bytes: u32) -> u32 {
    underlay_bytes
        .saturating_sub(overhead_bytes(underlay))
        .max(LEAST_MTU_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_must_be_one_bit() {
        assert_eq!(one_bit("0x40"), Ok(0x40));
        assert_eq!(one_bit("64"), Ok(0x40));
        assert!(one_bit("0x41").is_err());
        assert!(one_bit("0").is_err());
        assert!(one_bit("mark").is_err());
    }

    #[test]
    fn every_egress_ip_has_one_zone_of_the_gateways_and_neighbours_have_different_ones() {
        let settings = Settings {
            gateway_zones: 0xc000,
            ..Settings::default()
        };
        let zones: Vec<_> = (0..=255)
            .map(|last| settings.zone_of([10, 10, 0, last].into()))
            .collect();
        assert!(zones.iter().all(|zone| *zone >= 0xc000));
        let different: std::collections::BTreeSet<_> = zones.iter().collect();
        assert!(different.len() > 250, "{}", different.len());
    }

    #[test]
    fn the_tunnel_leaves_room_for_its_headers_but_is_never_too_small_for_ipv6() {
        assert_eq!(tunnel_mtu(Family::V4, 1500), 1450);
        assert_eq!(tunnel_mtu(Family::V6, 1500), 1430);
        assert_eq!(tunnel_mtu(Family::V4, 1300), 1280);
    }
}
