//! One node's view of the cluster, and what follows for its datapath and its reports.
//!
//! Owns the agent's index: facts come in one by one, and what each touches is planned anew, nothing else. Never sees
//! other nodes' Pods, never talks to the kernel or the API.
//!
//! Start at [`Index::apply`], then [`Index::take_changes`].

mod cluster;
mod fact;
mod selection;
mod tracked;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::datapath::{Change, Element, diff, identity};
use crate::egress::{Egress, Mode};
use crate::name::{EgressName, NodeName, PoolName};
use crate::net::{Cidr, Family};
use crate::ownership::{self, Membership, Report};

use cluster::Cluster;
pub use cluster::ClusterNode;
pub use fact::{EgressFact, Fact, Pool, UnusableEgress};
pub use selection::Pod;
use selection::Selection;
use tracked::Tracked;

/// What is planned together, because one fact decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// Excepted destinations and tunnel peers.
    Cluster,
    /// The gateway of one egress IP.
    EgressIp(IpAddr),
    /// The way of one Pod address.
    PodIp(IpAddr),
}

/// One node's view of the cluster.
#[derive(Debug)]
pub struct Index {
    me: NodeName,
    /// The families that the node's datapath serves.
    families: &'static [Family],
    selection: Selection,
    cluster: Cluster,
    pools: BTreeMap<PoolName, Pool>,
    egresses: BTreeMap<EgressName, Tracked>,
    by_ip: BTreeMap<IpAddr, BTreeSet<EgressName>>,
    local_addresses: BTreeSet<IpAddr>,
    /// The nodes whose agents answer, also those that the API does not know (yet, or any more).
    answering: BTreeSet<NodeName>,
    membership: Membership,
    /// Whether all that there is has been told: half of it would lead to wrong beliefs about who holds what.
    is_complete: bool,
    planned: BTreeMap<Unit, BTreeSet<Element>>,
    touched: BTreeSet<Unit>,
    to_report: BTreeSet<EgressName>,
}

impl Index {
    /// The view of a node that knows nothing yet. Its datapath serves these `families`: it neither plans for others nor
    /// holds their egress IPs. `except` are destinations that always keep their path.
    pub fn new(me: NodeName, families: &'static [Family], except: Vec<Cidr>) -> Self {
        let alive = BTreeSet::from([me.clone()]);
        Self {
            membership: Membership {
                me: me.clone(),
                alive,
                known: 0,
                settled: false,
            },
            me,
            families,
            selection: Selection::default(),
            cluster: Cluster::new(except),
            pools: BTreeMap::new(),
            egresses: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            local_addresses: BTreeSet::new(),
            answering: BTreeSet::new(),
            is_complete: false,
            planned: BTreeMap::new(),
            touched: BTreeSet::from([Unit::Cluster]),
            to_report: BTreeSet::new(),
        }
    }

