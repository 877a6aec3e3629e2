//! Which node holds an egress IP, as one agent sees it.
//!
//! Owns the rules of holding, taking over and letting go. They need no API server: candidates and the last known
//! holder are remembered, who is alive comes from gossip. Never probes, never writes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::name::NodeName;

/// Who is there, as seen from one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The node that looks.
    pub me: NodeName,
    /// The nodes whose agents answer, `me` among them.
    pub alive: BTreeSet<NodeName>,
    /// How many nodes there should be.
    pub known: usize,
    /// Whether the agent has been up long enough to take silence for absence.
    pub settled: bool,
}

impl Membership {
    /// Whether the node's agent answers; an agent that has just started takes it that all do.
    pub(crate) fn is_alive(&self, node: &NodeName) -> bool {
        !self.settled || self.alive.contains(node)
    }

    /// Whether this side of a partition may take over.
    ///
    /// Of two nodes neither is a majority: there the survivor may, or a pair could never fail over.
    fn may_take_over(&self) -> bool {
        self.settled && (self.known <= 2 || self.alive.len() * 2 > self.known)
    }
}

/// The holder of a pooled egress IP, or `None` while nobody can be named.
///
/// `candidates` is the operator's list; `last` is the holder that was named before (by the API or by this function).
/// The last holder keeps the IP while it is alive and a candidate; else the first candidate alive takes it. Without
/// any, `eligible` (all nodes that the pool allows, in the order of [`crate::placement::rank`]) is asked instead, for
/// the operator may be out of reach.
pub fn holder(
    candidates: &[NodeName],
    last: Option<&NodeName>,
    membership: &Membership,
    eligible: impl FnOnce() -> Vec<NodeName>,
) -> Option<NodeName> {
    let next = if candidates.is_empty() {
        // Nobody may hold it: the operator has found no IP or no node for this Egress.
        None
    } else {
        choose(candidates, last, membership).or_else(|| choose(&eligible(), last, membership))
    };
    let takes_over = next.as_ref() == Some(&membership.me) && last != next.as_ref();
    if takes_over && !membership.may_take_over() {
        None
    } else {
        next
    }
}

fn choose(
    nodes: &[NodeName],
    last: Option<&NodeName>,
    membership: &Membership,
) -> Option<NodeName> {
    last.filter(|last| nodes.contains(last) && membership.is_alive(last))
        .or_else(|| nodes.iter().find(|node| membership.is_alive(node)))
        .cloned()
}

/// The holder to go by: the one that was named last by this node, or the one that the status names.
///
/// That another node has taken over is a guess until the status says so. It is given up when the reported holder answers
/// again: an agent gossips only after it has read the status, so it knows that it holds the IP, while whoever was
/// guessed may have seen no death at all. What this node has taken over itself is no guess.
pub(crate) fn last_holder<'a>(
    named: Option<&'a NodeName>,
    reported: Option<&'a NodeName>,
    membership: &Membership,
) -> Option<&'a NodeName> {
    let is_own = named == Some(&membership.me);
    reported
        .filter(|reported| !is_own && membership.is_alive(reported))
        .or(named)
}

/// The holder of a static egress IP: the node on which the user has put it.
///
/// `reported` is `status.egressNode`. A node that finds the IP on one of its links claims it, unless another node that
/// is alive has claimed it before and has not let go.
pub(crate) fn static_holder(
    is_local: bool,
    reported: Option<&NodeName>,
    membership: &Membership,
) -> Option<NodeName> {
    let me = &membership.me;
    match reported {
        Some(node) if node != me && (!is_local || membership.is_alive(node)) => Some(node.clone()),
        _ => is_local.then(|| me.clone()),
    }
}

/// A node and the egress IP it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The gateway.
    pub node: NodeName,
    /// The egress IP; `None` if a status names a node but no IP.
    pub egress_ip: Option<IpAddr>,
    /// The generation of the Egress that this was said of.
    pub generation: i64,
}

/// What a node has to say in an Egress's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// This node holds this egress IP.
    Holds(IpAddr),
    /// This node held it and nobody does now.
    LetGo,
}

/// What `me` has to report, if the status does not say it yet.
///
/// A node that lost the IP to another one leaves the report to that one.
pub fn report(
    me: &NodeName,
    holding: Option<&Holding>,
    reported: Option<&Holding>,
) -> Option<Report> {
    match holding {
        Some(now) if now.node == *me && reported != Some(now) => now.egress_ip.map(Report::Holds),
        None if reported.is_some_and(|reported| reported.node == *me) => Some(Report::LetGo),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
