//! The operator's process: a thin shell around [`egret_domain::control`].
//!
//! Owns reading objects into facts and carrying decisions out. Never decides who gets which egress IP or which node may
//! hold it. It may be killed at any moment: everything it knows is in the objects.
//!
//! Start reading at [`run`]; facts come from [`feed`] and [`liveness`], decisions leave through [`write`], and
//! [`reconcile`] is between. All writes are those of the replica that leads: [`lease`]. Beside this, and without a word to
//! it, [`certificate`] has the webhook's certificates and registration, [`agents`] the agents' configuration, keys and
//! `DaemonSet`, which [`keeper`] keeps, and [`teardown`] what an uninstall needs.
#![forbid(unsafe_code)]

pub mod agents;
pub mod args;
pub mod certificate;
pub mod events;
pub mod feed;
pub mod keeper;
pub mod lease;
pub mod liveness;
pub mod metrics;
pub mod reconcile;
pub mod run;
pub mod teardown;
pub mod write;

mod catching_up;
mod condition;
mod queue;
