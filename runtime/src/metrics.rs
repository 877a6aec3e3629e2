//! The metrics that every process has: what it is, what it asks of the API server, and how its watches fare.
//!
//! Owns their registry, and the names of what a process is; [`requests`], `watches` and [`writes`] have their own.
//! There is one set of them, as there is one process: what counts need not be handed to whoever makes a request. Never
//! has the name of an object or node, an address or a message in a label.

#[cfg(any(test, feature = "page"))]
pub mod page;
pub mod requests;
pub(crate) mod watches;
pub mod writes;

use std::sync::LazyLock;

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::requests::Requests;
use self::watches::Watches;

/// What is counted in this process.
#[derive(Debug, Default)]
struct Shared {
    requests: Requests,
    watches: Watches,
}

static SHARED: LazyLock<Shared> = LazyLock::new(Shared::default);

impl Shared {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("egret");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What runs here", version);
        self.requests.register(registry);
        self.watches.register(registry);
    }
}

/// Makes a registry show them.
pub fn register(registry: &mut Registry) {
    SHARED.register(registry);
}

/// The requests of this process.
pub(crate) fn requests() -> Requests {
    SHARED.requests.clone()
}

/// The watches of this process.
pub(crate) fn watches() -> &'static Watches {
    &SHARED.watches
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::runtime::watcher::Error;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn the_page_has_the_metrics_of_every_process() {
        let mut registry = Registry::default();
        let shared = Shared::default();
        shared.register(&mut registry);
        let server = service_fn(|_| async { Ok::<_, Infallible>(Response::new(())) });
        let request = Request::get("/api/v1/nodes").body(()).unwrap();
        let client = shared.requests.layer(server);
        client.oneshot(request).await.unwrap();
        shared.watches.told("Node", 0);
        shared.watches.failed("Node", &Error::NoResourceVersion);
        assert_eq!(
            page::documented("Every process").unwrap(),
            page::registered(&registry).unwrap()
        );
    }
}
