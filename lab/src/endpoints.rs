//! Whom the webhook's Service lists, as the endpoint controller says.
//!
//! Owns the waiting for it. Never writes a list.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::credentials::EGRET_NAMESPACE;

const SERVICE: &str = "kubernetes.io/service-name=egret-webhook";
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a replica may take to leave the list, or to come back.
const PATIENCE: Duration = Duration::from_secs(10);
/// The API server has to be told, and to finish what it has begun.
const NOTICE: Duration = Duration::from_millis(200);

/// Waits until the replica at this address is asked by nobody any more, but not for ever: it is its turn all the same.
pub async fn left(client: &Client, address: IpAddr) {
    until(client, address, false).await;
    tokio::time::sleep(NOTICE).await;
}

/// Waits until the replica at this address is listed, but not for ever: it may not come back.
pub async fn is_back(client: &Client, address: IpAddr) {
    until(client, address, true).await;
}

async fn until(client: &Client, address: IpAddr, is_wanted: bool) {
    let looking = async {
        while is_listed(client, address).await != Some(is_wanted) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    // Too late or never is as good as it gets.
    let _ = tokio::time::timeout(PATIENCE, looking).await;
}

/// Whether the Service lists a replica at this address; unknown while the API server does not answer.
pub async fn is_listed(client: &Client, address: IpAddr) -> Option<bool> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), EGRET_NAMESPACE);
    let of_service = ListParams::default().labels(SERVICE);
    let slices = slices.list(&of_service).await.ok()?.items;
    Some(slices.iter().any(|slice| lists(slice, address)))
}

fn lists(slice: &EndpointSlice, address: IpAddr) -> bool {
    let address = address.to_string();
    slice.endpoints.iter().any(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        let is_ready = conditions.and_then(|conditions| conditions.ready);
        is_ready.unwrap_or(true) && endpoint.addresses.contains(&address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_replica_that_is_ready_is_asked() {
        let endpoint = |last: u8, ready: bool| serde_json::json!({"addresses": [format!("10.244.1.{last}")], "conditions": {"ready": ready}});
        let slice = serde_json::json!({
            "addressType": "IPv4", "endpoints": [endpoint(2, true), endpoint(3, false)]});
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        let listed = |last| lists(&slice, IpAddr::from([10, 244, 1, last]));
        assert_eq!([listed(2), listed(3), listed(4)], [true, false, false]);
    }
}
