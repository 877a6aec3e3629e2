//! Telling the neighbours where an egress IP is now.
//!
//! Owns gratuitous ARP (RFC 5227, section 3: announcements; here as request and as reply, for some switches and
//! hosts heed only one) and unsolicited neighbour advertisements (RFC 4861, section 7.2.6). Never answers anybody: the
//! kernel does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, PacketBuilder};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, send,
    socket,
};
use thiserror::Error;
use tracing::warn;

const BROADCAST: [u8; 6] = [0xff; 6];
/// All nodes of a link, and the Ethernet address that they listen to.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// What came from farther away than this link would have less.
const HOPS_OF_NEIGHBOURS: u8 = 255;
/// The option with the sender's Ethernet address: its number, and its length in units of eight bytes.
const TARGET_LINK_ADDRESS: [u8; 2] = [2, 1];
/// A frame may get lost; three times is the custom. The first is sent at once.
const REPEAT_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// Why an announcement was not sent.
#[derive(Debug, Error)]
enum Failure {
    /// The link is gone, or not of Ethernet.
    #[error("link {0} has no Ethernet address to announce")]
    NoEthernet(u32),
    /// The socket refused.
    #[error("cannot send on the uplink (the capability NET_RAW is needed)")]
    Socket(#[from] io::Error),
    /// The frame could not be built.
    #[error("cannot build the frame")]
    Build(#[from] etherparse::err::packet::BuildWriteError),
}

/// Announces egress IPs on a link, and again in the background. A failure is logged: the neighbours then learn by their
/// own requests.
pub fn announce(ips: &[IpAddr], link: u32) {
    let ips = ips.to_vec();
    report(send_all(&ips, link));
    tokio::spawn(async move {
        for pause in REPEAT_AFTER {
            tokio::time::sleep(pause).await;
            report(send_all(&ips, link));
        }
    });
}

fn report(result: Result<(), Failure>) {
    if let Err(error) = result {
        warn!(
            error = egret_runtime::describe(&error),
            "cannot announce egress IPs"
        );
    }
}

fn send_all(ips: &[IpAddr], link: u32) -> Result<(), Failure> {
    let (socket, mac) = open(link)?;
    for ip in ips {
        for frame in frames(mac, *ip)? {
            send(socket.as_raw_fd(), &frame, MsgFlags::empty()).map_err(io::Error::from)?;
        }
    }
    Ok(())
}

/// A packet socket on the link, and the link's Ethernet address.
fn open(link: u32) -> Result<(OwnedFd, [u8; 6]), Failure> {
    let (address, mac) = ethernet(link).ok_or(Failure::NoEthernet(link))?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        // Sends only: no frame is queued for it.
        None::<SockProtocol>,
    )
    .map_err(io::Error::from)?;
    bind(socket.as_raw_fd(), &address).map_err(io::Error::from)?;
    Ok((socket, mac))
}

fn ethernet(link: u32) -> Option<(LinkAddr, [u8; 6])> {
    let index = usize::try_from(link).ok()?;
    getifaddrs().ok()?.find_map(|interface| {
        let address = *interface.address?.as_link_addr()?;
        let is_it = address.family() == Some(AddressFamily::Packet) && address.ifindex() == index;
        is_it.then_some((address, address.addr()?))
    })
}

fn frames(mac: [u8; 6], ip: IpAddr) -> Result<Vec<Vec<u8>>, Failure> {
    match ip {
        IpAddr::V4(ip) => [ArpOperation::REQUEST, ArpOperation::REPLY]
            .into_iter()
            .map(|operation| arp(mac, ip, operation))
            .collect(),
        IpAddr::V6(ip) => Ok(vec![advertisement(mac, ip)?]),
    }
}

/// Overrides what the neighbours know. Like the kernel's own answers it says that this is a router, for it forwards.
fn advertisement(mac: [u8; 6], ip: Ipv6Addr) -> Result<Vec<u8>, Failure> {
    let flags = NeighborAdvertisementHeader {
        router: true,
        solicited: false,
        r#override: true,
    };
    let (from, to) = (ip.octets(), ALL_NODES.octets());
    let builder = PacketBuilder::ethernet2(mac, ALL_NODES_MAC)
        .ipv6(from, to, HOPS_OF_NEIGHBOURS)
        .icmpv6(Icmpv6Type::NeighborAdvertisement(flags));
    let said = [&from[..], &TARGET_LINK_ADDRESS[..], &mac[..]].concat();
    let mut frame = Vec::with_capacity(builder.size(said.len()));
    builder.write(&mut frame, &said)?;
    Ok(frame)
}

fn arp(mac: [u8; 6], ip: Ipv4Addr, operation: ArpOperation) -> Result<Vec<u8>, Failure> {
    let target_mac = if operation == ArpOperation::REPLY {
        BROADCAST
    } else {
        [0; 6]
    };
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &mac,
        &ip.octets(),
        &target_mac,
        &ip.octets(),
    )
    .map_err(|_| Failure::NoEthernet(0))?;
    let builder = PacketBuilder::ethernet2(mac, BROADCAST).arp(packet);
    let mut frame = Vec::with_capacity(builder.size());
    builder.write(&mut frame)?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_the_ip_as_sender_and_as_target_to_everybody() {
        let mac = [2, 0, 0, 0, 0, 1];
        let frame = arp(mac, Ipv4Addr::new(10, 10, 0, 11), ArpOperation::REQUEST).unwrap();
        let ip = [10, 10, 0, 11];
        assert_eq!(frame[..6], BROADCAST);
        assert_eq!(frame[12..14], [0x08, 0x06]);
        assert_eq!(frame[20..22], [0, 1]);
        assert_eq!(frame[22..28], mac);
        assert_eq!(frame[28..32], ip);
        assert_eq!(frame[38..42], ip);
    }

    #[test]
    fn an_ipv6_address_is_advertised_to_all_nodes_and_overrides_what_they_know() {
        let mac = [2, 0, 0, 0, 0, 1];
        let ip: Ipv6Addr = "fd10::11".parse().unwrap();
        let [frame] = &frames(mac, ip.into()).unwrap()[..] else {
            panic!("one frame is enough");
        };
        assert_eq!(frame[..6], ALL_NODES_MAC);
        assert_eq!(frame[21], HOPS_OF_NEIGHBOURS);
        assert_eq!(frame[22..38], ip.octets());
        assert_eq!(frame[54..56], [136, 0]);
        assert_eq!(frame[58], 0xa0);
        assert_eq!(frame[62..78], ip.octets());
        assert_eq!(frame[78..], [2, 1, 2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_link_that_is_not_there_is_an_error_and_no_panic() {
        assert!(matches!(
            send_all(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], 999_999),
            Err(Failure::NoEthernet(_))
        ));
    }
}
