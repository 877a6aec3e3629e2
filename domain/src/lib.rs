//! Egret's decisions, as pure functions over values.
//!
//! Owns what is true of egress IPs, pools, candidates, ownership and the datapath: every rule that decides something
//! stands here. Never does I/O, never reads a clock, never knows Kubernetes or tokio: what happened comes in as a
//! value, what to do goes out as a value, and the same input gives the same output.
//!
//! Start reading at [`control`] for the operator's decisions, at [`node`] for an agent's, and at [`admission`] for what
//! is refused before either sees it.
#![forbid(unsafe_code)]

mod addresses;
mod groups;
mod listing;

pub mod admission;
pub mod condition;
pub mod control;
pub mod datapath;
pub mod egress;
pub mod leadership;
pub mod name;
pub mod net;
pub mod node;
pub mod overlap;
pub mod ownership;
pub mod placement;
pub mod pool;
pub mod problem;
pub mod selector;
