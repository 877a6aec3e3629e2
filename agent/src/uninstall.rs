//! The end of the agent where Egret is uninstalled.
//!
//! Owns when it removes everything from its node at its end: only if its namespace is being deleted, for certain. Never
//! on SIGTERM alone, which is a restart: what stands in the kernel serves on meanwhile.

use std::net::IpAddr;
use std::time::Duration;

use egret_runtime::describe;
use egret_runtime::home::{self, NAMESPACE};
use kube::Client;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::kernel::Kernel;
use crate::kernel::linux::Linux;
use crate::kernel::settings::Settings;

const EVERY: Duration = Duration::from_millis(500);

/// Asked to stop, when nothing else changes the kernel any more: cleans up if Egret is being uninstalled.
pub async fn leave(client: Client, settings: Settings, node: IpAddr) {
    if !home::is_going(&client, NAMESPACE).await {
        return;
    }
    info!("Egret is being uninstalled: removing everything from this node");
    let cleaned = match Linux::new(settings, node) {
        Ok(mut kernel) => timeout(home::CLEANING, clean(&mut kernel)).await.is_ok(),
        Err(error) => {
            warn!(error = describe(&error), "cannot clean up");
            false
        }
    };
    if !cleaned {
        error!("not everything is removed: see Uninstall in the README for what to do by hand");
    }
}

/// Tries until nothing is left.
async fn clean(kernel: &mut impl Kernel) {
    while let Err(error) = kernel.remove().await {
        warn!(error = describe(&error), "cannot clean up, will retry");
        sleep(EVERY).await;
    }
    info!("nothing of Egret is left in the kernel");
}
