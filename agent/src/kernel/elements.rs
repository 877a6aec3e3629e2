//! Small changes of sets through netlink, without a process for each.
//!
//! Owns the encoding of entries, and their transaction: the kernel takes all of it or nothing, as it does of what `nft`
//! sends. Leaves to `nft` what only that can do (networks in sets of intervals) and what is too large for one message
//! to the kernel. Never reads what stands (see `super::nft`).

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use egret_domain::datapath::Change;
use egret_domain::net::Mac;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList,
    SetElementMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::Error;
use super::frame::TableFamily;
use super::nft::{LIMIT, Place, entries};
use super::settings::{Settings, TABLE};

/// More are worth a process, and may exceed what a socket sends at once.
const MOST_ENTRIES: usize = 500;
/// The kernel's number of nftables among the parts of netfilter (`NFNL_SUBSYS_NFTABLES`).
const NFTABLES: u16 = 10;
/// Parts of a concatenation begin at a multiple of so many bytes.
const REGISTER_BYTES: usize = 4;

/// A change of sets that the kernel takes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transaction {
    bytes: Vec<u8>,
    /// The kernel answers each message but the first and the last.
    answers: usize,
}

impl Transaction {
    /// The transaction for a list of changes; `None` if it is one for `nft`.
    pub(super) fn of(changes: &[Change], settings: &Settings) -> Option<Self> {
        let mut removed = BTreeMap::<Place, Vec<Entry>>::new();
        let mut added = BTreeMap::<Place, Vec<Entry>>::new();
        for change in changes {
            let (element, places) = match change {
                Change::Remove(element) => (element, &mut removed),
                Change::Add(element) => (element, &mut added),
            };
            for (place, key, value) in entries(element, settings) {
                let entry = Entry::of(&key, value.as_deref())?;
                places.entry(place).or_default().push(entry);
            }
        }
        let count: usize = removed.values().chain(added.values()).map(Vec::len).sum();
        (count <= MOST_ENTRIES).then(|| Self::encoded(removed, added))
    }

    fn encoded(removed: BTreeMap<Place, Vec<Entry>>, added: BTreeMap<Place, Vec<Entry>>) -> Self {
        let mut messages = vec![control(ControlMessage::BatchBegin)];
        let removed = removed.into_iter().map(|(place, entries)| {
            let message = NfTablesMessage::DeleteSetElement(list(place, entries));
            sent(place, 0, message)
        });
        let added = added.into_iter().map(|(place, entries)| {
            let message = NfTablesMessage::NewSetElement(list(place, entries));
            sent(place, NLM_F_CREATE, message)
        });
        messages.extend(removed.chain(added));
        let answers = messages.len().saturating_sub(1);
        messages.push(control(ControlMessage::BatchEnd));
        let numbered = messages.into_iter().zip(1..);
        Self {
            bytes: numbered
                .flat_map(|(message, number)| bytes(message, number))
                .collect(),
            answers,
        }
    }

    /// Has the kernel carry it out. That may have to wait for another program's change of its own ruleset, and so happens
    /// where nothing else waits.
    pub(super) async fn run(self) -> Result<(), Error> {
        let exchange = tokio::task::spawn_blocking(move || self.exchange());
        let done = tokio::time::timeout(LIMIT, exchange).await;
        let done = done.map_err(|_| Error::Elements(io::ErrorKind::TimedOut.into()))?;
        done.map_err(io::Error::other)
            .flatten()
            .map_err(Error::Elements)
    }

    /// The kernel works while it is sent to: when that has returned, all answers are there.
    fn exchange(&self) -> io::Result<()> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_non_blocking(true)?;
        socket.send(&self.bytes, 0)?;
        let mut answers = 0;
        while answers < self.answers {
            let (datagram, _) = socket.recv_from_full()?;
            answers += acknowledged(&datagram)?;
        }
        Ok(())
    }
}

