//! Numbers that Egret uses in the kernel, where another program might use the same.
//!
//! Owns their names and defaults. All nodes of a cluster must have the same VNI and port.

use clap::Args;

/// Name of the tunnel's link.
pub const TUNNEL: &str = "egret0";
/// Name of the link that pooled egress IPs sit on.
pub const EGRESS_IPS: &str = "egret-ips";
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
    /// Protocol number that marks Egret's routes and rules.
    #[arg(long, default_value_t = 147)]
    pub route_protocol: u8,
    /// VXLAN network identifier.
    #[arg(long, default_value_t = 4321)]
    pub vni: u32,
    /// UDP port of the tunnel.
    #[arg(long, default_value_t = 6089)]
    pub tunnel_port: u16,
    /// Conntrack zone of flows on their gateway.
    #[arg(long, default_value_t = 77)]
    pub zone: u16,
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
            zone: 77,
        }
    }
}

/// What is added to a packet in the tunnel over IPv4: Ethernet, IP, UDP and VXLAN headers.
const OVERHEAD_BYTES: u32 = 50;
/// IPv6 vanishes from a link whose MTU is below this; on a smaller underlay the outer packets fragment.
const LEAST_MTU_BYTES: u32 = 1280;

/// MTU of the tunnel on an underlay of this MTU, in bytes.
pub fn tunnel_mtu(underlay_bytes: u32) -> u32 {
    underlay_bytes
        .saturating_sub(OVERHEAD_BYTES)
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
    fn the_tunnel_leaves_room_for_its_headers_but_is_never_too_small_for_ipv6() {
        assert_eq!(tunnel_mtu(1500), 1450);
        assert_eq!(tunnel_mtu(1300), 1280);
    }
}
