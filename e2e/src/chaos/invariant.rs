//! What must be so of addresses, pools and holders when nothing is broken.
//!
//! Owns the judgement, over a picture of the cluster. Written without a look at Egret's own rules, as a user would check.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::Result;

use crate::lab::Lab;
use crate::object::{Egress, Pool, Usage};

/// What the objects say and the nodes have.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// All Egresses.
    pub egresses: Vec<Egress>,
    /// All pools.
    pub pools: Vec<Pool>,
    /// The addresses on each node.
    pub addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
}

impl Picture {
    /// The picture of this moment.
    pub fn of(lab: &Lab) -> Result<Self> {
        let of_node = |node: String| Ok((node.clone(), lab.addresses_on(&node)?));
        Ok(Self {
            egresses: lab.list("egress")?,
            pools: lab.list("externalippools")?,
            addresses: lab
                .nodes()
                .into_iter()
                .map(of_node)
                .collect::<Result<_>>()?,
        })
    }

    fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.metadata.name == name)
    }

    fn nodes_with(&self, ip: Ipv4Addr) -> Vec<&str> {
        let with = self
            .addresses
            .iter()
            .filter(|(_, addresses)| addresses.contains(&ip));
        with.map(|(node, _)| node.as_str()).collect()
    }

    /// The Egresses that name this pool.
    fn naming(&self, pool: &str) -> impl Iterator<Item = &Egress> {
        let of_pool = move |egress: &&Egress| egress.spec.external_ip_pool.as_deref() == Some(pool);
        self.egresses.iter().filter(of_pool)
    }

    /// The Egresses that have an address of this pool, as their conditions tell.
    fn users_of(&self, pool: &str) -> impl Iterator<Item = &Egress> {
        self.naming(pool).filter(|egress| is_allocated(egress))
    }
}

fn is_allocated(egress: &Egress) -> bool {
    egress
        .condition("IPAllocated")
        .is_some_and(|condition| condition.status == "True")
}

fn address(egress: &Egress) -> Option<Ipv4Addr> {
    egress.spec.egress_ip.as_deref()?.parse().ok()
}

/// All that is wrong, in words; of an Egress only the first.
pub fn violations(picture: &Picture) -> Vec<String> {
    let of_egresses = picture.egresses.iter().filter_map(|egress| {
        let wrong = wrong_egress(picture, egress)?;
        Some(format!("Egress {}: {wrong}", egress.metadata.name))
    });
    let of_pools = picture.pools.iter().filter_map(|pool| {
        let wrong = wrong_pool(picture, pool)?;
        Some(format!("ExternalIPPool {}: {wrong}", pool.metadata.name))
    });
    of_egresses
        .chain(of_pools)
        .chain(strangers(picture))
        .collect()
}

fn wrong_egress(picture: &Picture, egress: &Egress) -> Option<String> {
    if egress.metadata.deletion_timestamp.is_some() {
        return Some("is still being deleted".to_owned());
    }
    let Some(condition) = egress.condition("IPAllocated") else {
        return Some("does not say whether it has an address".to_owned());
    };
    if condition.status == "True" {
        return wrong_holder(picture, egress);
    }
    if is_true(picture, egress, &condition.reason) {
        return (egress.is_ready() || egress.held().is_some())
            .then(|| "has no address, and says that it is in force".to_owned());
    }
    Some(format!(
        "says {}, which is not so: {}",
        condition.reason, condition.message
    ))
}

/// Whether what is said to hinder it is so.
fn is_true(picture: &Picture, egress: &Egress, reason: &str) -> bool {
    let pool = egress.spec.external_ip_pool.as_deref().unwrap_or_default();
    match reason {
        "PoolNotFound" => picture.pool(pool).is_none(),
        "PoolExhausted" => {
            let usage = picture.pool(pool).and_then(|pool| pool.status.usage);
            usage.is_some_and(|usage| usage.used == usage.total)
        }
        "AddressTaken" => picture.users_of(pool).any(|other| {
            other.metadata.name != egress.metadata.name && address(other) == address(egress)
        }),
        "PoolDeleting" => picture
            .pool(pool)
            .is_some_and(|pool| pool.metadata.deletion_timestamp.is_some()),
        "OutsidePool" => {
            let range = picture.pool(pool).and_then(Pool::range);
            range
                .zip(address(egress))
                .is_some_and(|(range, ip)| !range.contains(&ip))
        }
        _ => false,
    }
}