/// How many messages the kernel says it has carried out; it is an error if it says of one that it has not.
fn acknowledged(mut datagram: &[u8]) -> io::Result<usize> {
    let mut count = 0;
    while !datagram.is_empty() {
        let message = NetlinkMessage::<NetfilterMessage>::deserialize(datagram);
        let message = message.map_err(io::Error::other)?;
        if let NetlinkPayload::Error(answer) = message.payload {
            if answer.code.is_some() {
                return Err(answer.to_io());
            }
            count += 1;
        }
        let length = NetlinkBuffer::new_checked(datagram)
            .map_err(io::Error::other)?
            .length();
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(count)
}

/// A key, and the value in a map, as the kernel has them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Entry {
    fn of(key: &str, value: Option<&str>) -> Option<Self> {
        Some(Self {
            key: data(key)?,
            value: match value {
                Some(value) => Some(data(value)?),
                None => None,
            },
        })
    }

    fn attributes(self) -> ListAttribute<SetElementAttribute> {
        let value = self.value.map(DataAttribute::Value);
        let key = SetElementAttribute::Key(DataAttribute::Value(self.key));
        let both = [Some(key), value.map(SetElementAttribute::Data)];
        ListAttribute::Element(both.into_iter().flatten().collect())
    }
}

/// A key or value; `None` for a network, which is an interval.
fn data(text: &str) -> Option<Vec<u8>> {
    if !text.contains(" . ") {
        return part(text);
    }
    let mut whole = Vec::new();
    for text in text.split(" . ") {
        whole.extend(part(text)?);
        whole.resize(whole.len().next_multiple_of(REGISTER_BYTES), 0);
    }
    Some(whole)
}

fn part(text: &str) -> Option<Vec<u8>> {
    let address = text.parse::<IpAddr>().map(|ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    });
    let mac = || text.parse::<Mac>().map(|mac| mac.0.to_vec()).ok();
    // A conntrack zone is the kernel's own number, and never on a wire.
    let zone = || {
        text.parse::<u16>()
            .map(|zone| zone.to_ne_bytes().to_vec())
            .ok()
    };
    address.ok().or_else(mac).or_else(zone)
}

fn list((_, set): Place, entries: Vec<Entry>) -> SetElementMessage {
    let elements = entries.into_iter().map(Entry::attributes).collect();
    SetElementMessage {
        attributes: vec![
            SetElementList::Table(TABLE.to_owned()),
            SetElementList::Set(set.to_owned()),
            SetElementList::Elements(elements),
        ],
    }
}

fn sent((family, _): Place, flags: u16, message: NfTablesMessage) -> Message {
    let family = match family {
        TableFamily::Ip => NetfilterProtoFamily::IPv4,
        TableFamily::Ip6 => NetfilterProtoFamily::IPv6,
        TableFamily::Netdev => NetfilterProtoFamily::NetDev,
    };
    Message {
        flags: NLM_F_REQUEST | NLM_F_ACK | flags,
        payload: NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message),
    }
}

fn control(message: ControlMessage) -> Message {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    Message {
        flags: NLM_F_REQUEST,
        payload: NetfilterMessage::new(header, NetfilterMessageInner::None(message)),
    }
}

struct Message {
    flags: u16,
    payload: NetfilterMessage,
}

fn bytes(message: Message, number: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = message.flags;
    header.sequence_number = number;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message.payload));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
    message.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_concatenation_begins_at_a_register() {
        let pair = data("02:e9:0a:0a:00:0b . 10.10.0.11").unwrap();
        assert_eq!(pair, [0x02, 0xe9, 10, 10, 0, 11, 0, 0, 10, 10, 0, 11]);
        assert_eq!(data("02:e9:0a:0a:00:0b").unwrap().len(), 6);
    }

    #[test]
    fn a_network_is_left_to_nft() {
        let network = egret_domain::datapath::Element::Except("10.244.0.0/16".parse().unwrap());
        let changes = [Change::Add(network)];
        assert_eq!(Transaction::of(&changes, &Settings::default()), None);
    }

    #[test]
    fn what_is_too_large_is_left_to_nft() {
        let peers = |count: u32| {
            let peers = (0..count).map(|number| {
                let peer = std::net::Ipv4Addr::from_bits(0x0a0a_0000 + number).into();
                Change::Add(egret_domain::datapath::Element::Peer(peer))
            });
            Transaction::of(&peers.collect::<Vec<_>>(), &Settings::default())
        };
        assert!(peers(500).is_some());
        assert!(peers(501).is_none());
    }
}
