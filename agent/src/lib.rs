//! The agent: one on every node. It finds out which egress IPs its node holds, makes the node's kernel do what that
//! takes, and reports it.
//!
//! Owns the shells around `egret_domain::node`: facts in ([`feed`], [`local`], [`membership`]), changes out
//! ([`kernel`]), reports out ([`status`], [`report`], [`lease`]); [`reconcile`] is the one loop between them. Never watches
//! other nodes' Pods, and on SIGTERM alone never cleans up: that is a restart. Where Egress is off, [`off`] runs instead;
//! where Egret is uninstalled, [`uninstall`] is the last that runs.
#![forbid(unsafe_code)]

pub mod announce;
pub mod args;
pub mod configuration;
pub mod feed;
pub mod kernel;
pub mod lease;
pub mod local;
pub mod membership;
pub mod metrics;
pub mod off;
mod owner;
pub mod reconcile;
pub mod report;
pub mod run;
pub mod status;
#[cfg(test)]
mod stored;
pub mod uninstall;
