//! The writing of one object.
//!
//! Owns the order of the writes to it, and what is counted and told of each. Never decides, never tries again.

use std::sync::Arc;

use egret_crds::{Egress, ExternalIPPool};
use egret_domain::condition::Type;
use egret_domain::control::{EgressWrite, PoolWrite};
use egret_runtime::apply::Error;
use egret_runtime::metrics::writes::outcome;
use egret_runtime::packed::Packed;
use jiff::Timestamp;
use tracing::{debug, info};

use crate::metrics::Metrics;
use crate::write::Writer;

/// All that is to be written to one object.
pub(super) enum Job {
    Egress(Vec<EgressWrite>, Arc<Packed<Egress>>),
    Pool(Vec<PoolWrite>, Arc<Packed<ExternalIPPool>>),
}

impl Job {
    /// Writes in order, up to the first failure: later writes count on earlier ones.
    pub(super) async fn carry_out(self, to: &Writer, metrics: &Metrics) -> Result<(), Error> {
        match self {
            Self::Egress(writes, packed) => {
                for write in &writes {
                    let result = write_egress(to, write, &packed, metrics).await;
                    metrics.count(egress_write(write), outcome(&result));
                    result?;
                }
            }
            Self::Pool(writes, packed) => {
                for write in &writes {
                    let result = write_pool(to, write, &packed).await;
                    metrics.count(pool_write(write), outcome(&result));
                    result?;
                }
            }
        }
        Ok(())
    }
}

async fn write_egress(
    to: &Writer,
    write: &EgressWrite,
    packed: &Packed<Egress>,
    metrics: &Metrics,
) -> Result<(), Error> {
    let egress = packed.unpack()?;
    to.egress(write, &egress, Timestamp::now()).await?;
    if let Some(result) = allocation(&egress, write) {
        metrics.count_allocation(result);
    }
    tell(&egress, write);
    Ok(())
}

async fn write_pool(
    to: &Writer,
    write: &PoolWrite,
    packed: &Packed<ExternalIPPool>,
) -> Result<(), Error> {
    let pool = packed.unpack()?;
    to.pool(write, &pool, Timestamp::now()).await?;
    debug!(pool = pool.metadata.name, ?write, "written");
    Ok(())
}

fn tell(egress: &Egress, write: &EgressWrite) {
    let egress = egress.metadata.name.as_deref();
    match write {
        EgressWrite::Own { ip: Some(ip), .. } => info!(egress, %ip, "egress IP given"),
        EgressWrite::Own {
            finalizer,
            ip: None,
        } => info!(egress, finalizer, "the operator chooses no egress IP"),
        EgressWrite::Release => info!(egress, "its deletion need not wait for a node"),
        EgressWrite::ClearHolder { node, because } => {
            info!(egress, %node, reason = because.reason, "the holder is gone");
        }
        EgressWrite::Status { .. } => debug!(egress, ?write, "status written"),
    }
}

/// What this write tells the Egress about the address that it wants, if it was not told so before.
fn allocation(egress: &Egress, write: &EgressWrite) -> Option<&'static str> {
    let EgressWrite::Status { conditions, .. } = write else {
        return None;
    };
    let told = conditions
        .iter()
        .find(|told| told.kind == Type::IpAllocated)?;
    let mut before = egress.status.iter().flat_map(|status| &status.conditions);
    let is_known = before
        .any(|before| before.type_ == Type::IpAllocated.as_str() && before.reason == told.reason);
    (!is_known).then_some(told.reason)
}

fn egress_write(write: &EgressWrite) -> &'static str {
    match write {
        EgressWrite::Own { .. } => "egress_own",
        EgressWrite::Release => "egress_release",
        EgressWrite::Status { .. } => "egress_status",
        EgressWrite::ClearHolder { .. } => "egress_clear_holder",
    }
}

fn pool_write(write: &PoolWrite) -> &'static str {
    match write {
        PoolWrite::Guard => "pool_guard",
        PoolWrite::Release => "pool_release",
        PoolWrite::Status { .. } => "pool_status",
    }
}
