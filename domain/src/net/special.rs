//! Addresses that can never be a source outside a node.
//!
//! Owns the one list of them (IANA special-purpose registries, RFC 6890, and multicast), for what users name and for what
//! pools hand out. Never says what follows from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Family, IpRange};

/// Blocks of IPv4 addresses from first to last, each with what one of them is.
const V4: [([u8; 4], [u8; 4], &str); 5] = [
    ([0, 0, 0, 0], [0, 255, 255, 255], "an address of 0.0.0.0/8"),
    ([127, 0, 0, 0], [127, 255, 255, 255], "a loopback address"),
    (
        [169, 254, 0, 0],
        [169, 254, 255, 255],
        "a link-local address",
    ),
    ([224, 0, 0, 0], [239, 255, 255, 255], "a multicast address"),
    ([255; 4], [255; 4], "the broadcast address"),
];

/// The same for IPv6, from a number to a number.
const V6: [(u128, u128, &str); 5] = [
    (0, 0, "the unspecified address"),
    (1, 1, "a loopback address"),
    (
        0xffff << 32,
        (0x1_0000 << 32) - 1,
        "an IPv4 address written as IPv6",
    ),
    (0xfe80 << 112, (0xfec0 << 112) - 1, "a link-local address"),
    (0xff00 << 112, u128::MAX, "a multicast address"),
];

/// What such an address is, to be read after "is"; `None` for one that can be used.
pub fn unusable(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("the unspecified address");
    }
    unusable_throughout(IpRange::single(ip))
}

/// What one of a range's addresses is, if they all lie in one block that cannot be used.
pub fn unusable_throughout(range: IpRange) -> Option<&'static str> {
    let mut blocks = blocks(range.family());
    let around =
        blocks.find(|(block, _)| block.contains(range.start()) && block.contains(range.end()));
    around.map(|(_, kind)| kind)
}

/// The addresses of a family that cannot be used, each block with what one of them is.
pub fn blocks(family: Family) -> impl Iterator<Item = (IpRange, &'static str)> {
    let v4 = V4.iter().map(|(start, end, kind)| {
        let (start, end) = (Ipv4Addr::from(*start).into(), Ipv4Addr::from(*end).into());
        (IpRange { start, end }, *kind)
    });
    let v6 = V6.iter().map(|(start, end, kind)| {
        let (start, end) = (Ipv6Addr::from(*start).into(), Ipv6Addr::from(*end).into());
        (IpRange { start, end }, *kind)
    });
    v4.chain(v6)
        .filter(move |(range, _)| range.family() == family)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the words of the standard library.
    fn is_unusable(ip: IpAddr) -> bool {
        let common = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
        common
            || match ip {
                IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
                IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
            }
    }

    #[test]
    fn the_blocks_end_where_the_standard_library_says_so() {
        for family in [Family::V4, Family::V6] {
            for (range, kind) in blocks(family) {
                for end in [range.start(), range.end()] {
                    let number = super::super::to_number(end);
                    let near = [number.checked_sub(1), Some(number), number.checked_add(1)];
                    for number in near.into_iter().flatten() {
                        let Some(ip) = super::super::from_number(family, number) else {
                            continue;
                        };
                        assert_eq!(unusable(ip).is_some(), is_unusable(ip), "{ip}, {kind}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_can_be_used_is_in_no_block() {
        for usable in [
            "10.10.0.8",
            "192.168.1.1",
            "240.0.0.1",
            "fd00::8",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert_eq!(unusable(usable.parse().unwrap()), None, "{usable}");
        }
    }
}