fn wrong_holder(picture: &Picture, egress: &Egress) -> Option<String> {
    let pool = picture.pool(egress.spec.external_ip_pool.as_deref()?);
    let Some(range) = pool.and_then(Pool::range) else {
        return Some("has an address of a pool that is not there".to_owned());
    };
    let ip = match address(egress) {
        Some(ip) if range.contains(&ip) => ip,
        other => return Some(format!("has {other:?}, which is not of its pool")),
    };
    let twins = picture
        .egresses
        .iter()
        .filter(|other| is_allocated(other) && address(other) == Some(ip));
    if twins.count() > 1 {
        return Some(format!("shares {ip} with another"));
    }
    let on = picture.nodes_with(ip);
    match (egress.held(), on.as_slice()) {
        (Some((held, node)), [there])
            if held == ip.to_string() && node == *there && egress.is_ready() =>
        {
            None
        }
        (held, on) => Some(format!(
            "{ip} is on {on:?}, and the status tells of {held:?}"
        )),
    }
}

fn wrong_pool(picture: &Picture, pool: &Pool) -> Option<String> {
    if pool.metadata.deletion_timestamp.is_some() {
        return still_deleted(picture, pool);
    }
    let users = picture.users_of(&pool.metadata.name).count();
    let total = pool
        .range()
        .map(|range| u32::from(*range.end()) - u32::from(*range.start()) + 1);
    let right = Usage {
        total: i64::from(total.unwrap_or_default()),
        used: i64::try_from(users).unwrap_or(i64::MAX),
    };
    (pool.status.usage != Some(right))
        .then(|| format!("says {:?} and not {right:?}", pool.status.usage))
}

/// A deletion waits for Egresses that name the pool, with or without an address, and says for which.
fn still_deleted(picture: &Picture, pool: &Pool) -> Option<String> {
    let said = pool.condition("Ready");
    let said = said.map_or("", |condition| condition.message.as_str());
    let mut names = said.split(|sign: char| sign.is_whitespace() || ",:".contains(sign));
    let naming: BTreeSet<_> = picture
        .naming(&pool.metadata.name)
        .map(|egress| egress.metadata.name.as_str())
        .collect();
    (!names.any(|name| naming.contains(name)))
        .then(|| format!("is still being deleted, for {naming:?}, and says: {said:?}"))
}

