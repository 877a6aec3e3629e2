//! The end itself.
//!
//! Owns its order and its bounds: objects of users first, then the agents' end, and last what the operator itself needs.
//! Every step only takes away, and may be done twice or by two replicas at once. So it needs no leadership, whose Lease
//! is deleted with everything else, and no client behind the leader's permit. Never begins unless the namespace is being
//! deleted.

use std::fmt::Debug;
use std::time::Duration;

use egret_crds::{Egress, ExternalIPPool};
use egret_runtime::apply::{Category, Error, within_limit};
use egret_runtime::describe;
use egret_runtime::home::{self, NAMESPACE};
use futures::{TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::{FINALIZER, guarded, plan};
use crate::agents::daemon_set::GRACE_S;
use crate::write::{EGRESS_FINALIZER, POOL_FINALIZER, release};

/// All in all. The Deployment gives the process this and the time for its other tasks, and the API server accepts the
/// account's tokens for a minute.
const LIMIT: Duration = Duration::from_secs(45);
/// Agents that have not ended by then are not waited for.
const AGENTS_LIMIT: Duration = Duration::from_secs(30);
// Those of nodes without power have been found by then.
const _: () = assert!(AGENTS_LIMIT.as_secs() > GRACE_S + plan::SILENCE.as_secs());
const _: () = assert!(LIMIT.as_secs() > AGENTS_LIMIT.as_secs());
const EVERY: Duration = Duration::from_secs(1);
/// Objects that are changed at the same time.
const AT_ONCE: usize = 16;

/// Asked to stop: if Egret is being uninstalled, does what the operator owes to that.
pub async fn leave(client: Client) {
    if !home::is_going(&client, NAMESPACE).await {
        return;
    }
    info!("Egret is being uninstalled: letting go of everything");
    if timeout(LIMIT, take_down(&client)).await.is_err() {
        error!("not done in time: see Uninstall in the README for what to do by hand");
    }
}

async fn take_down(client: &Client) {
    let begin = Instant::now();
    loop {
        let is_released = done(
            "finalizers of Egresses and pools",
            release_all(client).await,
        );
        let have_ended = match end_agents(client, begin.elapsed()).await {
            Ok(have_ended) => have_ended,
            Err(error) => done("agents", Err(error)),
        };
        if begin.elapsed() > AGENTS_LIMIT || have_ended && is_released {
            break;
        }
        sleep(EVERY).await;
    }
    while !done("what was guarded", let_go(client).await) {
        sleep(EVERY).await;
    }
    info!("nothing of Egret is held back any more");
}

/// Whether it was done; if not, it is told. Another replica that has been faster has done it as well.
fn done(what: &str, result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) if is_locked_out(&error) => true,
        Err(error) => {
            let (category, error) = (error.category().as_str(), describe(&error));
            warn!(category, error, "{what}: will retry");
            false
        }
    }
}

/// Whether the operator's account is gone, by the other replica's last write.
fn is_locked_out(error: &Error) -> bool {
    matches!(error, Error::Api(kube::Error::Api(status)) if status.code == 401)
}

/// Also from objects that stay, as where only the namespace is deleted: nobody would take them away later.
async fn release_all(client: &Client) -> Result<(), Error> {
    release_all_of::<Egress>(Api::all(client.clone()), EGRESS_FINALIZER).await?;
    release_all_of::<ExternalIPPool>(Api::all(client.clone()), POOL_FINALIZER).await
}

async fn release_all_of<K>(api: Api<K>, finalizer: &str) -> Result<(), Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let listed = match within_limit(api.list(&ListParams::default())).await {
        // Their definition is gone, and so are they.
        Err(error) if is_gone(&error) => return Ok(()),
        listed => listed?,
    };
    let api = &api;
    stream::iter(listed.items.into_iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, async |object| {
            taken(release(api, &object, finalizer).await)
        })
        .await
}

/// By the code: for kinds that are not defined any more the API server answers in plain text, without a reason.
fn is_gone(error: &Error) -> bool {
    error.category() == Category::NotFound
}

/// What is not there any more has been taken away.
fn taken(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        result => result,
    }
}

/// Whether all agents have ended. They clean up their nodes by themselves. A node without power has nothing to be cleaned,
/// and no kubelet that ends its Pods: they would keep the namespace until it is back.
async fn end_agents(client: &Client, elapsed: Duration) -> Result<bool, Error> {
    let api = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let pods = within_limit(api.list(&ListParams::default())).await?;
    let progress = plan::progress(&pods.items, elapsed);
    for name in &progress.stranded {
        let at_once = DeleteParams::default().grace_period(0);
        taken(within_limit(api.delete(name, &at_once)).await.map(drop))?;
        warn!(pod = name, "deleted: its node has not ended it in time");
    }
    Ok(progress.agents_on.is_empty())
}

async fn let_go(client: &Client) -> Result<(), Error> {
    release_all(client).await?;
    for (api, name) in guarded(client) {
        let Some(object) = within_limit(api.get_opt(name)).await? else {
            continue;
        };
        taken(release(&api, &object, FINALIZER).await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
