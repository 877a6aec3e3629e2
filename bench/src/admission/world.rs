//! The clusters that are measured.
//!
//! Owns their objects, each made when it is asked for: nothing is kept, so that nothing is counted that a webhook would
//! not have. Never asks a question.

use std::collections::BTreeMap;
use std::fmt;

use egret_crds::egress::AppliedTo;
use egret_crds::pool::IpRange;
use egret_crds::selector::LabelSelector;
use egret_crds::{Egress, EgressSpec, EgressStatus, ExternalIPPool, ExternalIPPoolSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    Condition, FieldsV1, ManagedFieldsEntry, ObjectMeta, Time,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::table::thousands;

/// Nodes in each of the clusters.
pub const NODES: usize = 100;

/// A cluster: so many Egresses, each with an address and with a selector of its own, over so many pools of a /24 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Its Egresses.
    pub egresses: usize,
    /// Its pools.
    pub pools: usize,
}

/// In words.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.pools == 1 { "" } else { "s" };
        let egresses = thousands(self.egresses);
        write!(f, "{egresses} Egresses, {} pool{plural}", self.pools)
    }
}

impl World {
    /// What is measured.
    pub const LARGE: Self = Self {
        egresses: 10_000,
        pools: 100,
    };
    /// What it is compared with.
    pub const SMALL: Self = Self {
        egresses: 10,
        pools: 1,
    };
    /// Only nodes.
    pub const EMPTY: Self = Self {
        egresses: 0,
        pools: 0,
    };

    /// The pool that an Egress has its address from.
    fn pool_of(self, egress: usize) -> usize {
        egress % self.pools.max(1)
    }

    /// The address of an Egress: the lower half of each pool is in use.
    pub fn address_of(self, egress: usize) -> String {
        address(self.pool_of(egress), 1 + egress / self.pools.max(1))
    }

    /// An address of a pool that nobody has.
    pub fn free_address(self, pool: usize, variant: usize) -> String {
        address(pool, 200 + variant % 50)
    }

    /// One of its Egresses, as the API server has it.
    pub fn egress(self, number: usize) -> Option<Egress> {
        (number < self.egresses).then(|| {
            let mut egress = Egress::new(
                &format!("egress-{number:05}"),
                EgressSpec {
                    egress_ip: Some(self.address_of(number)),
                    ..wanted(number, self.pool_of(number))
                },
            );
            egress.metadata = stored(egress.metadata, number);
            egress.status = Some(held(self.address_of(number), number));
            egress
        })
    }

    /// An Egress that somebody wants to create.
    pub fn new_egress(self, variant: usize) -> Egress {
        let spec = wanted(self.egresses + variant, self.pool_of(variant));
        let mut egress = Egress::new(&format!("new-{variant}"), spec);
        egress.metadata = stored(egress.metadata, variant);
        egress
    }

    /// One of its pools, as the API server has it.
    pub fn pool(self, number: usize) -> Option<ExternalIPPool> {
        (number < self.pools).then(|| {
            let mut pool = ExternalIPPool::new(&pool_name(number), network(number, "0/24"));
            pool.metadata = stored(pool.metadata, number);
            pool
        })
    }

    /// The same pool without the half of its addresses that is in use.
    pub fn shrunk_pool(self, number: usize) -> Option<ExternalIPPool> {
        let mut pool = self.pool(number)?;
        pool.spec = network(number, "128/25");
        Some(pool)
    }
}

/// One of the nodes.
pub fn node(number: usize) -> Option<Value> {
    (number < NODES).then(|| {
        json!({
            "metadata": {"name": node_name(number), "labels": {"role": "gateway"}},
            "status": {"addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", number + 1)}]},
        })
    })
}

/// What the agent on one of the nodes reports.
pub fn report(number: usize) -> Option<Value> {
    (number < NODES).then(
        || json!({"metadata": {"name": node_name(number)}, "status": {"subnets": ["10.0.0.0/8"]}}),
    )
}

/// How a pool is called.
pub fn pool_name(number: usize) -> String {
    format!("pool-{number:03}")
}

fn node_name(number: usize) -> String {
    format!("node-{number:03}")
}

fn address(pool: usize, last: usize) -> String {
    format!("10.100.{pool}.{last}")
}

