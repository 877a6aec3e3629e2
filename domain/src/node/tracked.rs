//! An Egress as one node follows it.
//!
//! Owns what is remembered of who holds its IP. Never decides who does (see [`crate::ownership`]).

use std::net::IpAddr;

use super::EgressFact;
use crate::name::NodeName;
use crate::ownership::Holding;

/// An Egress in the index.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) fact: EgressFact,
    /// The holder named last, by the status or by this agent.
    pub(super) last: Option<NodeName>,
    /// The holder now.
    pub(super) holder: Option<NodeName>,
}

impl Tracked {
    /// The egress IP in force: a pooled one only once the operator has accepted it and given it nodes.
    pub(super) fn egress_ip(&self) -> Option<IpAddr> {
        let EgressFact {
            egress,
            is_allocated,
            candidates,
            ..
        } = &self.fact;
        let is_granted = *is_allocated && !candidates.is_empty();
        let in_force = !egress.deleting && (egress.is_static() || is_granted);
        egress.spec_ip().filter(|_| in_force)
    }

    /// Whether this is the same Egress, and its status names nobody new.
    pub(super) fn is_followed_by(&self, fact: &EgressFact) -> bool {
        let named = |fact: &EgressFact| {
            let reported = fact.reported.as_ref();
            reported.map(|reported| (reported.node.clone(), reported.egress_ip))
        };
        let is_same = self.fact.egress.uid == fact.egress.uid;
        is_same && (fact.reported.is_none() || named(&self.fact) == named(fact))
    }

    pub(super) fn holding(&self) -> Option<Holding> {
        let node = self.holder.clone()?;
        Some(Holding {
            node,
            egress_ip: self.egress_ip(),
            generation: self.fact.egress.generation,
        })
    }
}
