//! The API server and the agents, as far as the operator can tell: objects that decisions change, and nodes that take
//! and leave egress IPs.

use std::collections::BTreeMap;

use super::*;
use crate::condition::{Recorded, Type, merge};
use crate::pool::PoolSpec;

/// More rounds than any chain of writes needs.
const ROUNDS: usize = 12;

/// All objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct World {
    pub(super) egresses: BTreeMap<EgressName, EgressFact>,
    pub(super) pools: BTreeMap<PoolName, PoolFact>,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    /// What agents report of their nodes: whether these can be gateways.
    pub(super) reports: BTreeMap<NodeName, bool>,
    pub(super) signs: BTreeMap<NodeName, Sign>,
    /// By agent, the nodes that it has not heard of for eight seconds.
    pub(super) missed: BTreeMap<NodeName, BTreeSet<NodeName>>,
}

impl World {
    /// Everything that exists, as facts.
    pub(super) fn facts(&self) -> Vec<Fact> {
        let egresses = self
            .egresses
            .values()
            .cloned()
            .map(|fact| Fact::Egress(Box::new(fact)));
        let pools = self
            .pools
            .values()
            .cloned()
            .map(|fact| Fact::Pool(Box::new(fact)));
        let nodes = self
            .nodes
            .values()
            .cloned()
            .map(|node| Fact::Node(Box::new(node)));
        let reports = self.reports.keys().map(|node| self.report_of(node));
        let signs = self.signs.keys().map(|node| self.sign_of(node));
        let missed = self.missed.keys().map(|by| self.missed_by(by));
        let agents = reports.chain(signs).chain(missed);
        egresses.chain(pools).chain(nodes).chain(agents).collect()
    }

    pub(super) fn report_of(&self, node: &NodeName) -> Fact {
        let node = node.clone();
        match self.reports.get(&node) {
            Some(&is_fit) => Fact::NodeFitness { node, is_fit },
            None => Fact::ReportGone(node),
        }
    }

    pub(super) fn sign_of(&self, node: &NodeName) -> Fact {
        Fact::Sign {
            node: node.clone(),
            sign: self.signs.get(node).copied(),
        }
    }

    pub(super) fn missed_by(&self, by: &NodeName) -> Fact {
        Fact::Missed {
            by: by.clone(),
            nodes: self.missed.get(by).cloned().unwrap_or_default(),
        }
    }

    /// Whether somebody has lost sight of a node: it may be without power.
    fn is_away(&self, node: &NodeName) -> bool {
        let is_silent = self.signs.get(node) == Some(&Sign::Ceased);
        is_silent || self.missed.values().any(|nodes| nodes.contains(node))
    }

    /// An operator that has just started and seen everything.
    pub(super) fn started(&self) -> Control {
        let mut control = Control::default();
        for fact in self.facts() {
            control.apply(fact);
        }
        control.apply(Fact::Synced);
        control
    }

    /// Lets the operator write until it has nothing to write.
    pub(super) fn settle(&mut self, control: &mut Control) {
        for _ in 0..ROUNDS {
            let objects = control.decide();
            if objects.is_empty() {
                return;
            }
            for object in objects {
                self.write(&object, control);
            }
        }
        panic!(
            "still writing after {ROUNDS} rounds: {:?}",
            control.decide()
        );
    }

    /// Writes to an object what it should say. After each write the watch reports it.
    fn write(&mut self, object: &Object, control: &mut Control) {
        match object {
            Object::Egress(name) => {
                for write in control.writes_to_egress(name) {
                    self.write_egress(name, write);
                    control.apply(self.fact_of(object));
                }
            }
            Object::Pool(name) => {
                for write in control.writes_to_pool(name) {
                    self.write_pool(name, write);
                    control.apply(self.fact_of(object));
                }
            }
        }
    }

    fn write_egress(&mut self, name: &EgressName, write: EgressWrite) {
        let Some(egress) = self.egresses.get_mut(name) else {
            return;
        };
        match write {
            EgressWrite::Own { finalizer, ip } => own(egress, finalizer, ip),
            EgressWrite::Release => {
                egress.has_finalizer = false;
                if egress.deleting {
                    self.egresses.remove(name);
                }
            }
            EgressWrite::Status {
                candidates,
                conditions,
            } => {
                egress.status.candidates = candidates;
                egress.status.conditions = recorded(&egress.status.conditions, conditions);
            }
            EgressWrite::ClearHolder { node, because }
                if egress.status.node.as_ref() == Some(&node) =>
            {
                let_go(egress);
                let said = merge(&egress.status.conditions, because, 0);
                egress.status.conditions.push(said);
            }
            EgressWrite::ClearHolder { .. } => {}
        }
    }

    fn write_pool(&mut self, name: &PoolName, write: PoolWrite) {
        let Some(pool) = self.pools.get_mut(name) else {
            return;
        };
        match write {
            PoolWrite::Guard => pool.has_finalizer = true,
            PoolWrite::Release => {
                pool.has_finalizer = false;
                if pool.deleting {
                    self.pools.remove(name);
                }
            }
            PoolWrite::Status { usage, conditions } => {
                pool.usage = usage;
                pool.conditions = recorded(&pool.conditions, conditions);
            }
        }
    }

