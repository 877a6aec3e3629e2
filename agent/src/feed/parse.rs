//! What of an object matters to an agent.
//!
//! Owns the reading of Pods, Service networks and an Egress's status. A field that cannot be read is as good as absent.
//! Never reads the specs of Egret's kinds, nor Nodes (crate `egret-crds` does).

use std::net::IpAddr;

use egret_crds::{self as crds, EgressStatus, cluster};
use egret_domain::condition::Type;
use egret_domain::egress::Egress;
use egret_domain::name::{NodeName, PodName};
use egret_domain::net::Cidr;
use egret_domain::node::{ClusterNode, EgressFact, Fact, Pod, UnusableEgress};
use egret_domain::ownership::Holding;
use egret_runtime::home::NAMESPACE;
use egret_runtime::watch::Key;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(super) fn egress(egress: Egress, status: Option<&EgressStatus>) -> EgressFact {
    EgressFact {
        is_allocated: status.is_some_and(|status| is_allocated(status, &egress)),
        egress,
        candidates: candidates(status),
        reported: status.and_then(holding),
    }
}

/// What is so of an Egress, whatever its spec says.
pub(super) fn unusable(object: &crds::Egress) -> UnusableEgress {
    let meta = &object.metadata;
    let status = object.status.as_ref();
    UnusableEgress {
        name: meta.name.as_deref().unwrap_or_default().into(),
        uid: meta.uid.clone().unwrap_or_default(),
        created: created(meta),
        deleting: meta.deletion_timestamp.is_some(),
        applied_to: (&object.spec.applied_to).try_into().ok(),
        candidates: candidates(status),
        reported: status.and_then(holding),
    }
}

fn candidates(status: Option<&EgressStatus>) -> Vec<NodeName> {
    let listed = status.into_iter().flat_map(|status| &status.candidates);
    listed.map(|node| node.as_str().into()).collect()
}

fn holding(status: &EgressStatus) -> Option<Holding> {
    let node = status.egress_node.as_deref()?;
    let egress_ip = status.egress_ip.as_deref().and_then(|ip| ip.parse().ok());
    let said = status
        .conditions
        .iter()
        .find(|said| said.type_ == Type::IpAssigned.as_str() && said.status == "True");
    let generation = said.and_then(|said| said.observed_generation);
    Some(Holding {
        node: node.into(),
        egress_ip,
        generation: generation.unwrap_or_default(),
    })
}

/// Whether the operator has accepted the IP in the spec: it says so of this generation, or said so of an earlier one and
/// a node holds just this IP.
fn is_allocated(status: &EgressStatus, egress: &Egress) -> bool {
    let mut conditions = status.conditions.iter();
    let said = conditions.find(|said| said.type_ == Type::IpAllocated.as_str());
    let is_held = || holding(status).is_some_and(|held| held.egress_ip == egress.spec_ip());
    said.is_some_and(|said| {
        let is_of_now = said.observed_generation == Some(egress.generation);
        said.status == "True" && (is_of_now || is_held())
    })
}

pub(super) fn pod_name(key: &Key) -> PodName {
    PodName {
        namespace: key.namespace.as_deref().unwrap_or_default().into(),
        name: key.name.as_str().into(),
    }
}

/// A Pod on the host's network, without an address yet, or that has ended, has no way out of its own; one of Egret's keeps
/// it. These must reach the API server, wherever that is, for an Egress to get its IP at all: an Egress for every Pod would
/// have it wait for itself.
pub(super) fn pod(object: &v1::Pod) -> Fact {
    let name = pod_name(&Key::of(&object.metadata));
    let on_host = object
        .spec
        .as_ref()
        .is_some_and(|spec| spec.host_network == Some(true));
    let phase = object
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
    let is_own = object.metadata.namespace.as_deref() == Some(NAMESPACE);
    let addresses = addresses(object);
    if is_own || on_host || has_ended || addresses.is_empty() {
        return Fact::PodGone(name);
    }
    Fact::Pod(Pod {
        name,
        created: created(&object.metadata),
        addresses,
        labels: object.metadata.labels.clone().unwrap_or_default(),
    })
}

