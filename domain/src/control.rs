//! The operator's view of the cluster, and what follows for it: who has which egress IP, which nodes may hold it, and
//! what the objects should say.
//!
//! Owns the operator's index. Facts come in one by one; what each touches is decided anew, nothing else. It decides
//! nothing before everything that exists has been seen, and then first of all takes over what the objects already say,
//! so it may be thrown away and built anew at any moment. It remembers no decision that it cannot read back from the
//! objects. Never writes anything, never knows more of the time than it is told.
//!
//! Start reading at [`Control::decide`]: addresses (`allocation`), then nodes (`placing`), then words (`report`).

mod allocation;
mod beginning;
mod census;
mod fact;
mod liveness;
mod moving;
mod overlapped;
mod placing;
mod pools;
mod report;
mod verdict;
mod why;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;

pub use self::census::{Census, Counts, State};
pub use self::fact::{EgressFact, EgressStatus, Fact, PoolFact, Writer};
pub use self::liveness::{Sign, is_lost};
pub use self::writes::{EgressWrite, NodeWarning, Object, PoolWrite};

use self::liveness::Agents;
use self::overlapped::Overlapped;
use self::placing::Places;
use self::pools::Pools;
use self::why::{Hindrance, Why};
use crate::addresses::Addresses;
use crate::groups::Groups;
use crate::name::{EgressName, NodeName, PoolName};
use crate::placement::Node;

/// The operator's index.
#[derive(Debug, Default)]
pub struct Control {
    is_synced: bool,
    /// Whether another operator decides, or did before this one.
    is_superseded: bool,
    is_off: bool,
    egresses: BTreeMap<EgressName, Entry>,
    pools: Pools,
    nodes: BTreeMap<NodeName, Node>,
    /// Nodes whose agent reports that they cannot be a gateway; a report may come before its node.
    unfit: BTreeSet<NodeName>,
    addresses: Addresses,
    places: Places,
    /// Egresses by the pool in their spec.
    users: Groups<PoolName>,
    /// Egresses without an IP by what hinders them, where that may go away without a change of their own or their pool.
    waiting: Groups<Hindrance>,
    /// Egresses by `status.egressNode`.
    held: Groups<NodeName>,
    agents: Agents,
    overlapped: Overlapped,
    dirty: Dirty,
}

/// An Egress and what has been decided for it.
#[derive(Debug)]
struct Entry {
    fact: EgressFact,
    grant: Option<Grant>,
    /// Why there is no grant, for an Egress that wants one.
    refused: Option<Why>,
    /// The node that should hold the address.
    place: Option<NodeName>,
    candidates: Vec<NodeName>,
}

impl Entry {
    /// Whether it has an address that some node should hold.
    fn is_placed(&self) -> bool {
        self.grant.is_some() && !self.fact.deleting
    }
}

/// An address that an Egress has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    pool: PoolName,
    ip: IpAddr,
}

/// What has to be looked at.
#[derive(Debug, Default)]
struct Dirty {
    /// Egresses whose address is in question.
    addresses: BTreeSet<EgressName>,
    /// Addresses that others occupy than before.
    occupancy: BTreeSet<IpAddr>,
    /// Egresses whose candidates are in question.
    places: BTreeSet<EgressName>,
    /// Whether some node may be gone, or there again.
    agents: bool,
    /// Egresses whose objects may say something else than they should.
    egresses: BTreeSet<EgressName>,
    /// The same for pools.
    pools: BTreeSet<PoolName>,
    /// Nodes with a limit that is illegible since people have last been told.
    limits: BTreeSet<NodeName>,
}

impl Dirty {
    fn everything_of(&mut self, egress: &EgressName) {
        self.addresses.insert(egress.clone());
        self.places.insert(egress.clone());
        self.egresses.insert(egress.clone());
    }
}

