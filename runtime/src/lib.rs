//! What every Egret process shares: arguments, logs, the admin server, shutdown, and how the API server is read and
//! written.
//!
//! Owns the mechanics of a process and of the Kubernetes API. Never knows what an egress IP is: it does not depend on
//! `egret-domain`.
//!
//! Start reading at [`process`].
#![forbid(unsafe_code)]

pub mod admin;
pub mod apply;
pub mod args;
pub mod backoff;
pub mod client;
pub mod fence;
pub mod home;
pub mod levels;
pub mod live;
pub mod metrics;
pub mod packed;
pub mod process;
pub mod ready;
pub mod retry;
pub mod socket;
pub mod tasks;
pub mod telemetry;
pub mod watch;

/// An error of any kind, for the places where a process only reports it: with its causes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An error and its causes in one line.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = without_status(&error.to_string());
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = without_status(&cause.to_string());
        // Some errors already repeat their cause.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// To the API server's message, kube's errors append the whole status in Rust's notation.
fn without_status(text: &str) -> String {
    text.split(" (Status {").next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::runtime::watcher;

    use super::describe;

    #[test]
    fn an_error_of_the_api_server_is_told_once_and_in_its_own_words() {
        let status = Status::failure("nodes is forbidden", "Forbidden").with_code(403);
        let error = kube::Error::Api(status.boxed());
        let error = watcher::Error::WatchStartFailed(error);
        let text = describe(&error);
        assert_eq!(text.matches("nodes is forbidden").count(), 1, "{text}");
        assert!(!text.contains("Status"), "{text}");
    }
}