fn addresses(object: &v1::Pod) -> Vec<IpAddr> {
    let Some(status) = &object.status else {
        return Vec::new();
    };
    let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut addresses: Vec<IpAddr> = listed
        .chain(status.pod_ip.as_deref())
        .filter_map(|ip| ip.parse().ok())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn created(meta: &ObjectMeta) -> i64 {
    meta.creation_timestamp
        .as_ref()
        .map(|time| time.0.as_second())
        .unwrap_or_default()
}

/// A node; it may hold `max_egress_ips` unless it says otherwise itself. Only the operator counts, but how many it may be is
/// its weight among others, with which agents rank as the operator does.
pub(super) fn node(object: &v1::Node, max_egress_ips: usize) -> ClusterNode {
    cluster::cluster_node(object, max_egress_ips)
}

pub(super) fn service_cidrs(object: &ServiceCIDR) -> Vec<Cidr> {
    let cidrs = object
        .spec
        .iter()
        .flat_map(|spec| spec.cidrs.iter().flatten());
    cidrs.filter_map(|cidr| cidr.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod_fact(spec: &serde_json::Value, status: &serde_json::Value) -> Fact {
        let object = json!({
            "metadata": {"namespace": "prod", "name": "web", "labels": {"app": "web"}},
            "spec": spec, "status": status,
        });
        pod(&serde_json::from_value(object).unwrap())
    }

    fn is_gone(fact: &Fact) -> bool {
        matches!(fact, Fact::PodGone(_))
    }

    /// Else a node with an annotation would hardly ever be the first.
    #[test]
    fn nodes_weigh_for_agents_what_they_weigh_for_the_operator() {
        let object = |annotations: &serde_json::Value| {
            let object = json!({"metadata": {"name": "node-1", "annotations": annotations}});
            serde_json::from_value(object).unwrap()
        };
        for annotations in [json!({}), json!({"node.antrea.io/max-egress-ips": "200"})] {
            let node = node(&object(&annotations), 255);
            let for_the_operator = cluster::node(&object(&annotations), 255);
            assert_eq!(node.placement, for_the_operator);
        }
    }

    #[test]
    fn a_running_pod_has_its_addresses_once() {
        let status =
            json!({"podIP": "10.244.1.2", "podIPs": [{"ip": "10.244.1.2"}, {"ip": "fd24::2"}]});
        let Fact::Pod(pod) = pod_fact(&json!({"containers": []}), &status) else {
            panic!()
        };
        assert_eq!(
            pod.addresses,
            ["10.244.1.2", "fd24::2"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
    }

    #[test]
    fn a_pod_on_the_hosts_network_is_never_selected() {
        let spec = json!({"containers": [], "hostNetwork": true});
        assert!(is_gone(&pod_fact(&spec, &json!({"podIP": "10.10.0.101"}))));
    }

    #[test]
    fn a_pod_of_egrets_is_never_selected() {
        let object = |namespace: &str| {
            json!({"metadata": {"namespace": namespace, "name": "egret-operator"},
                "spec": {"containers": []}, "status": {"podIP": "10.244.1.2"}})
        };
        let fact = |namespace| pod(&serde_json::from_value(object(namespace)).unwrap());
        assert!(is_gone(&fact("egret-system")));
        assert!(!is_gone(&fact("egret")));
    }

    #[test]
    fn a_pod_that_has_ended_has_given_its_address_back() {
        let spec = json!({"containers": []});
        for phase in ["Succeeded", "Failed"] {
            let status = json!({"phase": phase, "podIP": "10.244.1.2"});
            assert!(is_gone(&pod_fact(&spec, &status)));
        }
    }

    #[test]
    fn a_pod_without_an_address_is_nothing_yet() {
        assert!(is_gone(&pod_fact(
            &json!({"containers": []}),
            &json!({"phase": "Pending"})
        )));
    }
}