    /// What the watch says of an object.
    pub(super) fn fact_of(&self, object: &Object) -> Fact {
        match object {
            Object::Egress(name) => match self.egresses.get(name) {
                Some(fact) => Fact::Egress(Box::new(fact.clone())),
                None => Fact::EgressGone(name.clone()),
            },
            Object::Pool(name) => match self.pools.get(name) {
                Some(fact) => Fact::Pool(Box::new(fact.clone())),
                None => Fact::PoolGone(name.clone()),
            },
        }
    }

    /// What the agents do for one Egress: its holder leaves it where it may not hold it, else the first candidate takes
    /// it. A node that somebody has lost sight of does nothing.
    pub(super) fn agents_act(&mut self, name: &EgressName) {
        let Some(egress) = self.egresses.get(name) else {
            return;
        };
        let EgressStatus {
            node: holder,
            candidates,
            ..
        } = &egress.status;
        let there: Vec<_> = candidates
            .iter()
            .filter(|node| !self.is_away(node))
            .cloned()
            .collect();
        let is_holder_there = holder.as_ref().is_none_or(|node| !self.is_away(node));
        let stays = holder.clone().filter(|node| there.contains(node));
        let next = stays.or_else(|| there.first().cloned());
        if next.is_none() && !is_holder_there {
            return;
        }
        let egress = self.egress(name.as_str());
        match (next, egress.ip) {
            (Some(node), Some(ip)) if !egress.deleting => take(egress, node, ip),
            _ => let_go(egress),
        }
    }

    pub(super) fn egress(&mut self, name: &str) -> &mut EgressFact {
        self.egresses
            .get_mut(&EgressName::from(name))
            .expect("an Egress of the test")
    }

    pub(super) fn pool(&mut self, name: &str) -> &mut PoolFact {
        self.pools
            .get_mut(&PoolName::from(name))
            .expect("a pool of the test")
    }

    /// The user asks for an Egress's deletion.
    pub(super) fn delete_egress(&mut self, name: &EgressName) {
        if self
            .egresses
            .get(name)
            .is_some_and(|egress| egress.has_finalizer)
        {
            self.egresses
                .entry(name.clone())
                .and_modify(|egress| egress.deleting = true);
        } else {
            self.egresses.remove(name);
        }
    }

    /// The user asks for a pool's deletion.
    pub(super) fn delete_pool(&mut self, name: &PoolName) {
        if self.pools.get(name).is_some_and(|pool| pool.has_finalizer) {
            self.pools
                .entry(name.clone())
                .and_modify(|pool| pool.deleting = true);
        } else {
            self.pools.remove(name);
        }
    }
}

fn own(egress: &mut EgressFact, finalizer: bool, ip: Option<IpAddr>) {
    egress.has_finalizer |= finalizer;
    match (ip, egress.ip_writer) {
        (Some(ip), _) => set_ip(egress, Some(ip), Writer::Operator),
        (None, Writer::Operator) => set_ip(egress, None, Writer::User),
        (None, Writer::Both) => egress.ip_writer = Writer::User,
        (None, Writer::User) => {}
    }
    assert!(
        egress.ip.is_some() || egress.pool.is_some(),
        "the API server refuses an Egress with neither: {egress:?}"
    );
}

/// Somebody writes `spec.egressIP`.
pub(super) fn set_ip(egress: &mut EgressFact, ip: Option<IpAddr>, writer: Writer) {
    if egress.ip != ip {
        egress.generation += 1;
    }
    egress.ip = ip;
    egress.ip_writer = writer;
}

/// Somebody changes a pool's spec.
pub(super) fn respecify(pool: &mut PoolFact, change: impl FnOnce(&mut PoolSpec)) {
    pool.generation += 1;
    if let Ok(spec) = &mut pool.spec {
        change(spec);
        spec.generation = pool.generation;
    }
}

pub(super) fn take(egress: &mut EgressFact, node: NodeName, ip: IpAddr) {
    let_go(egress);
    egress.status.node = Some(node);
    egress.status.ip = Some(ip);
    egress.status.conditions.push(Recorded {
        kind: Type::IpAssigned,
        is_true: true,
        reason: "Assigned".to_owned(),
        message: String::new(),
        observed_generation: egress.generation,
        since: 0,
    });
}

pub(super) fn let_go(egress: &mut EgressFact) {
    egress.status.node = None;
    egress.status.ip = None;
    egress
        .status
        .conditions
        .retain(|condition| condition.kind != Type::IpAssigned);
}

/// What stands there after the operator has applied its conditions: those of others, and just these.
fn recorded(old: &[Recorded], new: Vec<Condition>) -> Vec<Recorded> {
    let others = old
        .iter()
        .filter(|old| old.kind == Type::IpAssigned)
        .cloned();
    others
        .chain(new.into_iter().map(|new| merge(old, new, 0)))
        .collect()
}