fn network(pool: usize, rest: &str) -> ExternalIPPoolSpec {
    let range = IpRange {
        cidr: Some(format!("10.100.{pool}.{rest}")),
        ..IpRange::default()
    };
    ExternalIPPoolSpec {
        ip_ranges: vec![range],
        node_selector: labels("role", "gateway"),
        ..ExternalIPPoolSpec::default()
    }
}

fn labels(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..LabelSelector::default()
    }
}

/// What an Egress asks for that wants any address.
fn wanted(number: usize, pool: usize) -> EgressSpec {
    let team = format!("team-{:03}", number % 200);
    EgressSpec {
        applied_to: AppliedTo {
            pod_selector: Some(labels("app", &format!("app-{number:05}"))),
            namespace_selector: Some(labels("kubernetes.io/metadata.name", &team)),
        },
        external_ip_pool: Some(pool_name(pool)),
        ..EgressSpec::default()
    }
}

/// What the API server adds to an object's metadata.
fn stored(metadata: ObjectMeta, number: usize) -> ObjectMeta {
    let fields = json!({"f:spec": {"f:appliedTo": {"f:namespaceSelector": {}, "f:podSelector": {}}, "f:externalIPPool": {}}});
    let manager = ManagedFieldsEntry {
        manager: Some("kubectl".to_owned()),
        operation: Some("Apply".to_owned()),
        api_version: Some("crd.antrea.io/v1beta1".to_owned()),
        fields_type: Some("FieldsV1".to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..ManagedFieldsEntry::default()
    };
    ObjectMeta {
        uid: Some(format!("00000000-0000-4000-8000-{number:012}")),
        resource_version: Some((1000 + number).to_string()),
        generation: Some(1),
        creation_timestamp: Some(Time(moment(number))),
        labels: Some(BTreeMap::from([("team".to_owned(), "a".to_owned())])),
        managed_fields: Some(vec![manager]),
        ..metadata
    }
}

fn held(ip: String, number: usize) -> EgressStatus {
    let candidates: Vec<_> = (number..number + 3)
        .map(|number| node_name(number % NODES))
        .collect();
    let condition = |kind: &str| Condition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: "Assigned".to_owned(),
        message: String::new(),
        last_transition_time: Time(moment(number)),
        observed_generation: Some(1),
    };
    EgressStatus {
        egress_ip: Some(ip),
        egress_node: candidates.first().cloned(),
        candidates,
        conditions: ["IPAllocated", "IPAssigned", "Ready"]
            .map(condition)
            .to_vec(),
    }
}

/// Each object was made a second after the one before.
fn moment(number: usize) -> Timestamp {
    let seconds = i64::try_from(number).unwrap_or_default();
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_700_000_000 + seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_address_is_given_twice_and_each_lies_in_its_pool() {
        let world = World::LARGE;
        let addresses: BTreeSet<_> = (0..world.egresses)
            .map(|number| world.address_of(number))
            .collect();
        assert_eq!(addresses.len(), world.egresses);
        let egress = world.egress(9_999).unwrap();
        assert_eq!(egress.spec.external_ip_pool.as_deref(), Some("pool-099"));
        assert_eq!(egress.spec.egress_ip.as_deref(), Some("10.100.99.100"));
    }

    #[test]
    fn what_is_said_to_be_free_is_free() {
        let world = World::LARGE;
        let taken: BTreeSet<_> = (0..world.egresses)
            .map(|number| world.address_of(number))
            .collect();
        let mut free = (0..64).map(|variant| world.free_address(variant, variant));
        assert!(free.all(|ip| !taken.contains(&ip)));
    }

    #[test]
    fn a_cluster_is_told_in_words() {
        assert_eq!(World::LARGE.to_string(), "10,000 Egresses, 100 pools");
        assert_eq!(World::SMALL.to_string(), "10 Egresses, 1 pool");
    }

    #[test]
    fn a_cluster_ends_with_its_last_object() {
        assert!(World::SMALL.egress(9).is_some() && World::SMALL.egress(10).is_none());
        assert!(World::SMALL.pool(0).is_some() && World::SMALL.pool(1).is_none());
        assert!(World::EMPTY.pool(0).is_none());
    }
}