/// Addresses of pools that some node has though no Egress does.
fn strangers(picture: &Picture) -> Vec<String> {
    let wanted: BTreeSet<_> = picture.egresses.iter().filter_map(address).collect();
    let pools = ["10.10.5.", "10.10.6.", "10.10.7."];
    let is_of_pool = |ip: &Ipv4Addr| pools.iter().any(|pool| ip.to_string().starts_with(pool));
    let all = picture
        .addresses
        .iter()
        .flat_map(|(node, addresses)| addresses.iter().map(move |ip| (node, ip)));
    all.filter(|(_, ip)| is_of_pool(ip) && !wanted.contains(ip))
        .map(|(node, ip)| format!("{node} has {ip}, which no Egress wants"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn egress(name: &str, ip: &str, node: Option<&str>, reason: &str) -> Value {
        let status = |is_so: bool| if is_so { "True" } else { "False" };
        let condition = |kind: &str, is_so: bool| json!({"type": kind, "status": status(is_so), "reason": reason, "message": ""});
        json!({
            "metadata": {"name": name},
            "spec": {"egressIP": ip, "externalIPPool": "red"},
            "status": {
                "egressIP": node.map(|_| ip), "egressNode": node,
                "conditions": [condition("IPAllocated", reason == "Allocated"), condition("Ready", node.is_some())],
            },
        })
    }

    fn picture(egresses: &[Value], used: i64, on: &[(&str, &str)]) -> Picture {
        let pool = json!({
            "metadata": {"name": "red"},
            "spec": {"ipRanges": [{"start": "10.10.5.1", "end": "10.10.5.2"}]},
            "status": {"usage": {"total": 2, "used": used}},
        });
        let mut addresses = BTreeMap::<_, BTreeSet<_>>::new();
        for (node, ip) in on {
            addresses
                .entry((*node).to_owned())
                .or_default()
                .insert(ip.parse().unwrap());
        }
        Picture {
            egresses: serde_json::from_value(json!(egresses)).unwrap(),
            pools: vec![serde_json::from_value(pool).unwrap()],
            addresses,
        }
    }

    fn held(name: &str, ip: &str) -> Value {
        egress(name, ip, Some("node-1"), "Allocated")
    }

    fn wrong(picture: &Picture) -> String {
        violations(picture).join("; ")
    }

    #[test]
    fn what_is_held_by_the_node_that_the_status_names_is_right() {
        let all = [
            held("a", "10.10.5.1"),
            held("b", "10.10.5.2"),
            egress("c", "", None, "PoolExhausted"),
        ];
        let on = [("node-1", "10.10.5.1"), ("node-1", "10.10.5.2")];
        assert_eq!(wrong(&picture(&all, 2, &on)), "");
    }

    #[test]
    fn an_address_on_two_nodes_on_none_or_on_another_is_wrong() {
        let all = [held("a", "10.10.5.1")];
        let places: [&[(&str, &str)]; 3] = [
            &[("node-1", "10.10.5.1"), ("node-2", "10.10.5.1")],
            &[],
            &[("node-2", "10.10.5.1")],
        ];
        for on in places {
            let wrong = wrong(&picture(&all, 1, on));
            assert!(wrong.contains("the status tells of"), "{on:?}: {wrong}");
        }
    }

    #[test]
    fn an_address_of_two_or_outside_the_pool_is_wrong() {
        let on = [("node-1", "10.10.5.1"), ("node-1", "10.10.5.9")];
        let twins = [held("a", "10.10.5.1"), held("b", "10.10.5.1")];
        assert!(wrong(&picture(&twins, 2, &on)).contains("shares 10.10.5.1"));
        let outside = [held("a", "10.10.5.9")];
        assert!(wrong(&picture(&outside, 1, &on)).contains("not of its pool"));
    }

    #[test]
    fn a_usage_that_is_off_by_one_is_wrong() {
        let all = [held("a", "10.10.5.1")];
        let wrong = wrong(&picture(&all, 2, &[("node-1", "10.10.5.1")]));
        assert!(wrong.starts_with("ExternalIPPool red: says"), "{wrong}");
    }

    #[test]
    fn a_pool_that_is_still_being_deleted_says_which_egress_names_it() {
        let deleted = |egresses: &[Value], said: &str| {
            let mut picture = picture(egresses, 0, &[]);
            picture.pools = vec![
                serde_json::from_value(json!({
                    "metadata": {"name": "red", "deletionTimestamp": "2026-11-25T00:00:00Z"},
                    "spec": {"ipRanges": []},
                    "status": {"conditions": [
                        {"type": "Ready", "status": "False", "reason": "InUse", "message": said},
                    ]},
                }))
                .unwrap(),
            ];
            wrong_pool(&picture, &picture.pools[0])
        };
        let waiting = [egress("b", "", None, "PoolDeleting")];
        let said = "to be deleted once no Egress uses it: b";
        assert_eq!(deleted(&waiting, said), None);
        assert!(deleted(&waiting, "to be deleted").is_some());
        assert!(deleted(&[], said).is_some());
    }

    #[test]
    fn an_excuse_must_be_true() {
        let on = [("node-1", "10.10.5.1")];
        for excuse in ["PoolExhausted", "PoolNotFound", "AddressTaken", "NoneSuch"] {
            let all = [
                held("a", "10.10.5.1"),
                egress("b", "10.10.5.2", None, excuse),
            ];
            let wrong = wrong(&picture(&all, 1, &on));
            assert!(wrong.contains("which is not so"), "{excuse}: {wrong}");
        }
    }

    #[test]
    fn an_address_that_no_egress_wants_any_more_is_wrong() {
        let wrong = wrong(&picture(
            &[],
            0,
            &[("node-2", "10.10.5.2"), ("node-2", "10.10.0.102")],
        ));
        assert_eq!(wrong, "node-2 has 10.10.5.2, which no Egress wants");
    }
}
