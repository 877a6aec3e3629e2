//! The lab itself, from outside: through its commands, with real namespaces and a real API server.
//!
//! Each test has labs of its own in a folder of its own, so they run side by side.
#![expect(clippy::unwrap_used, reason = "what a test stands on must be there")]

mod cables;
mod containers;
mod driver;
mod life;
mod machine;
mod manifests;
mod pods;
mod power;
mod processes;
mod users;
