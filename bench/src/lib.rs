//! Measurements of Egret.
//!
//! Owns what is measured and how it is written down: each figure stands beside a baseline that was measured in the same
//! run, for a time by itself says more about the machine than about Egret. Never asserts a time, and is never linked into
//! anything.
//!
//! Start reading at [`admission`], [`allocation`] or [`datapath`], each run by the program of the same name.
#![forbid(unsafe_code)]

pub mod admission;
pub mod allocation;
pub mod datapath;
pub mod machine;
pub mod publication;
pub mod sample;
pub mod table;
