//! The webhook's process: it answers what the API server asks about Egresses and pools before it stores them.
//!
//! Owns the certificate that it serves. Never writes an object.
#![forbid(unsafe_code)]

pub mod certificate;
