//! `Egress` to [`egret_domain::egress::Egress`].
//!
//! Owns which combinations of fields mean what. Never looks at the status.

use std::net::IpAddr;

use egret_domain::admission::EgressDraft;
use egret_domain::egress as domain;
use egret_domain::name::{EgressName, PoolName};
use egret_domain::net::Cidr;

use super::{address, bandwidth, label, metadata, remark, selector};
use crate::egress::{AppliedTo, Egress, EgressSpec, EgressStatus, NO_ADDRESS, WhenUnavailable};
use egret_domain::problem::{Problems, all, both};

impl TryFrom<&Egress> for domain::Egress {
    type Error = Problems;

    fn try_from(egress: &Egress) -> Result<Self, Problems> {
        let Egress { metadata, spec, .. } = egress;
        let who = both(
            metadata::name(metadata),
            selector::applied_to("spec.appliedTo", &spec.applied_to),
        );
        let limits = both(limit(spec), except(&spec.except_cidrs));
        let (((name, applied_to), mode), (bandwidth, except)) =
            both(both(who, mode(spec)), limits)?;
        Ok(Self {
            name: EgressName::from(name),
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata::generation(metadata),
            created: metadata::created(metadata),
            deleting: metadata::deleting(metadata),
            applied_to,
            mode,
            priority: spec.priority,
            when_unavailable: spec.when_unavailable.into(),
            except,
            bandwidth,
        })
    }
}

/// What can be read, although the rest cannot.
impl From<&Egress> for EgressDraft {
    fn from(egress: &Egress) -> Self {
        let Egress {
            metadata,
            spec,
            status,
        } = egress;
        let problems = domain::Egress::try_from(egress)
            .err()
            .map(Problems::into_vec);
        Self {
            name: metadata::name(metadata).unwrap_or_default().into(),
            created: metadata::created(metadata),
            deleting: metadata::deleting(metadata),
            pool: pool(spec).ok().flatten(),
            ip: egress_ip(spec).ok().flatten(),
            lacks_address: lacks_address(spec),
            held: status.as_ref().and_then(held),
            is_rehearsed: false,
            applied_to: selector::applied_to("spec.appliedTo", &spec.applied_to).ok(),
            priority: spec.priority,
            problems: problems.unwrap_or_default(),
            remarks: remark::host_bits(indexed("spec.exceptCIDRs", &spec.except_cidrs)),
        }
    }
}

fn lacks_address(spec: &EgressSpec) -> bool {
    let has_one = spec.egress_ip.is_some() || spec.external_ip_pool.is_some();
    !has_one && spec.egress_ips.is_empty() && spec.external_ip_pools.is_empty()
}

/// The address that a node holds.
fn held(status: &EgressStatus) -> Option<IpAddr> {
    status.egress_node.as_ref()?;
    status.egress_ip.as_deref()?.parse().ok()
}

/// By itself, for an Egress of which the rest cannot be used.
impl TryFrom<&AppliedTo> for egret_domain::selector::AppliedTo {
    type Error = Problems;

    fn try_from(given: &AppliedTo) -> Result<Self, Problems> {
        selector::applied_to("spec.appliedTo", given)
    }
}

impl From<WhenUnavailable> for domain::WhenUnavailable {
    fn from(given: WhenUnavailable) -> Self {
        match given {
            WhenUnavailable::Drop => Self::Drop,
            WhenUnavailable::NodeIp => Self::NodeIp,
        }
    }
}

fn mode(spec: &EgressSpec) -> Result<domain::Mode, Problems> {
    let fields = both(egress_ip(spec), pool(spec));
    let ((ip, pool), _) = both(fields, without_lists(spec))?;
    match (pool, ip) {
        (Some(pool), ip) => Ok(domain::Mode::Pooled { pool, ip }),
        (None, Some(ip)) => Ok(domain::Mode::Static { ip }),
        (None, None) => Err(Problems::at("spec", NO_ADDRESS)),
    }
}

fn egress_ip(spec: &EgressSpec) -> Result<Option<IpAddr>, Problems> {
    let parse =
        |text| address::routable(text).map_err(|bad| Problems::of("spec.egressIP", text, bad));
    spec.egress_ip.as_deref().map(parse).transpose()
}

fn pool(spec: &EgressSpec) -> Result<Option<PoolName>, Problems> {
    let parse = |text| {
        let name = label::object_name(text);
        name.map(PoolName::from)
            .map_err(|bad| Problems::of("spec.externalIPPool", text, bad))
    };
    spec.external_ip_pool.as_deref().map(parse).transpose()
}

/// The lists are part of the inherited schema; Egret gives an Egress one address.
fn without_lists(spec: &EgressSpec) -> Result<((), ()), Problems> {
    let unsupported = |list: &str, instead: &str, given: &[String]| match given.first() {
        None => Ok(()),
        Some(_) => Err(Problems::at(
            &format!("spec.{list}"),
            format!("is not supported: remove it and set {instead}, in one Egress per address"),
        )),
    };
    both(
        unsupported("egressIPs", "egressIP", &spec.egress_ips),
        unsupported("externalIPPools", "externalIPPool", &spec.external_ip_pools),
    )
}

fn limit(spec: &EgressSpec) -> Result<Option<domain::Bandwidth>, Problems> {
    let given = spec.bandwidth.as_ref();
    given
        .map(|given| bandwidth::bandwidth("spec.bandwidth", given))
        .transpose()
}

fn except(given: &[String]) -> Result<Vec<Cidr>, Problems> {
    all(indexed("spec.exceptCIDRs", given)
        .map(|(path, text)| address::network(text).map_err(|bad| Problems::of(&path, text, bad))))
}

/// The items of a list with their paths.
pub(super) fn indexed<'a>(
    list: &'a str,
    items: &'a [String],
) -> impl Iterator<Item = (String, &'a str)> {
    let items = items.iter().enumerate();
    items.map(move |(index, text)| (format!("{list}[{index}]"), text.as_str()))
}

#[cfg(test)]
mod tests;