impl Control {
    /// Notes a fact. Cheap: the conclusions are drawn by [`Control::decide`].
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Egress(fact) => self.set_egress(*fact),
            Fact::EgressGone(name) => self.remove_egress(&name),
            Fact::Pool(fact) => self.set_pool(*fact),
            Fact::PoolUnreadable(name) => self.set_pool_unreadable(&name),
            Fact::PoolGone(name) => self.remove_pool(&name),
            Fact::Node(node) => self.set_node(*node),
            Fact::NodeGone(name) => self.remove_node(&name),
            Fact::NodeFitness { node, is_fit } => self.set_fitness(node, is_fit),
            Fact::ReportGone(node) => self.remove_report(&node),
            Fact::Sign { node, sign } => self.set_sign(node, sign),
            Fact::Missed { by, nodes } => self.set_missed(&by, &nodes),
            Fact::Overlapped { node, egresses } => self.set_overlapped(&node, egresses),
            Fact::Off(is_off) => self.set_off(is_off),
            Fact::NotWritten(Object::Egress(name)) => {
                self.dirty.egresses.insert(name);
            }
            Fact::NotWritten(Object::Pool(name)) => {
                self.dirty.pools.insert(name);
            }
            Fact::Time(now_s) => self.places.moves.set_time(now_s),
            Fact::Synced => self.begin(),
            Fact::Superseded => self.step_back(),
        }
    }

    /// The objects that do not say what they should: what to write to each, [`Control::writes_to_egress`] and
    /// [`Control::writes_to_pool`] tell when its turn has come. Each is given once, and again whenever it has changed and
    /// still does not say it, or after [`Fact::NotWritten`].
    pub fn decide(&mut self) -> Vec<Object> {
        if !self.is_synced {
            self.rest();
            return Vec::new();
        }
        self.judge_agents();
        self.allocate();
        self.place();
        self.report()
    }

    /// What people should hear of nodes: each illegible limit once, and not what another operator has seen while it decided.
    pub fn take_warnings(&mut self) -> Vec<NodeWarning> {
        if !self.is_synced {
            return Vec::new();
        }
        let limits = take(&mut self.dirty.limits);
        let nodes = limits.iter().filter_map(|name| self.nodes.get(name));
        nodes.filter_map(verdict::of_limit).collect()
    }

    fn set_egress(&mut self, fact: EgressFact) {
        if self
            .egresses
            .get(&fact.name)
            .is_some_and(|entry| entry.fact == fact)
        {
            return;
        }
        let name = fact.name.clone();
        let before = self.egresses.remove(&name);
        self.regroup(before.as_ref().map(|before| &before.fact), Some(&fact));
        let is_placed_anew = before
            .as_ref()
            .is_none_or(|before| before.fact.is_placed_otherwise(&fact));
        let entry = match before {
            Some(before) => Entry { fact, ..before },
            None => Entry {
                fact,
                grant: None,
                refused: None,
                place: None,
                candidates: Vec::new(),
            },
        };
        self.egresses.insert(name.clone(), entry);
        self.dirty.addresses.insert(name.clone());
        self.dirty.egresses.insert(name.clone());
        if is_placed_anew {
            self.dirty.places.insert(name);
        }
    }

    fn remove_egress(&mut self, name: &EgressName) {
        let Some(gone) = self.egresses.remove(name) else {
            return;
        };
        self.regroup(Some(&gone.fact), None);
        self.wait_no_more(name, gone.refused.as_ref());
        self.places
            .forget(name, gone.place.as_ref(), &gone.candidates);
        self.occupy(name, BTreeSet::new());
    }

    /// Moves an Egress from the groups it was in to those it is in. A status that is written back leaves them as they
    /// are.
    fn regroup(&mut self, before: Option<&EgressFact>, now: Option<&EgressFact>) {
        let pool = |fact: Option<&EgressFact>| fact.and_then(|fact| fact.pool.clone());
        let Some(name) = now.or(before).map(|fact| &fact.name) else {
            return;
        };
        let (old, new) = (pool(before), pool(now));
        if old != new {
            self.users.exchange(old.as_ref(), new.as_ref(), name);
            self.dirty.pools.extend([old, new].into_iter().flatten());
        }
        let node = |fact: Option<&EgressFact>| fact.and_then(|fact| fact.status.node.clone());
        let (old, new) = (node(before), node(now));
        self.note_named(old.as_ref(), new.as_ref());
        self.held.exchange(old.as_ref(), new.as_ref(), name);
    }

    fn set_off(&mut self, is_off: bool) {
        if mem::replace(&mut self.is_off, is_off) != is_off {
            self.dirty.egresses.extend(self.egresses.keys().cloned());
        }
    }

    fn set_pool(&mut self, fact: PoolFact) {
        self.dirty.pools.insert(fact.name.clone());
        let concerned = self.pools.set(fact, &self.addresses);
        self.review_pools(concerned);
    }

    fn set_pool_unreadable(&mut self, name: &PoolName) {
        if self.pools.set_unreadable(name) {
            self.review_users_of(name);
        }
    }

    fn remove_pool(&mut self, name: &PoolName) {
        let concerned = self.pools.remove(name, &self.addresses);
        self.dirty.pools.remove(name);
        self.review_users_of(name);
        self.review_pools(concerned);
    }

    fn review_pools(&mut self, pools: BTreeSet<PoolName>) {
        for name in pools {
            self.review_users_of(&name);
            self.dirty.pools.insert(name);
        }
    }

    fn review_users_of(&mut self, pool: &PoolName) {
        for egress in self.users.of(pool) {
            self.dirty.everything_of(egress);
        }
    }

    fn set_node(&mut self, node: Node) {
        let name = node.name.clone();
        let is_fit = node.is_fit && !self.unfit.contains(&name);
        let before = self.nodes.insert(name.clone(), Node { is_fit, ..node });
        self.node_changed(&name, before.as_ref());
    }

    fn remove_node(&mut self, name: &NodeName) {
        let before = self.nodes.remove(name);
        self.places.moves.forget_node(name);
        self.node_changed(name, before.as_ref());
    }

    fn remove_report(&mut self, name: &NodeName) {
        self.places.moves.forget_report(name);
        self.fitness_changed(name.clone(), true);
        self.set_overlapped(name, BTreeSet::new());
    }

    fn set_fitness(&mut self, name: NodeName, is_fit: bool) {
        self.places.moves.note_report(&name);
        self.fitness_changed(name, is_fit);
    }

    fn fitness_changed(&mut self, name: NodeName, is_fit: bool) {
        let node = self.nodes.get(&name).cloned();
        if is_fit {
            self.unfit.remove(&name);
        } else {
            self.unfit.insert(name);
        }
        if let Some(node) = node {
            self.set_node(Node { is_fit, ..node });
        }
    }

    /// Where a node appears or disappears, those that it holds or held change; where it begins or ends to be eligible,
    /// those that could or did list it.
    fn node_changed(&mut self, name: &NodeName, before: Option<&Node>) {
        let limit = |node: Option<&Node>| node.and_then(|node| node.illegible_limit.clone());
        let now = limit(self.nodes.get(name));
        if now.is_some() && now != limit(before) {
            self.dirty.limits.insert(name.clone());
        }
        if before.is_some() != self.nodes.contains_key(name) {
            self.dirty.agents = true;
            for egress in self.held.of(name) {
                self.dirty.everything_of(egress);
            }
        }
        self.eligibility_changed(name, before);
    }

    /// The node that holds an Egress's IP according to its status, unless it is gone.
    fn holder<'a>(&self, fact: &'a EgressFact) -> Option<&'a NodeName> {
        fact.status
            .node
            .as_ref()
            .filter(|node| self.gone(node).is_none())
    }
}

/// Takes what has to be looked at, leaving nothing.
fn take<T: Default>(dirty: &mut T) -> T {
    mem::take(dirty)
}

#[cfg(test)]
mod tests;
