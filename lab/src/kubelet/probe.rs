//! Probes: what a manifest asks for, what a row of answers says, and the asking itself.
//!
//! Owns the counting. Never acts on an answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe as Manifest};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::netns::Netns;
use crate::request;

/// A probe that the lab cannot make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unprobable {
    /// Only HTTP.
    #[error("only probes by httpGet over HTTP are supported in this lab")]
    Kind,
    /// No such port.
    #[error("a probe asks at port {0:?}, which the container does not name")]
    Port(String),
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    path: String,
    port: u16,
    /// Before it is made first.
    pub delay: Duration,
    /// Between one and the next.
    pub period: Duration,
    limit: Duration,
    /// So many good answers in a row make it good.
    successes: u32,
    /// So many bad ones in a row make it bad.
    failures: u32,
}

/// All probes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes {
    /// Whether it has begun.
    pub startup: Option<Probe>,
    /// Whether it may be asked.
    pub readiness: Option<Probe>,
    /// Whether it should go on.
    pub liveness: Option<Probe>,
}

impl Probes {
    /// A container's probes.
    pub fn of(container: &Container) -> Result<Self, Unprobable> {
        let ports = container.ports.iter().flatten();
        let ports: BTreeMap<&str, i32> = ports
            .filter_map(|port| Some((port.name.as_deref()?, port.container_port)))
            .collect();
        let probe = |probe: &Option<Manifest>| {
            let probe = probe.as_ref();
            probe.map(|probe| Probe::of(probe, &ports)).transpose()
        };
        Ok(Self {
            startup: probe(&container.startup_probe)?,
            readiness: probe(&container.readiness_probe)?,
            liveness: probe(&container.liveness_probe)?,
        })
    }
}

impl Probe {
    fn of(probe: &Manifest, ports: &BTreeMap<&str, i32>) -> Result<Self, Unprobable> {
        let get = probe.http_get.as_ref().ok_or(Unprobable::Kind)?;
        if get.scheme.as_deref().unwrap_or("HTTP") != "HTTP" || get.host.is_some() {
            return Err(Unprobable::Kind);
        }
        let port = match &get.port {
            IntOrString::Int(port) => Some(*port),
            IntOrString::String(name) => ports.get(name.as_str()).copied(),
        };
        let port = port.and_then(|port| u16::try_from(port).ok());
        let seconds = |value: Option<i32>, default: u32| {
            let value = value.and_then(|value| u32::try_from(value).ok());
            Duration::from_secs(value.unwrap_or(default).into())
        };
        let count = |value: Option<i32>, default: u32| {
            let value = value.and_then(|value| u32::try_from(value).ok());
            value.unwrap_or(default).max(1)
        };
        Ok(Self {
            path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
            port: port.ok_or_else(|| Unprobable::Port(format!("{:?}", get.port)))?,
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            limit: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
        })
    }

    /// Asks once, from the node, as a kubelet does.
    pub async fn ask(&self, node: &Netns, address: IpAddr) -> bool {
        let Ok(socket) = node.socket(address).await else {
            return false;
        };
        let address = SocketAddr::from((address, self.port));
        let answer = request::status(socket, address, &self.path, self.limit).await;
        answer.is_ok_and(|status| (200..400).contains(&status.as_u16()))
    }
}

/// Equal answers in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    good: u32,
    bad: u32,
}

impl Tally {
    /// After one more answer, and what they come to, if anything.
    pub fn after(self, probe: &Probe, is_good: bool) -> (Self, Option<bool>) {
        let next = if is_good {
            Self {
                good: self.good.saturating_add(1),
                bad: 0,
            }
        } else {
            Self {
                good: 0,
                bad: self.bad.saturating_add(1),
            }
        };
        let verdict = match next {
            Self { good, .. } if good >= probe.successes => Some(true),
            Self { bad, .. } if bad >= probe.failures => Some(false),
            _ => None,
        };
        (next, verdict)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;

    fn container(probe: &Value) -> Container {
        let ports = json!([{"name": "admin", "containerPort": 6090}]);
        let container = json!({"name": "c", "readinessProbe": probe, "ports": ports});
        serde_json::from_value(container).unwrap()
    }

    fn probes(probe: &Value) -> Result<Probes, Unprobable> {
        Probes::of(&container(probe))
    }

    fn probe(probe: &Value) -> Probe {
        probes(probe).unwrap().readiness.unwrap()
    }

    #[test]
    fn a_probe_is_what_its_manifest_says_and_otherwise_what_kubernetes_says() {
        let short = probe(&json!({"httpGet": {"path": "/ready", "port": "admin"}}));
        assert_eq!((short.port, short.path.as_str()), (6090, "/ready"));
        assert_eq!(short.period, Duration::from_secs(10));
        assert_eq!((short.successes, short.failures), (1, 3));
        let long = probe(&json!({"httpGet": {"port": 80}, "periodSeconds": 2,
            "failureThreshold": 5, "initialDelaySeconds": 7}));
        assert_eq!((long.port, long.path.as_str()), (80, "/"));
        assert_eq!((long.period, long.failures), (Duration::from_secs(2), 5));
        assert_eq!(long.delay, Duration::from_secs(7));
    }

    #[test]
    fn a_probe_that_cannot_be_made_is_refused() {
        let unnamed = probes(&json!({"httpGet": {"port": "other"}}));
        assert!(matches!(unnamed, Err(Unprobable::Port(_))));
        for other in [
            json!({"exec": {"command": ["true"]}}),
            json!({"httpGet": {"port": 1, "scheme": "HTTPS"}}),
        ] {
            assert_eq!(probes(&other), Err(Unprobable::Kind));
        }
    }

    #[test]
    fn only_answers_in_a_row_come_to_something() {
        let probe = probe(&json!({"httpGet": {"port": 1}, "failureThreshold": 2}));
        let mut tally = Tally::default();
        let mut verdicts = Vec::new();
        for is_good in [false, true, false, true, false, false] {
            let (next, verdict) = tally.after(&probe, is_good);
            tally = next;
            verdicts.push(verdict);
        }
        assert_eq!(
            verdicts,
            [None, Some(true), None, Some(true), None, Some(false)]
        );
    }

    async fn answers(status: StatusCode) -> bool {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/ready", get(move || async move { status }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let probe = probe(&json!({"httpGet": {"port": port, "path": "/ready"}}));
        probe.ask(&Netns::Root, IpAddr::from([127, 0, 0, 1])).await
    }

    #[tokio::test]
    async fn one_that_answers_well_is_good() {
        assert!(answers(StatusCode::OK).await);
        assert!(!answers(StatusCode::SERVICE_UNAVAILABLE).await);
        let nobody = probe(&json!({"httpGet": {"port": 1}}));
        assert!(!nobody.ask(&Netns::Root, IpAddr::from([127, 0, 0, 1])).await);
    }
}
