//! The addresses on this node's links, as the user moves them about: by these a static egress IP is found.
//!
//! Owns the watch on them, and the fact that they are. Never reports Egret's own links, nor changes anything.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use egret_domain::node::Fact;
use egret_runtime::describe;
use egret_runtime::live::Pulse;
use futures::{FutureExt, StreamExt};
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::feed::{Message, Sink, Source};
use crate::kernel::{Error, addresses};

/// Without any event the addresses are read again after this time: an event may have been lost.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Events that come within this time are answered by one reading.
const REST: Duration = Duration::from_millis(10);
/// After a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Tells the reconciler of the addresses that [`watch`] sends. Ends when either end does.
pub async fn tell(mut addresses: mpsc::Receiver<BTreeSet<IpAddr>>, sink: Sink) {
    while let Some(addresses) = addresses.recv().await {
        let told = Message::Fact(Fact::LocalAddresses(addresses));
        for message in [told, Message::Synced(Source::LocalAddresses)] {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// Sends the addresses of this node that are not Egret's, whose have this protocol number: at once, and whenever they
/// change. Ends when nobody listens.
pub async fn watch(addresses: mpsc::Sender<BTreeSet<IpAddr>>, protocol: u8, pulse: Pulse) {
    while !addresses.is_closed() {
        if let Err(error) = follow(&addresses, protocol, &pulse).await {
            warn!(
                error = describe(&error),
                "cannot watch this node's addresses, will retry"
            );
            sleep(RETRY_AFTER).await;
        }
    }
}

async fn follow(
    addresses: &mpsc::Sender<BTreeSet<IpAddr>>,
    protocol: u8,
    pulse: &Pulse,
) -> Result<(), Error> {
    let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, handle, mut events) =
        new_multicast_connection(&groups).map_err(Error::Socket)?;
    tokio::spawn(connection);
    let mut known = None;
    loop {
        pulse.beat();
        let now = addresses::addresses_of_others(&handle, protocol).await?;
        if known.as_ref() != Some(&now) {
            known = Some(now.clone());
            if addresses.send(now).await.is_err() {
                return Ok(());
            }
        }
        // Whatever the events say, the whole is read again: some may be lost, and many come together.
        let _ = pulse
            .through(timeout(READ_AGAIN_AFTER, events.next()))
            .await;
        sleep(REST).await;
        while events.next().now_or_never().flatten().is_some() {}
    }
}
