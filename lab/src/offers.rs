//! A steady stream of Egresses that are offered to the API server without being stored, to see how admission answers
//! whatever happens to it.
//!
//! Owns the pace and the sum. Offers never wait for each other, up to a limit of those that are under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use kube::Client;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

/// Longer than the API server waits for a webhook.
const LIMIT: Duration = Duration::from_secs(10);
/// Offers under way; one more waits.
const AT_ONCE: usize = 200;
/// Of an error no more is needed to tell it from others.
const WORDS: usize = 200;

/// What is offered.
#[derive(Debug, Clone)]
pub struct Offers {
    /// The Egress, as JSON.
    pub egress: Value,
    /// Offers per second.
    pub rate: u32,
    /// For how long.
    pub length: Duration,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It would be stored.
    Taken,
    /// It would not, and this is why.
    Refused(String),
    /// Nobody has said whether it would.
    Failed(String),
}

/// The sum of all answers.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Offers made.
    pub sent: usize,
    /// Those that would have been stored.
    pub taken: usize,
    /// Those that would not, by what was said.
    pub refused: BTreeMap<String, usize>,
    /// Those that were not answered, by what was said.
    pub failed: BTreeMap<String, usize>,
}

impl Summary {
    fn add(&mut self, answer: Answer) {
        self.sent += 1;
        match answer {
            Answer::Taken => self.taken += 1,
            Answer::Refused(why) => *self.refused.entry(why).or_default() += 1,
            Answer::Failed(why) => *self.failed.entry(why).or_default() += 1,
        }
    }
}

impl Offers {
    /// Makes all offers, waits for the last answers, sums up.
    pub async fn run(&self, client: &Client) -> Summary {
        let (answers, mut inbox) = mpsc::channel(AT_ONCE);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut summary = Summary::default();
        for _ in 0..u64::from(self.rate) * self.length.as_secs() {
            pace.tick().await;
            let offer = offer(client.clone(), self.egress.clone());
            let (answers, permit) = (answers.clone(), room.clone().acquire_owned().await);
            tokio::spawn(async move {
                // The receiver waits for the last of these.
                let _ = answers.send(offer.await).await;
                drop(permit);
            });
            while let Ok(answer) = inbox.try_recv() {
                summary.add(answer);
            }
        }
        drop(answers);
        while let Some(answer) = inbox.recv().await {
            summary.add(answer);
        }
        summary
    }
}

async fn offer(client: Client, egress: Value) -> Answer {
    let Some(request) = request(&egress) else {
        return Answer::Failed("the Egress has no name that a request could carry".to_owned());
    };
    match tokio::time::timeout(LIMIT, client.request::<Value>(request)).await {
        Ok(Ok(_)) => Answer::Taken,
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 403 | 422) => {
            Answer::Refused(beginning(&status.message))
        }
        Ok(Err(error)) => Answer::Failed(beginning(&error.to_string())),
        Err(_) => Answer::Failed(format!("no answer within {LIMIT:?}")),
    }
}

/// A server-side apply that is only a rehearsal.
fn request(egress: &Value) -> Option<http::Request<Vec<u8>>> {
    let name = egress.pointer("/metadata/name")?.as_str()?;
    let path = format!(
        "/apis/crd.antrea.io/v1beta1/egresses/{name}?dryRun=All&force=true&fieldManager=lab"
    );
    http::Request::patch(path)
        .header(CONTENT_TYPE, "application/apply-patch+yaml")
        .body(egress.to_string().into_bytes())
        .ok()
}

fn beginning(text: &str) -> String {
    text.chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_counted_by_what_was_said() {
        let mut summary = Summary::default();
        let refused = || Answer::Refused("no".to_owned());
        for answer in [
            Answer::Taken,
            refused(),
            refused(),
            Answer::Failed("?".to_owned()),
        ] {
            summary.add(answer);
        }
        assert_eq!((summary.sent, summary.taken), (4, 1));
        assert_eq!(summary.refused, BTreeMap::from([("no".to_owned(), 2)]));
        assert_eq!(summary.failed, BTreeMap::from([("?".to_owned(), 1)]));
    }

    #[test]
    fn an_offer_is_a_rehearsal_of_just_this_egress() {
        let request = request(&json!({"metadata": {"name": "web"}})).unwrap();
        assert!(request.uri().path().ends_with("/egresses/web"));
        assert!(request.uri().query().unwrap().contains("dryRun=All"));
        assert!(super::request(&json!({})).is_none());
    }
}