    /// Takes in one fact.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Egress(fact) => self.set_egress(*fact),
            Fact::EgressUnusable(fact) => self.set_unusable(*fact),
            Fact::EgressGone(name) => self.remove_egress(&name),
            Fact::Pool(name, pool) => {
                self.touch_those_that_wait_for(&name);
                self.pools.insert(name, pool);
            }
            Fact::PoolGone(name) => {
                self.touch_those_that_wait_for(&name);
                self.pools.remove(&name);
            }
            Fact::Pod(pod) => {
                let touched = self.selection.set_pod(pod);
                self.touch_pods(touched);
            }
            Fact::PodGone(name) => {
                let touched = self.selection.remove_pod(&name);
                self.touch_pods(touched);
            }
            Fact::Namespace(name, labels) => {
                let touched = self.selection.set_namespace(&name, labels);
                self.touch_pods(touched);
            }
            Fact::NamespaceGone(name) => {
                let touched = self.selection.remove_namespace(&name);
                self.touch_pods(touched);
            }
            Fact::Node(node) => self.set_node(*node),
            Fact::NodeGone(name) => self.remove_node(&name),
            Fact::ServiceCidrs(cidrs) => {
                self.cluster.set_service_cidrs(cidrs);
                self.touched.insert(Unit::Cluster);
            }
            Fact::LocalAddresses(addresses) => self.set_local_addresses(addresses),
            Fact::Alive { nodes, settled } => self.set_alive(nodes, settled),
        }
    }

    /// All that there is has been told; from now on holders are named.
    pub fn complete(&mut self) {
        self.is_complete = true;
        self.reconsider_all();
    }

    /// What changes in the kernel for the facts taken in since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let touched = std::mem::take(&mut self.touched);
        touched
            .into_iter()
            .flat_map(|unit| self.replan(unit))
            .collect()
    }

    /// All that should stand in the kernel, as of the last [`Self::take_changes`].
    pub fn planned(&self) -> BTreeSet<Element> {
        self.planned.values().flatten().copied().collect()
    }

    /// What this node has to say in the status of each Egress that was touched since the last call; `None` where
    /// the status says it already, or where it is not this node's to say.
    pub fn take_reports(&mut self) -> Vec<(EgressName, Option<Report>)> {
        std::mem::take(&mut self.to_report)
            .into_iter()
            .map(|name| (name.clone(), self.report(&name)))
            .collect()
    }

    fn report(&self, name: &EgressName) -> Option<Report> {
        let tracked = self.egresses.get(name)?;
        ownership::report(
            &self.me,
            tracked.holding().as_ref(),
            tracked.fact.reported.as_ref(),
        )
    }

    /// The egress IPs that this node holds.
    pub fn held(&self) -> BTreeSet<IpAddr> {
        self.by_ip
            .keys()
            .copied()
            .filter(|ip| self.is_held_here(*ip))
            .collect()
    }

    /// The families in which this node should be able to hold egress IPs: those of its addresses, and IPv6 only once there
    /// is such an egress IP, for many a node has IPv6 addresses in a cluster that does not use them.
    pub fn expected_families(&self) -> BTreeSet<Family> {
        let own = self.cluster.families_of(&self.me);
        let is_used = |family| self.by_ip.keys().any(|ip| Family::of(*ip) == family);
        let expected = |family: &Family| *family == Family::V4 || is_used(*family);
        own.into_iter().filter(expected).collect()
    }

    /// How many of this node's Pod addresses an Egress selects, also those that wait for their egress IP.
    pub fn pods_served(&self) -> usize {
        self.planned
            .iter()
            .filter(|(unit, elements)| matches!(unit, Unit::PodIp(_)) && !elements.is_empty())
            .count()
    }

    /// The nodes that this one misses: their agents should answer and do not. None before silence may be taken for that.
    pub fn missed(&self) -> BTreeSet<NodeName> {
        let peers = self.cluster.addresses(&self.me).into_keys();
        peers
            .filter(|peer| !self.membership.is_alive(peer))
            .collect()
    }

    /// The nodes to gossip with, and their addresses.
    pub fn peers(&self) -> BTreeMap<NodeName, IpAddr> {
        self.cluster.addresses(&self.me)
    }

    fn touch_pods(&mut self, addresses: BTreeSet<IpAddr>) {
        self.touched.extend(addresses.into_iter().map(Unit::PodIp));
    }

    fn set_egress(&mut self, fact: EgressFact) {
        let name = fact.egress.name.clone();
        self.touch_users(&name);
        let before = self.egresses.remove(&name);
        self.forget_ip(&name, before.as_ref().and_then(Tracked::egress_ip));
        let last = before
            .filter(|old| old.is_followed_by(&fact))
            .and_then(|old| old.last)
            .or_else(|| fact.reported.as_ref().map(|reported| reported.node.clone()));
        let touched = self.selection.set_egress(&fact.egress);
        self.touch_pods(touched);
        let tracked = Tracked {
            fact,
            last,
            holder: None,
        };
        if let Some(ip) = tracked.egress_ip() {
            self.by_ip.entry(ip).or_default().insert(name.clone());
        }
        self.egresses.insert(name.clone(), tracked);
        self.touch_users(&name);
        self.reconsider(&name);
        self.touch_egress_ip(&name);
    }

    /// Leaves an Egress as it was known; one that was not selects Pods and has no IP.
    fn set_unusable(&mut self, unusable: UnusableEgress) {
        let known = self.egresses.get(&unusable.name);
        let known = known.filter(|known| known.fact.egress.uid == unusable.uid);
        let fact = match known {
            Some(known) => EgressFact {
                egress: Egress {
                    deleting: unusable.deleting,
                    ..known.fact.egress.clone()
                },
                is_allocated: known.fact.is_allocated,
                candidates: unusable.candidates,
                reported: unusable.reported,
            },
            None => unusable.without_ip(),
        };
        self.set_egress(fact);
    }

    fn remove_egress(&mut self, name: &EgressName) {
        self.touch_users(name);
        self.to_report.insert(name.clone());
        let before = self.egresses.remove(name);
        self.forget_ip(name, before.and_then(|old| old.egress_ip()));
        let touched = self.selection.remove_egress(name);
        self.touch_pods(touched);
    }

    fn forget_ip(&mut self, name: &EgressName, ip: Option<IpAddr>) {
        let Some(ip) = ip else { return };
        self.touched.insert(Unit::EgressIp(ip));
        if let Some(names) = self.by_ip.get_mut(&ip) {
            names.remove(name);
            if names.is_empty() {
                self.by_ip.remove(&ip);
            }
        }
    }

    /// The users of all Egresses that share this one's IP: whether it is held here, one decides for all.
    fn touch_users(&mut self, name: &EgressName) {
        let ip = self.egresses.get(name).and_then(Tracked::egress_ip);
        let sharing = ip.and_then(|ip| self.by_ip.get(&ip)).into_iter().flatten();
        let users = sharing
            .chain([name])
            .flat_map(|name| self.selection.users_of(name))
            .collect();
        self.touch_pods(users);
    }

    fn touch_egress_ip(&mut self, name: &EgressName) {
        let ip = self.egresses.get(name).and_then(Tracked::egress_ip);
        self.touched.extend(ip.map(Unit::EgressIp));
    }

    /// Names the holder of one Egress anew.
    fn reconsider(&mut self, name: &EgressName) {
        self.to_report.insert(name.clone());
        let Some(tracked) = self.egresses.get(name).filter(|_| self.is_complete) else {
            return;
        };
        let holder = self.holder_of(tracked);
        if holder == tracked.holder {
            return;
        }
        if let Some(tracked) = self.egresses.get_mut(name) {
            tracked.last = holder.clone().or_else(|| tracked.last.take());
            tracked.holder = holder;
        }
        self.touch_egress_ip(name);
        self.touch_users(name);
    }

    fn reconsider_all(&mut self) {
        let names: Vec<_> = self.egresses.keys().cloned().collect();
        for name in &names {
            self.reconsider(name);
        }
    }

    fn holder_of(&self, tracked: &Tracked) -> Option<NodeName> {
        let ip = tracked
            .egress_ip()
            .filter(|ip| self.serves(Family::of(*ip)))?;
        let EgressFact {
            egress,
            candidates,
            reported,
            ..
        } = &tracked.fact;
        let reported = reported.as_ref().map(|reported| &reported.node);
        match &egress.mode {
            Mode::Static { .. } => {
                // The operator clears what a node reports that is not in the cluster.
                let is_member = self.cluster.has(&self.me);
                let is_local = is_member && self.local_addresses.contains(&ip);
                ownership::static_holder(is_local, reported, &self.membership)
            }
            Mode::Pooled { pool, .. } => {
                let named = tracked.last.as_ref();
                let last = ownership::last_holder(named, reported, &self.membership);
                let eligible = || self.eligible(pool, ip);
                ownership::holder(candidates, last, &self.membership, eligible)
            }
        }
    }

    fn serves(&self, family: Family) -> bool {
        self.families.contains(&family)
    }

    /// All nodes that the pool allows, in the order that every agent computes alike.
    fn eligible(&self, pool: &PoolName, ip: IpAddr) -> Vec<NodeName> {
        let known = self.pools.get(pool);
        known
            .map(|known| self.cluster.ranked(pool, &known.nodes, ip))
            .unwrap_or_default()
    }

    fn set_node(&mut self, node: ClusterNode) {
        if self.cluster.set_node(node) {
            self.nodes_changed();
        }
    }

    fn remove_node(&mut self, name: &NodeName) {
        self.cluster.remove_node(name);
        self.nodes_changed();
    }

    fn nodes_changed(&mut self) {
        self.touched.insert(Unit::Cluster);
        self.count_members();
        self.touched
            .extend(self.by_ip.keys().copied().map(Unit::EgressIp));
        self.reconsider_all();
    }

    fn set_local_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        let changed: Vec<_> = self
            .local_addresses
            .symmetric_difference(&addresses)
            .copied()
            .collect();
        self.local_addresses = addresses;
        let names = changed
            .iter()
            .filter_map(|ip| self.by_ip.get(ip))
            .flatten()
            .cloned();
        for name in names.collect::<Vec<_>>() {
            self.reconsider(&name);
        }
    }

    fn set_alive(&mut self, nodes: BTreeSet<NodeName>, settled: bool) {
        self.answering = nodes;
        self.membership.settled = settled;
        self.count_members();
        self.reconsider_all();
    }

    /// Who is not a node of the cluster counts neither among the living nor among those there should be.
    fn count_members(&mut self) {
        self.membership.known = self.cluster.linux_nodes();
        let members = self.answering.iter().filter(|node| self.cluster.has(node));
        self.membership.alive = members.chain([&self.me]).cloned().collect();
    }

    fn is_held_here(&self, ip: IpAddr) -> bool {
        self.sharing(ip)
            .any(|tracked| tracked.holder.as_ref() == Some(&self.me))
    }

    fn sharing(&self, ip: IpAddr) -> impl Iterator<Item = &Tracked> {
        let names = self.by_ip.get(&ip).into_iter().flatten();
        names.filter_map(|name| self.egresses.get(name))
    }

    fn replan(&mut self, unit: Unit) -> Vec<Change> {
        let should: BTreeSet<_> = match unit {
            Unit::Cluster => {
                let elements = self.cluster.elements().into_iter();
                elements.filter(|one| self.serves(one.family())).collect()
            }
            Unit::EgressIp(ip) | Unit::PodIp(ip) if !self.serves(Family::of(ip)) => BTreeSet::new(),
            Unit::EgressIp(ip) => self.gateway_elements(ip),
            Unit::PodIp(ip) => self.pod_element(ip).into_iter().collect(),
        };
        let is = self.planned.remove(&unit).unwrap_or_default();
        let changes = diff(&is, &should);
        if !should.is_empty() {
            self.planned.insert(unit, should);
        }
        changes
    }

    fn gateway_elements(&self, egress_ip: IpAddr) -> BTreeSet<Element> {
        let identity = identity(egress_ip);
        let pooled = self
            .sharing(egress_ip)
            .any(|tracked| !tracked.fact.egress.is_static());
        if self.is_held_here(egress_ip) {
            let answered = [Element::Guard(egress_ip), Element::Address(egress_ip)];
            return std::iter::once(Element::Gateway {
                identity,
                egress_ip,
            })
            .chain(answered.into_iter().filter(|_| pooled))
            .collect();
        }
        let node = self
            .sharing(egress_ip)
            .find_map(|tracked| tracked.holder.as_ref());
        node.and_then(|node| self.cluster.address_of(node, &self.me))
            .map(|node| Element::Forward { identity, node })
            .into_iter()
            .chain(pooled.then_some(Element::Elsewhere(egress_ip)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
