//! Telling the neighbours where an egress IP is now.
//!
//! Owns gratuitous ARP (RFC 5227, section 3: announcements; here as request and as reply, for some switches and
//! hosts heed only one). Never answers ARP: the kernel does.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, send,
    socket,
};
use thiserror::Error;
use tracing::warn;

const BROADCAST: [u8; 6] = [0xff; 6];
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
    let ips: Vec<_> = ips.iter().filter_map(as_v4).collect();
    report(send_all(&ips, link));
    tokio::spawn(async move {
        for pause in REPEAT_AFTER {
            tokio::time::sleep(pause).await;
            report(send_all(&ips, link));
        }
    });
}

fn as_v4(ip: &IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    }
}

fn report(result: Result<(), Failure>) {
    if let Err(error) = result {
        warn!(
            error = egret_runtime::describe(&error),
            "cannot announce egress IPs"
        );
    }
}

fn send_all(ips: &[Ipv4Addr], link: u32) -> Result<(), Failure> {
    let (socket, mac) = open(link)?;
    for ip in ips {
        for operation in [ArpOperation::REQUEST, ArpOperation::REPLY] {
            let frame = frame(mac, *ip, operation)?;
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

fn frame(mac: [u8; 6], ip: Ipv4Addr, operation: ArpOperation) -> Result<Vec<u8>, Failure> {
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
        let frame = frame(mac, Ipv4Addr::new(10, 10, 0, 11), ArpOperation::REQUEST).unwrap();
        let ip = [10, 10, 0, 11];
        assert_eq!(frame[..6], BROADCAST);
        assert_eq!(frame[12..14], [0x08, 0x06]);
        assert_eq!(frame[20..22], [0, 1]);
        assert_eq!(frame[22..28], mac);
        assert_eq!(frame[28..32], ip);
        assert_eq!(frame[38..42], ip);
    }

    #[test]
    fn a_link_that_is_not_there_is_an_error_and_no_panic() {
        assert!(matches!(
            send_all(&[Ipv4Addr::LOCALHOST], 999_999),
            Err(Failure::NoEthernet(_))
        ));
    }
}
