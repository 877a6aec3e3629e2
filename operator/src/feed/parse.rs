//! What of an object matters to the operator.
//!
//! Owns the reading of objects, one by one. A field of a status that cannot be read is as good as absent. Never compares
//! objects.

use std::net::IpAddr;

use egret_crds::manager::ip_writer;
use egret_crds::{Egress, EgressNodeStatus, EgressStatus, ExternalIPPool};
use egret_domain::control::{self, EgressFact, Fact, PoolFact};
use egret_domain::egress::Egress as ValidEgress;
use egret_domain::name::PoolName;
use egret_domain::pool::{PoolSpec, Usage};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::condition::recorded;
use crate::write::{EGRESS_FINALIZER, POOL_FINALIZER};

pub(super) fn egress(object: &Egress) -> EgressFact {
    let meta = &object.metadata;
    let (pool, ip, problems) = match ValidEgress::try_from(object) {
        Ok(valid) => (valid.pool().cloned(), valid.spec_ip(), None),
        Err(problems) => {
            let spec = &object.spec;
            // As with the legible: an empty name is none.
            let pool = spec.external_ip_pool.as_deref();
            let pool = pool.filter(|pool| !pool.is_empty()).map(PoolName::from);
            (
                pool,
                address(spec.egress_ip.as_deref()),
                Some(problems.to_string()),
            )
        }
    };
    EgressFact {
        name: name(meta).into(),
        generation: meta.generation.unwrap_or_default(),
        created: created(meta),
        deleting: meta.deletion_timestamp.is_some(),
        has_finalizer: has_finalizer(meta, EGRESS_FINALIZER),
        pool,
        ip,
        is_ip_illegible: ip.is_none() && object.spec.egress_ip.is_some(),
        ip_writer: ip_writer(meta),
        problems,
        status: object.status.as_ref().map(status).unwrap_or_default(),
    }
}

fn status(status: &EgressStatus) -> control::EgressStatus {
    control::EgressStatus {
        ip: address(status.egress_ip.as_deref()),
        node: status.egress_node.as_deref().map(Into::into),
        candidates: status
            .candidates
            .iter()
            .map(|node| node.as_str().into())
            .collect(),
        conditions: recorded(&status.conditions),
    }
}

pub(super) fn pool(object: &ExternalIPPool) -> PoolFact {
    let meta = &object.metadata;
    let status = object.status.clone().unwrap_or_default();
    PoolFact {
        name: name(meta).into(),
        generation: meta.generation.unwrap_or_default(),
        created: created(meta),
        deleting: meta.deletion_timestamp.is_some(),
        has_finalizer: has_finalizer(meta, POOL_FINALIZER),
        spec: PoolSpec::try_from(object).map_err(|problems| problems.to_string()),
        usage: status.usage.map(|usage| Usage {
            total: usage.total,
            used: usage.used,
        }),
        conditions: recorded(&status.conditions),
    }
}

/// What an agent reports of its node, if it reports anything.
pub(super) fn report(node: &str, report: Option<&EgressNodeStatus>) -> Vec<Fact> {
    let Some(report) = report else {
        return vec![Fact::ReportGone(node.into())];
    };
    let mut conditions = report.conditions.iter();
    let is_unfit =
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "False");
    let overlapped = report.overlapped.iter();
    vec![
        Fact::NodeFitness {
            node: node.into(),
            is_fit: !is_unfit,
        },
        Fact::Overlapped {
            node: node.into(),
            egresses: overlapped.map(|name| name.as_str().into()).collect(),
        },
    ]
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// Unix seconds; an object without comes last.
fn created(meta: &ObjectMeta) -> i64 {
    meta.creation_timestamp
        .as_ref()
        .map_or(i64::MAX, |time| time.0.as_second())
}

fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers
        .iter()
        .flatten()
        .any(|found| found == finalizer)
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests;
