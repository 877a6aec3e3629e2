//! Renewals as a mock API server receives them.

use egret_runtime::live::Liveness;

use super::*;
use crate::stored::Stored;

const LEASE: &str = "/namespaces/egret-system/leases/node-1";

fn start(stored: &Stored) {
    let pulse = Liveness::default().pulse("lease");
    tokio::spawn(renew(stored.client(), "node-1".into(), pulse));
}

/// The clock of the test stands still but for what waits: whole renewals are awaited.
async fn renewals(count: u32) {
    sleep(RENEW_EVERY * count).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_the_nodes_name_is_made_at_once_and_renewed_for_ever() {
    let stored = Stored::with_node("node-1", "of-node-1");
    start(&stored);
    sleep(Duration::from_secs(1)).await;
    let first = stored.object(LEASE);
    assert_eq!(first["spec"]["holderIdentity"], "node-1");
    assert_eq!(first["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], "of-node-1");
    assert_eq!(
        first["metadata"]["labels"]["app.kubernetes.io/component"],
        "agent"
    );
    stored.take_writes();
    renewals(6).await;
    assert_eq!(stored.take_writes().len(), 6);
    assert_ne!(
        stored.object(LEASE)["spec"]["renewTime"],
        first["spec"]["renewTime"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_went_with_its_node_is_made_again_for_the_node_that_came_instead() {
    let stored = Stored::with_node("node-1", "of-node-1");
    start(&stored);
    renewals(2).await;
    stored.set_node("node-1", "of-another");
    stored.remove(LEASE);
    renewals(2).await;
    let owner = &stored.object(LEASE)["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], "of-another");
}

#[tokio::test(start_paused = true)]
async fn without_a_node_the_agent_is_alive_all_the_same() {
    let stored = Stored::default();
    start(&stored);
    renewals(2).await;
    assert_eq!(stored.object(LEASE)["spec"]["holderIdentity"], "node-1");
}
