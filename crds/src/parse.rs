//! From API objects to domain types.
//!
//! Owns the rules that one object can break by itself, as its validating webhook and its controllers see them. Never
//! looks at other objects: whether a pool exists or an IP is taken is decided in [`egret_domain`].

mod address;
pub(crate) mod bandwidth;
mod egress;
mod label;
mod metadata;
mod pool;
mod remark;
mod selector;
