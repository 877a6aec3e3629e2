//! The namespace that a process lives in.
//!
//! Owns its name, and the question whether it is being deleted: then SIGTERM means the end of Egret in this cluster, and
//! otherwise a restart. Never acts on the answer. Whatever is not known for certain is a restart.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::describe;
use crate::process::GRACE;

/// The namespace that Egret lives in. There is no choice: the roles name it, and so does what the API server is told of
/// the operator.
pub const NAMESPACE: &str = "egret-system";

/// A process that is only to be started again does not wait longer than this for an API server that does not answer.
const LIMIT: Duration = Duration::from_secs(3);
/// No single try takes longer.
const TRY_LIMIT: Duration = Duration::from_secs(1);
/// What a process may take to remove everything from its node, once it knows that this is the end of Egret.
pub const CLEANING: Duration = Duration::from_secs(8);
/// The longest that such a process lives after SIGTERM: its tasks end, it asks, and cleans up.
pub const LONGEST_END: Duration =
    Duration::from_secs(GRACE.as_secs() + LIMIT.as_secs() + CLEANING.as_secs());
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// Whether this namespace is being deleted.
pub async fn is_going(client: &Client, name: &str) -> bool {
    let api = Api::<Namespace>::all(client.clone());
    let asking = async {
        loop {
            match timeout(TRY_LIMIT, api.get_opt(name)).await {
                Ok(Ok(found)) => {
                    return found.is_some_and(|found| found.metadata.deletion_timestamp.is_some());
                }
                // It has answered, and will not answer otherwise.
                Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) => {
                    info!(error = status.message, "taken for a restart");
                    return false;
                }
                Ok(Err(error)) => info!(error = describe(&error), "namespace not read"),
                Err(_) => info!("namespace not read in time"),
            }
            sleep(BETWEEN_TRIES).await;
        }
    };
    timeout(LIMIT, asking).await.unwrap_or_else(|_| {
        warn!(
            namespace = name,
            "not known whether it is being deleted: taken for a restart"
        );
        false
    })
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_test::mock::pair;

    use super::*;

    /// An API server that answers so to everything, or not at all.
    fn answering(answer: Option<(u16, Value)>) -> Client {
        let (service, handle) = pair::<Request<Body>, Response<Body>>();
        tokio::spawn(async move {
            let mut handle = Box::pin(handle);
            let mut unanswered = Vec::new();
            while let Some((_, send)) = handle.next_request().await {
                match &answer {
                    Some((code, body)) => {
                        let body = Body::from(body.to_string().into_bytes());
                        let response = Response::builder().status(*code).body(body);
                        send.send_response(response.unwrap());
                    }
                    None => unanswered.push(send),
                }
            }
        });
        Client::new(service, "default")
    }

    fn namespace(metadata: &Value) -> (u16, Value) {
        (200, json!({"metadata": metadata}))
    }

    fn refusal(code: u16) -> (u16, Value) {
        let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"});
        (code, status)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_going_only_when_the_api_server_says_so() {
        let deleted = json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert!(is_going(&answering(Some(namespace(&deleted))), "a").await);
        let there = json!({"name": "a"});
        assert!(!is_going(&answering(Some(namespace(&there))), "a").await);
        for code in [401, 403, 404] {
            assert!(
                !is_going(&answering(Some(refusal(code))), "a").await,
                "{code}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_does_not_wait_for_an_api_server_that_does_not_answer() {
        let begin = tokio::time::Instant::now();
        assert!(!is_going(&answering(None), "a").await);
        assert!(begin.elapsed() <= LIMIT);
        assert!(!is_going(&answering(Some(refusal(503))), "a").await);
    }
}
