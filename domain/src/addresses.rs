//! Who occupies which egress IP.
//!
//! Owns the rule that an IP is not free while anybody has it: by grant, because a user has placed it (static), or
//! because a node still answers for it. Never decides who gets it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::datapath::identity;
use crate::groups::Groups;
use crate::name::EgressName;
use crate::net::{IpRange, Mac};

/// Occupied addresses, from both sides, and what stands for them inside the tunnel.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    occupants: Groups<IpAddr>,
    of: BTreeMap<EgressName, BTreeSet<IpAddr>>,
    /// IPv6 addresses have hashes there, and hashes collide.
    identities: BTreeMap<Mac, BTreeSet<IpAddr>>,
}

impl Addresses {
    /// Makes `now` the addresses of an Egress. Gives those that it did not occupy before, and those it has left.
    pub(crate) fn set(
        &mut self,
        egress: &EgressName,
        now: BTreeSet<IpAddr>,
    ) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let before = self.of.remove(egress).unwrap_or_default();
        let taken: Vec<_> = now.difference(&before).copied().collect();
        let left: Vec<_> = before.difference(&now).copied().collect();
        for ip in &taken {
            self.occupants.insert(ip, egress);
            self.identities
                .entry(identity(*ip))
                .or_default()
                .insert(*ip);
        }
        for ip in &left {
            self.occupants.remove(ip, egress);
            self.forget_if_free(*ip);
        }
        if !now.is_empty() {
            self.of.insert(egress.clone(), now);
        }
        (taken, left)
    }

    fn forget_if_free(&mut self, ip: IpAddr) {
        let identity = identity(ip);
        if self.is_free(ip)
            && let Some(same) = self.identities.get_mut(&identity)
        {
            same.remove(&ip);
            if same.is_empty() {
                self.identities.remove(&identity);
            }
        }
    }

    /// Whether nobody occupies it.
    pub(crate) fn is_free(&self, ip: IpAddr) -> bool {
        self.occupants.count(&ip) == 0
    }

    /// All addresses that are not free.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = IpAddr> {
        self.occupants.keys().copied()
    }

    /// The addresses of a range that are not free, in ascending order, each with who occupies it.
    pub(crate) fn occupied_in(
        &self,
        range: IpRange,
    ) -> impl Iterator<Item = (IpAddr, &BTreeSet<EgressName>)> {
        self.occupants
            .range(range.start()..=range.end())
            .map(|(ip, occupants)| (*ip, occupants))
    }

    /// Who else occupies it, by name.
    pub(crate) fn others<'a>(
        &'a self,
        ip: IpAddr,
        egress: &'a EgressName,
    ) -> impl Iterator<Item = &'a EgressName> {
        self.occupants
            .of(&ip)
            .filter(move |occupant| *occupant != egress)
    }

    /// Another occupied address that nodes could not tell from this one inside the tunnel.
    pub(crate) fn twin(&self, ip: IpAddr) -> Option<IpAddr> {
        self.identities
            .get(&identity(ip))?
            .iter()
            .copied()
            .find(|other| *other != ip)
    }
}

/// Two IPv6 addresses with the same identity.
#[cfg(test)]
pub(crate) fn twins() -> (IpAddr, IpAddr) {
    let mut seen = BTreeMap::new();
    for number in 1_u128.. {
        let ip = IpAddr::from(std::net::Ipv6Addr::from_bits(0xfd00 << 112 | number));
        if let Some(twin) = seen.insert(crate::datapath::identity(ip), ip) {
            return (twin, ip);
        }
    }
    unreachable!("hashes of 32 bits collide")
}
