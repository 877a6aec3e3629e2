//! What is asked of the API server.
//!
//! Owns the counting of requests, as a layer around the client. Never changes a request, nor what comes back.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Seconds. The client gives up what has no answer after 10.
const BUCKETS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// What is asked for by name; all else is `other`.
const RESOURCES: [&str; 20] = [
    "configmaps",
    "customresourcedefinitions",
    "daemonsets",
    "deployments",
    "egresses",
    "egressnodes",
    "endpointslices",
    "events",
    "externalippools",
    "leases",
    "mutatingwebhookconfigurations",
    "namespaces",
    "nodes",
    "pods",
    "secrets",
    "servicecidrs",
    "services",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// What is counted. Clones count together.
#[derive(Debug, Clone)]
pub struct Requests {
    answers: Family<Answered, Counter>,
    seconds: Family<Asked, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    verb: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    resource: &'static str,
    result: &'static str,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            answers: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "api_requests",
            "Requests to the API server, by what came of them",
            self.answers.clone(),
        );
        registry.register_with_unit(
            "api_request",
            "Time from a request to the head of its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
    }
}

impl<S> Layer<S> for Requests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            requests: self.clone(),
        }
    }
}

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut pending = Pending::new(self.requests.clone(), &request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            pending.ended(match &answer {
                Ok(answer) => result(answer.status()),
                Err(_) => "connection",
            });
            answer
        })
    }
}

/// A request without an answer yet. It is counted in the end, also if whoever asked no longer waits.
struct Pending {
    requests: Requests,
    verb: &'static str,
    resource: &'static str,
    result: &'static str,
    begin: Instant,
}

impl Pending {
    fn new<B>(requests: Requests, request: &Request<B>) -> Self {
        let uri = request.uri();
        let place = Place::of(uri.path());
        Self {
            requests,
            verb: verb(request.method(), place, uri.query().unwrap_or_default()),
            resource: place.resource,
            result: "given_up",
            begin: Instant::now(),
        }
    }

    fn ended(&mut self, result: &'static str) {
        self.result = result;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Self {
            verb,
            resource,
            result,
            ..
        } = *self;
        let answered = Answered {
            verb,
            resource,
            result,
        };
        self.requests.answers.get_or_create(&answered).inc();
        let seconds = self.requests.seconds.get_or_create(&Asked { verb });
        seconds.observe(self.begin.elapsed().as_secs_f64());
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    resource: &'static str,
    is_named: bool,
}

impl Place {
    /// Of `/api/V/…` or `/apis/G/V/…`, there `RESOURCE[/NAME…]`, below `namespaces/N/` where it is in a namespace.
    fn of(path: &str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let before_resource = if parts.next() == Some("apis") { 2 } else { 1 };
        let parts: Vec<_> = parts.skip(before_resource).collect();
        let (resource, is_named) = match parts.as_slice() {
            ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => {
                (*resource, !rest.is_empty())
            }
            [] => ("", false),
        };
        let known = RESOURCES.into_iter().find(|known| *known == resource);
        Self {
            resource: known.unwrap_or("other"),
            is_named,
        }
    }
}

fn verb(method: &Method, place: Place, query: &str) -> &'static str {
    let is_watch = || query.split('&').any(|part| part.starts_with("watch="));
    match *method {
        Method::GET if is_watch() => "watch",
        Method::GET if place.is_named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// The same words as of a failed write.
fn result(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "throttled",
        400..=499 => "refused",
        500..=599 => "server",
        _ => "ok",
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::timeout;
    use tower::{ServiceExt, service_fn};

    use super::*;

    fn text(requests: &Requests) -> String {
        let mut registry = Registry::default();
        requests.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    async fn ask(requests: &Requests, method: Method, uri: &str, status: u16) {
        let answer = Response::builder().status(status).body(()).unwrap();
        let service = requests.layer(service_fn(|_| ready(Ok::<_, Infallible>(answer.clone()))));
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        service.oneshot(request).await.unwrap();
    }

    #[tokio::test]
    async fn requests_are_counted_by_verb_kind_and_result_and_by_no_name() {
        let requests = Requests::default();
        let egress = "/apis/crd.antrea.io/v1beta1/egresses";
        for (method, uri, status, line) in [
            (
                Method::PATCH,
                format!("{egress}/web/status?force=true"),
                409,
                r#"verb="patch",resource="egresses",result="conflict""#,
            ),
            (
                Method::GET,
                format!("{egress}?watch=true&resourceVersion=7"),
                200,
                r#"verb="watch",resource="egresses",result="ok""#,
            ),
            (
                Method::GET,
                "/api/v1/namespaces".to_owned(),
                403,
                r#"verb="list",resource="namespaces",result="forbidden""#,
            ),
            (
                Method::GET,
                "/api/v1/namespaces/egret-system".to_owned(),
                200,
                r#"verb="get",resource="namespaces",result="ok""#,
            ),
            (
                Method::GET,
                "/api/v1/namespaces/egret-system/secrets/egret-ca".to_owned(),
                404,
                r#"verb="get",resource="secrets",result="not_found""#,
            ),
            (
                Method::POST,
                "/apis/example.com/v1/namespaces/a/surprises".to_owned(),
                503,
                r#"verb="create",resource="other",result="server""#,
            ),
        ] {
            ask(&requests, method, &uri, status).await;
            let text = text(&requests);
            let line = format!("api_requests_total{{{line}}} 1");
            assert!(text.contains(&line), "{line}\n{text}");
        }
        let text = text(&requests);
        assert!(!text.contains("web") && !text.contains("egret"), "{text}");
        let lists = r#"api_request_seconds_count{verb="list"} 1"#;
        assert!(text.contains(lists), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_nobody_waits_for_any_more_is_counted() {
        let requests = Requests::default();
        let service = requests.layer(service_fn(|_: Request<()>| {
            pending::<Result<Response<()>, Infallible>>()
        }));
        let asked = service.oneshot(Request::get("/api/v1/nodes").body(()).unwrap());
        assert!(timeout(Duration::from_secs(9), asked).await.is_err());
        let text = text(&requests);
        let given_up = r#"api_requests_total{verb="list",resource="nodes",result="given_up"} 1"#;
        assert!(text.contains(given_up), "{text}");
        let slow = r#"api_request_seconds_bucket{le="2.5",verb="list"} 0"#;
        assert!(text.contains(slow), "{text}");
    }
}
