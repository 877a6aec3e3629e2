//! What is so, in conditions.
//!
//! Owns the reasons and messages of an Egress that has got what it wants, or waits for nodes, and of pools; and, for
//! want of a condition, what people are told of a node. A message holds nothing that changes often: each change costs a
//! write per object. Never compares with what is written already.

use std::net::IpAddr;

use super::liveness::lost;
use super::{Entry, Grant, NodeWarning, PoolFact, Why};
use crate::condition::{Condition, Type};
use crate::listing::listed;
use crate::name::{EgressName, NodeName, PoolName};
use crate::placement::Node;
use crate::pool::{Usage, Yield, also_in};

/// Of the users of a pool, more than this many are only counted.
const USERS_SHOWN: usize = 10;
/// Of the nodes that report an overlap. No number of the others: it would change with each report.
const NODES_SHOWN: usize = 3;

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

/// The operator's conditions of an Egress; `holder` is the node that has its IP, if there is one, `overlapped` are the
/// nodes that report Pods which use another Egress, and `is_off` says whether Egress is off.
pub(super) fn of_egress(
    entry: &Entry,
    holder: Option<&NodeName>,
    overlapped: &[&NodeName],
    is_off: bool,
) -> Vec<Condition> {
    let overlap = (!overlapped.is_empty()).then(|| overlap_on(overlapped));
    let ready = ready(entry, holder, is_off);
    [allocation(entry), Some(ready), overlap]
        .into_iter()
        .flatten()
        .map(|verdict| verdict.at(entry.fact.generation))
        .collect()
}

/// What is said of an Egress that has this address. Read back after a restart: see [`super::EgressFact`].
pub(super) fn allocated(pool: &PoolName, ip: IpAddr) -> String {
    format!("{ip} of ExternalIPPool {pool}")
}

fn overlap_on(nodes: &[&NodeName]) -> Verdict {
    let shown = nodes.iter().take(NODES_SHOWN).map(|node| node.as_str());
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if nodes.len() > NODES_SHOWN {
        " and other nodes"
    } else {
        ""
    };
    Verdict {
        kind: Type::Overlapped,
        is_true: true,
        reason: "OtherEgressFirst",
        message: format!(
            "some Pods that it selects on {shown}{more} use another Egress, with a higher spec.priority or an older one"
        ),
    }
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
                "no node may hold the egress IP: ExternalIPPool {pool} selects none that runs Linux, is fit (its \
                 EgressNode is Ready) and not cordoned, and holds fewer egress IPs than its maximum"
            ),
        ),
        (Some(_), _) | (None, Some(_)) if let Some((reason, message)) = lost(fact) => {
            not(reason, message)
        }
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
    let exhausted = usage.map(|usage| exhausted(usage, yields));
    [Some(pool_ready(fact, yields, users)), exhausted]
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

fn exhausted(usage: Usage, yields: &[Yield]) -> Verdict {
    let is_true = usage.used >= usage.total;
    let (reason, message) = match usage.total {
        _ if !is_true => ("FreeAddresses", "there are free addresses"),
        0 if !yields.is_empty() => (
            "Overlaps",
            "every address also lies in an older ExternalIPPool, which alone hands it out: add a range that no other \
             pool has",
        ),
        0 => (
            "NoUsableAddress",
            "no address of its ranges can be handed out: add a range, or exclude less",
        ),
        _ => (
            "NoFreeAddress",
            "every address is in use: add a range, or delete an Egress that uses it",
        ),
    };
    Verdict {
        kind: Type::Exhausted,
        is_true,
        reason,
        message: message.to_owned(),
    }
}

/// What to say of a node whose limit cannot be read.
pub(super) fn of_limit(node: &Node) -> Option<NodeWarning> {
    let written = node.illegible_limit.as_ref()?;
    Some(NodeWarning {
        node: node.name.clone(),
        reason: "InvalidMaxEgressIPs",
        message: format!(
            "annotation node.antrea.io/max-egress-ips: {written:?} is not a number from 0 to 10000: the default of {} \
             applies until it is one",
            node.max_egress_ips
        ),
    })
}
