//! What every Egret process shares: arguments, logs, the admin server, shutdown, and how the API server is read and
//! written.
//!
//! Owns the mechanics of a process and of the Kubernetes API. Never knows what an egress IP is: it does not depend on
//! `egret-domain`.
//!
//! Start reading at [`process`].

pub mod admin;
pub mod apply;
pub mod args;
pub mod backoff;
pub mod client;
pub mod process;
pub mod ready;
pub mod retry;
pub mod tasks;
pub mod telemetry;
pub mod watch;

/// An error of any kind, for the places where a process only reports it: with its causes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An error and its causes in one line.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        // Some errors already repeat their cause.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
