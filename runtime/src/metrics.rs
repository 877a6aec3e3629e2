//! The metrics that every process has: what it is, what it asks of the API server, and how its watches fare.
//!
//! Owns their names and labels. There is one set of them, as there is one process: what counts need not be handed to
//! whoever makes a request. Never has the name of an object or node, an address or a message in a label.

pub mod requests;
pub(crate) mod watches;

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

/// Makes a registry show them.
pub fn register(registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("egret");
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "What runs here", version);
    SHARED.requests.register(registry);
    SHARED.watches.register(registry);
}

/// The requests of this process.
pub(crate) fn requests() -> Requests {
    SHARED.requests.clone()
}

/// The watches of this process.
pub(crate) fn watches() -> &'static Watches {
    &SHARED.watches
}
