//! The webhook's process: it answers what the API server asks about Egresses and pools before it stores them.
//!
//! Owns reading the question, the cache that the answer is found in, the answer's form, and the certificate that is
//! served. Never decides what is wrong with an object: the fields are read by `egret-crds`, what they have to do with other
//! objects is known to [`egret_domain::admission`]. Writes nothing but its answers.
//!
//! Start reading at [`server`]: a question is decoded by [`review`], answered by [`default`] or [`validate`] from the
//! [`cache`], and given its form by [`answer`]. [`serve`] is beneath, with TLS and the end without loss.
#![forbid(unsafe_code)]

pub mod answer;
pub mod args;
pub mod body;
pub mod cache;
pub mod certificate;
pub mod default;
mod excerpt;
pub mod guests;
pub mod metrics;
pub mod outgoing;
pub mod review;
pub mod run;
pub mod serve;
pub mod server;
pub mod validate;
