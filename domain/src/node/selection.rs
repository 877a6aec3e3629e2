//! Which Egresses select which of this node's Pods.
//!
//! Owns the matching and keeps it current: a Pod's event matches it against all Egresses, an Egress's event against
//! this node's Pods. Never knows where egress IPs are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::egress::Egress;
use crate::name::{EgressName, NamespaceName, PodName};
use crate::overlap::Precedence;
use crate::selector::{AppliedTo, Labels};

/// A Pod of this node that has its own network and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: PodName,
    /// Creation time in Unix seconds.
    pub created: i64,
    /// Its addresses, one of each family at most.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
}

#[derive(Debug, Default)]
pub(super) struct Selection {
    pods: BTreeMap<PodName, Pod>,
    namespaces: BTreeMap<NamespaceName, Labels>,
    egresses: BTreeMap<EgressName, (Precedence, AppliedTo)>,
    choices: BTreeMap<PodName, BTreeSet<Precedence>>,
    by_address: BTreeMap<IpAddr, BTreeSet<PodName>>,
}

/// Every method that changes something returns the Pod addresses whose choice may have changed.
impl Selection {
    pub(super) fn set_pod(&mut self, pod: Pod) -> BTreeSet<IpAddr> {
        let mut touched = self.forget_addresses(&pod.name);
        touched.extend(&pod.addresses);
        for address in &pod.addresses {
            self.by_address
                .entry(*address)
                .or_default()
                .insert(pod.name.clone());
        }
        let name = pod.name.clone();
        self.pods.insert(name.clone(), pod);
        self.match_pod(&name);
        touched
    }

    pub(super) fn remove_pod(&mut self, name: &PodName) -> BTreeSet<IpAddr> {
        let touched = self.forget_addresses(name);
        self.pods.remove(name);
        self.choices.remove(name);
        touched
    }

    pub(super) fn set_namespace(
        &mut self,
        name: &NamespaceName,
        labels: Labels,
    ) -> BTreeSet<IpAddr> {
        if self.namespaces.get(name) == Some(&labels) {
            return BTreeSet::new();
        }
        self.namespaces.insert(name.clone(), labels);
        self.match_namespace(name)
    }

    pub(super) fn remove_namespace(&mut self, name: &NamespaceName) -> BTreeSet<IpAddr> {
        self.namespaces.remove(name);
        self.match_namespace(name)
    }

    pub(super) fn set_egress(&mut self, egress: &Egress) -> BTreeSet<IpAddr> {
        let rule = (Precedence::of(egress), egress.applied_to.clone());
        if egress.deleting {
            return self.remove_egress(&egress.name);
        }
        if self.egresses.get(&egress.name) == Some(&rule) {
            return BTreeSet::new();
        }
        let mut touched = self.remove_egress(&egress.name);
        let (precedence, applied_to) = &rule;
        for (name, pod) in &self.pods {
            if applied_to.selects(&pod.labels, self.namespaces.get(&name.namespace)) {
                self.choices
                    .entry(name.clone())
                    .or_default()
                    .insert(precedence.clone());
                touched.extend(&pod.addresses);
            }
        }
        self.egresses.insert(egress.name.clone(), rule);
        touched
    }

    pub(super) fn remove_egress(&mut self, name: &EgressName) -> BTreeSet<IpAddr> {
        let Some((precedence, _)) = self.egresses.remove(name) else {
            return BTreeSet::new();
        };
        let mut touched = BTreeSet::new();
        for (pod, choices) in &mut self.choices {
            if choices.remove(&precedence) {
                touched.extend(
                    self.pods
                        .get(pod)
                        .into_iter()
                        .flat_map(|pod| &pod.addresses),
                );
            }
        }
        touched
    }

    /// The Egresses that select the Pod of this address, the one in force first.
    pub(super) fn choices_of(&self, address: IpAddr) -> impl Iterator<Item = &EgressName> {
        let choices = self
            .owner_of(address)
            .and_then(|pod| self.choices.get(&pod.name));
        choices.into_iter().flatten().map(Precedence::egress)
    }

    /// Addresses of the Pods that this Egress selects.
    pub(super) fn users_of(&self, egress: &EgressName) -> BTreeSet<IpAddr> {
        let Some((precedence, _)) = self.egresses.get(egress) else {
            return BTreeSet::new();
        };
        self.choices
            .iter()
            .filter(|(_, choices)| choices.contains(precedence))
            .filter_map(|(name, _)| self.pods.get(name))
            .flat_map(|pod| pod.addresses.iter().copied())
            .collect()
    }

    /// All Pods' addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// The Pod that has this address now: an address may be given to a new Pod before the old one is seen to be gone.
    fn owner_of(&self, address: IpAddr) -> Option<&Pod> {
        let pods = self
            .by_address
            .get(&address)?
            .iter()
            .filter_map(|name| self.pods.get(name));
        pods.max_by_key(|pod| (pod.created, &pod.name))
    }

    fn forget_addresses(&mut self, name: &PodName) -> BTreeSet<IpAddr> {
        let Some(pod) = self.pods.get(name) else {
            return BTreeSet::new();
        };
        for address in &pod.addresses {
            if let Some(names) = self.by_address.get_mut(address) {
                names.remove(name);
                if names.is_empty() {
                    self.by_address.remove(address);
                }
            }
        }
        pod.addresses.iter().copied().collect()
    }

    fn match_namespace(&mut self, namespace: &NamespaceName) -> BTreeSet<IpAddr> {
        let names: Vec<_> = self
            .pods
            .keys()
            .filter(|pod| pod.namespace == *namespace)
            .cloned()
            .collect();
        for name in &names {
            self.match_pod(name);
        }
        let pods = names.iter().filter_map(|name| self.pods.get(name));
        pods.flat_map(|pod| pod.addresses.iter().copied()).collect()
    }

    /// Matches a Pod against every Egress.
    fn match_pod(&mut self, name: &PodName) {
        let Some(pod) = self.pods.get(name) else {
            return;
        };
        let namespace = self.namespaces.get(&name.namespace);
        let choices = self
            .egresses
            .values()
            .filter(|(_, applied_to)| applied_to.selects(&pod.labels, namespace))
            .map(|(precedence, _)| precedence.clone())
            .collect();
        self.choices.insert(name.clone(), choices);
    }
}
