//! The way of this node's Pods' packets: which Egress is in force for each address.
//!
//! Owns which families an Egress is for: a Pod of both may have an Egress for each. Never decides who holds an egress IP.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Index, Tracked};
use crate::datapath::{Element, identity};
use crate::egress::{Egress, Mode};
use crate::name::{EgressName, PoolName};
use crate::net::Family;

impl Index {
    /// The Egresses that select a Pod of this node which uses another one of their family.
    pub fn overlapped(&self) -> BTreeSet<EgressName> {
        let addresses = self.selection.addresses();
        let losers = addresses.flat_map(|pod| self.choices_of(pod).skip(1));
        losers.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn touch_those_that_wait_for(&mut self, pool: &PoolName) {
        let is_waiting = |tracked: &Tracked| {
            let Egress { mode, .. } = &tracked.fact.egress;
            matches!(mode, Mode::Pooled { pool: wanted, ip: None } if wanted == pool)
        };
        let waiting = self.egresses.iter();
        let waiting: Vec<_> = waiting
            .filter(|(_, tracked)| is_waiting(tracked))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &waiting {
            self.touch_users(name);
        }
    }

    /// The Egresses that select the Pod of this address and are not of the other family, the one in force first.
    fn choices_of(&self, pod: IpAddr) -> impl Iterator<Item = (&EgressName, &Tracked)> {
        let choices = self.selection.choices_of(pod);
        let known = choices.filter_map(|name| Some((name, self.egresses.get(name)?)));
        known.filter(move |(_, tracked)| self.is_for(&tracked.fact.egress, Family::of(pod)))
    }

    /// Whether an Egress is for packets of a family. One that waits for an address is for all that it could get.
    fn is_for(&self, egress: &Egress, family: Family) -> bool {
        match (&egress.mode, egress.spec_ip()) {
            (_, Some(ip)) => Family::of(ip) == family,
            (Mode::Pooled { pool, .. }, None) => {
                let pool = self.pools.get(pool);
                pool.is_none_or(|pool| pool.families.contains(&family))
            }
            (Mode::Static { .. }, None) => true,
        }
    }

    /// The way of a Pod address: that of the first Egress that selects it and is not of the other family.
    pub(super) fn pod_element(&self, pod: IpAddr) -> Option<Element> {
        let (_, first) = self.choices_of(pod).next()?;
        Some(match first.egress_ip() {
            Some(egress_ip) if self.is_held_here(egress_ip) => Element::Local { pod, egress_ip },
            egress_ip => Element::Remote {
                pod,
                identity: egress_ip.map(identity),
            },
        })
    }
}
