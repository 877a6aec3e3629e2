//! What is so, in conditions.
//!
//! Owns the reasons and messages of an Egress that has got what it wants, or waits for nodes, and of pools. A message
//! holds nothing that changes often: each change costs a write per object. Never compares with what is written already.

use std::net::IpAddr;

use super::{Entry, Grant, PoolFact, Why};
use crate::condition::{Condition, Type};
use crate::listing::listed;
use crate::name::{EgressName, NodeName, PoolName};
use crate::pool::{Usage, Yield, also_in};

/// Of the users of a pool, more than this many are only counted.
const USERS_SHOWN: usize = 10;

/// One condition, without the generation that it is about.
struct Verdict {
    kind: Type,
    is_true: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn at(self, observed_generation: i64) -> Condition {
        let Self {
            kind,
            is_true,
            reason,
            message,
        } = self;
        Condition {
            kind,
            is_true,
            reason,
            message,
            observed_generation,
        }
    }
}

/// The operator's conditions of an Egress; `holder` is the node that has its IP, if there is one.
pub(super) fn of_egress(entry: &Entry, holder: Option<&NodeName>, is_off: bool) -> Vec<Condition> {
    [allocation(entry), Some(ready(entry, holder, is_off))]
        .into_iter()
        .flatten()
        .map(|verdict| verdict.at(entry.fact.generation))
        .collect()
}

/// What is said of an Egress that has this address. Read back after a restart: see [`super::EgressFact`].
pub(super) fn allocated(pool: &PoolName, ip: IpAddr) -> String {
    format!("{ip} of ExternalIPPool {pool}")
}

/// A static Egress has nothing to be allocated.
fn allocation(entry: &Entry) -> Option<Verdict> {
    entry.fact.pool.as_ref()?;
    let kind = Type::IpAllocated;
    match (&entry.grant, &entry.refused) {
        (Some(Grant { pool, ip }), _) => Some(Verdict {
            kind,
            is_true: true,
            reason: "Allocated",
            message: allocated(pool, *ip),
        }),
        (None, Some(why)) => Some(refused(kind, why)),
        (None, None) => None,
    }
}

fn ready(entry: &Entry, holder: Option<&NodeName>, is_off: bool) -> Verdict {
    let not = |reason, message| Verdict {
        kind: Type::Ready,
        is_true: false,
        reason,
        message,
    };
    let fact = &entry.fact;
    if let (true, Some(node)) = (fact.deleting, holder) {
        return not(
            "Withdrawing",
            format!("node {node} has yet to let go of the egress IP"),
        );
    }
    if is_off {
        let message = "Egress is off: set featureGates.Egress to true in the configuration";
        return not("Disabled", message.to_owned());
    }
    if let Some(problems) = &fact.problems {
        return refused(Type::Ready, &Why::InvalidSpec(problems.clone()));
    }
    if let Some(why) = &entry.refused {
        return refused(Type::Ready, why);
    }
    if is_assigned(entry, holder) {
        let message = "a node holds the egress IP".to_owned();
        return Verdict {
            kind: Type::Ready,
            is_true: true,
            reason: "Assigned",
            message,
        };
    }
    match (&entry.grant, fact.ip) {
        (Some(Grant { pool, .. }), _) if entry.candidates.is_empty() => not(
            "NoCandidate",
            format!(
                "no node may hold the egress IP: ExternalIPPool {pool} selects none that runs Linux, is not cordoned, \
                 has an able agent, and holds fewer egress IPs than its maximum"
            ),
        ),
        (Some(Grant { ip, .. }), _) => not(
            "NotAssigned",
            format!("waiting for a candidate node to take {ip}"),
        ),
        (None, Some(ip)) => not(
            "NotAssigned",
            format!(
                "no node has {ip}: give it to a network interface of a node, or set spec.externalIPPool"
            ),
        ),
        (None, None) => not("NotAssigned", "there is no egress IP yet".to_owned()),
    }
}

/// Whether a node holds the IP that the Egress should have.
fn is_assigned(entry: &Entry, holder: Option<&NodeName>) -> bool {
    let status = &entry.fact.status;
    let ip = entry
        .grant
        .as_ref()
        .map_or(entry.fact.ip, |grant| Some(grant.ip));
    holder.is_some()
        && status.ip == ip
        && status
            .condition(Type::IpAssigned)
            .is_some_and(|assigned| assigned.is_true)
}

fn refused(kind: Type, why: &Why) -> Verdict {
    Verdict {
        kind,
        is_true: false,
        reason: why.reason(),
        message: why.to_string(),
    }
}

/// The operator's conditions of a pool.
pub(super) fn of_pool(
    fact: &PoolFact,
    usage: Option<Usage>,
    yields: &[Yield],
    users: &[&EgressName],
) -> Vec<Condition> {
    [Some(pool_ready(fact, yields, users)), usage.map(exhausted)]
        .into_iter()
        .flatten()
        .map(|verdict| verdict.at(fact.generation))
        .collect()
}

fn pool_ready(fact: &PoolFact, yields: &[Yield], users: &[&EgressName]) -> Verdict {
    let not = |reason, message| Verdict {
        kind: Type::Ready,
        is_true: false,
        reason,
        message,
    };
    if fact.deleting {
        return not(
            "InUse",
            format!(
                "to be deleted once no Egress uses it: {}",
                listed(users, USERS_SHOWN)
            ),
        );
    }
    if let Err(problems) = &fact.spec {
        return not("InvalidSpec", problems.clone());
    }
    if let Some(overlap) = yields.first().and_then(overlap) {
        return not("Overlaps", overlap);
    }
    let message = "addresses can be allocated".to_owned();
    Verdict {
        kind: Type::Ready,
        is_true: true,
        reason: "Valid",
        message,
    }
}

/// Only one overlap is told: who mends it sees the next.
fn overlap(Yield { to, shared }: &Yield) -> Option<String> {
    let first = shared.first()?;
    Some(format!(
        "{first} {}: take it out of spec.ipRanges of one of the two; this pool hands out what it shares with none, and \
         who has an address keeps it",
        also_in(to)
    ))
}

fn exhausted(usage: Usage) -> Verdict {
    let is_true = usage.used >= usage.total;
    let (reason, message) = if is_true {
        (
            "NoFreeAddress",
            "every address is in use: add a range, or delete an Egress that uses it",
        )
    } else {
        ("FreeAddresses", "there are free addresses")
    };
    Verdict {
        kind: Type::Exhausted,
        is_true,
        reason,
        message: message.to_owned(),
    }
}
