//! The two questions that can be asked over HTTP: what to add to an object, and whether it may be stored.
//!
//! Owns their paths, and what is answered when something is no question at all. Never lets anything through by accident:
//! only a question that was understood in full can be answered with "allowed". Logs no object, of one that cannot be read
//! at most the few words that say why, and who asks only at debug.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use egret_domain::admission::Index;
use egret_runtime::describe;
use egret_runtime::ready::Readiness;
use kube::Client;
use thiserror::Error;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::answer::{Answer, Verdict};
use crate::body::{self, Room, Whole};
use crate::cache::Cache;
use crate::default::default;
use crate::metrics::{Asked, Metrics};
use crate::review::{self, Kind, Malformed, Request};
use crate::validate::{Opinion, validate};

/// How often one answer makes look again.
const ROUNDS: usize = 2;
/// The time for that. The API server itself waits 5 s for the answer.
const SECOND_LOOK_LIMIT: Duration = Duration::from_secs(1);

/// What answers are made of.
#[derive(Clone)]
pub struct Sources {
    /// What is known.
    pub cache: Cache,
    /// Whether enough is known to answer.
    pub readiness: Readiness,
    /// For second looks.
    pub client: Client,
    /// For bodies.
    pub room: Room,
    /// What is counted.
    pub metrics: Metrics,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// What to add to an object.
    Mutate,
    /// Whether it may be stored.
    Validate,
}

impl Question {
    const ALL: [Self; 2] = [Self::Mutate, Self::Validate];

    fn path(self) -> &'static str {
        match self {
            Self::Mutate => "/mutate",
            Self::Validate => "/validate",
        }
    }

    fn opinion(self, index: &Index, request: &Request) -> Opinion {
        match self {
            Self::Mutate => default(index, request),
            Self::Validate => validate(index, request),
        }
    }

    /// The question in a few words, whose number is limited whatever is asked.
    fn asked(self, request: Option<&Request>) -> Asked {
        let kind = request.and_then(|request| request.subject().ok());
        let operation = request.map(|request| request.operation.as_str());
        Asked {
            stage: match self {
                Self::Mutate => "mutate",
                Self::Validate => "validate",
            },
            kind: kind.map_or("other", Kind::as_str),
            operation: match operation {
                Some("CREATE") => "create",
                Some("UPDATE") => "update",
                Some("DELETE") => "delete",
                _ => "other",
            },
        }
    }
}

/// Why a request is no question.
#[derive(Debug, Error)]
enum Refused {
    #[error("not ready: waiting for {0}")]
    NotReady(String),
    #[error("not JSON: send Content-Type: application/json")]
    ContentType,
    #[error(transparent)]
    Body(#[from] body::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotReady(_) | Self::Body(body::Error::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(body::Error::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(body::Error::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(body::Error::CutShort(_)) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// One word for metrics.
    fn result(&self) -> &'static str {
        match self {
            Self::NotReady(_) => "not_ready",
            Self::ContentType => "content_type",
            Self::Body(body::Error::TooLarge) => "too_large",
            Self::Body(body::Error::TooSlow) => "too_slow",
            Self::Body(body::Error::Busy) => "busy",
            Self::Body(body::Error::CutShort(_)) => "cut_short",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// The paths and their answers.
pub fn router(sources: Sources) -> Router {
    let mut router = Router::new();
    for question in Question::ALL {
        let handler = move |State(sources): State<Sources>, headers: HeaderMap, body: Body| {
            handle(sources, question, headers, body)
        };
        router = router.route(question.path(), post(handler));
    }
    router.with_state(sources)
}

async fn handle(sources: Sources, question: Question, headers: HeaderMap, body: Body) -> Response {
    let begun = Instant::now();
    let (asked, result, response) = match read(&sources, &headers, body).await {
        // The body keeps its place until the answer is there: what it takes in memory is more than itself.
        Ok((request, _whole)) => {
            let answer = answer(&sources, question, &request).await;
            let response = Json(answer.encode(&request)).into_response();
            (question.asked(Some(&request)), answer.result(), response)
        }
        Err(refused) => {
            let error = describe(&refused);
            warn!(?question, error, "not a question");
            let response = (refused.status(), format!("{error}\n")).into_response();
            (question.asked(None), refused.result(), response)
        }
    };
    sources.metrics.count(asked, result, begun.elapsed());
    response
}

async fn read(
    sources: &Sources,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Request, Whole), Refused> {
    let awaited = sources.readiness.awaited();
    if !awaited.is_empty() {
        return Err(Refused::NotReady(awaited.join(", ")));
    }
    if !is_json(headers) {
        return Err(Refused::ContentType);
    }
    let whole = sources.room.read(body).await?;
    Ok((review::decode(&whole.bytes)?, whole))
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE);
    let text = given
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// The answer to a question. What a refusal rests on is looked at again before, and once more what the next one rests on
/// that follows from that.
async fn answer(sources: &Sources, question: Question, request: &Request) -> Answer {
    let opinion = || {
        let cache = &sources.cache;
        cache.ask(|index| question.opinion(index, request))
    };
    let end = Instant::now() + SECOND_LOOK_LIMIT;
    let (mut last, mut seen) = (opinion(), BTreeSet::new());
    for _ in 0..ROUNDS {
        let new = last.doubts.difference(&seen).collect::<Vec<_>>();
        if new.is_empty() {
            break;
        }
        let is_done = sources.cache.look_again(new, &sources.client, end).await;
        seen.append(&mut last.doubts);
        last = opinion();
        if !is_done {
            break;
        }
    }
    tell(question, request, &last.answer);
    last.answer
}

fn tell(question: Question, request: &Request, answer: &Answer) {
    let Asked {
        stage,
        kind,
        operation,
    } = question.asked(Some(request));
    let (name, result) = (request.name.as_str(), answer.result());
    match &answer.verdict {
        Verdict::Allowed(_) => debug!(stage, kind, name, operation, result, "answered"),
        Verdict::Invalid(problems) => {
            let problems = problems.as_slice().len();
            info!(stage, kind, name, operation, result, problems, "refused");
        }
        Verdict::Unreadable(why) => {
            warn!(stage, kind, name, operation, result, why, "refused");
        }
    }
    debug!(user = request.user_info.username, kind, name, "asked");
}

#[cfg(test)]
mod tests;
