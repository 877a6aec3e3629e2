//! Egret's API: the objects as YAML spells them, their schemas, and their parsing into domain types.
//!
//! Owns every field name, default and structural rule of `crd.antrea.io` and `egret.dev`. Never decides anything: an
//! object that parses is handed to [`egret_domain`], one that does not yields
//! [`Problems`](egret_domain::problem::Problems), all of them at once.
//!
//! Start reading at [`egress`] and [`pool`]. `TryFrom<&Egress>` and `TryFrom<&ExternalIPPool>` do the parsing; what can
//! be read of an object although the rest cannot is a draft ([`egret_domain::admission`]); [`defaults`] fills in what is
//! absent, and [`manifest`] prints the schemas. Beside the kinds there are two texts that the operator writes for agents:
//! [`settings`] and [`keyring`].
#![forbid(unsafe_code)]

pub mod cluster;
pub mod defaults;
pub mod egress;
pub mod keyring;
pub mod manager;
pub mod manifest;
pub mod node;
pub mod pool;
pub mod quantity;
pub mod salvage;
pub mod selector;
pub mod settings;

mod digest;
mod parse;

pub use egress::{Egress, EgressSpec, EgressStatus};
pub use node::{EgressNode, EgressNodeStatus};
pub use pool::{ExternalIPPool, ExternalIPPoolSpec, ExternalIPPoolStatus};
