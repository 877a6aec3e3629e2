//! Egret from outside: what the black-box suites in `tests/` and the demo stand on.
//!
//! Owns the driving of a cluster through its public faces: kubectl, requests from Pods, what an external host sees,
//! and faults. Never looks into Egret's processes, and shares no code with them: what it says of an object is read from
//! the API as a user reads it.
//!
//! Start reading at [`lab::Lab`]; a suite is a sequence of its methods and of [`patience::wait_until`].
#![forbid(unsafe_code)]

pub mod binaries;
pub mod chaos;
pub mod lab;
pub mod manifest;
pub mod object;
pub mod offers;
pub mod patience;
pub mod stream;
