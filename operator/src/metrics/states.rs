//! The metrics of Egresses, pools and nodes by state.
//!
//! Owns the gauges that a census fills. Never counts by itself (see `egret_domain::control::Census`).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use egret_domain::control::{Census, Counts, State};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The gauges. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(super) struct States {
    egresses: ByState,
    pools: ByState,
    allocated: Gauge,
    exhausted: Gauge,
    addresses: Gauge,
    used: Gauge,
    nodes: Family<Fit, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fit {
    fit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    ready: &'static str,
    reason: &'static str,
}

/// One gauge for each state that has ever been seen: one that nobody is in any more shows 0.
#[derive(Debug, Clone, Default)]
struct ByState {
    gauges: Family<Labels, Gauge>,
    seen: Arc<Mutex<BTreeSet<State>>>,
}

impl ByState {
    fn show(&self, counts: &Counts) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(counts.keys());
        for state in seen.iter() {
            let labels = Labels {
                ready: if state.is_ready { "true" } else { "false" },
                reason: state.reason,
            };
            let count = counts.get(state).copied().unwrap_or_default();
            self.gauges.get_or_create(&labels).set(count);
        }
    }
}

impl States {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "egresses",
            "Egresses by their condition Ready",
            self.egresses.gauges.clone(),
        );
        registry.register(
            "egresses_allocated",
            "Egresses that have an address of a pool",
            self.allocated.clone(),
        );
        registry.register(
            "pools",
            "Pools by their condition Ready",
            self.pools.gauges.clone(),
        );
        registry.register(
            "pools_exhausted",
            "Pools without a free address",
            self.exhausted.clone(),
        );
        registry.register(
            "pool_addresses",
            "Addresses that all pools together hand out",
            self.addresses.clone(),
        );
        registry.register(
            "pool_addresses_used",
            "Addresses of pools that are in use",
            self.used.clone(),
        );
        registry.register(
            "nodes",
            "Nodes by whether they can be a gateway, as their agents report",
            self.nodes.clone(),
        );
    }

    pub(super) fn show(&self, census: &Census) {
        self.egresses.show(&census.egresses);
        self.pools.show(&census.pools);
        for (gauge, count) in [
            (&self.allocated, census.allocated),
            (&self.exhausted, census.exhausted),
            (&self.addresses, census.addresses),
            (&self.used, census.used),
        ] {
            gauge.set(count);
        }
        for (fit, count) in [("true", census.fit_nodes), ("false", census.unfit_nodes)] {
            self.nodes.get_or_create(&Fit { fit }).set(count);
        }
    }
}
