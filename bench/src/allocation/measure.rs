//! What is measured.
//!
//! Owns the order: fill, one more Egress after the other, one node less after the other. The operator rests between two
//! changes, so that what it uses belongs to one of them. Never sums up more than it has to.

use std::time::{Duration, Instant};

use anyhow::Context;
use egret_crds::{Egress, ExternalIPPool};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

use super::Args;
use super::cluster::Cluster;
use super::follow::{Follower, Said};
use super::operator::{Operator, Used};
use super::world::{self, NODES, POOLS, World};
use crate::machine::Resident;
use crate::sample::Sample;

/// Objects that are created at once.
const AT_ONCE: usize = 16;
/// So long an operator writes nothing when it has nothing more to do: a pool's usage follows within half a second.
const QUIET: Duration = Duration::from_secs(2);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// The Egresses of one world are called by the numbers below this one, what is added by those above.
const FIRST_MORE: usize = 50_000;

/// What was found in one world.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Where.
    pub world: World,
    /// From the first create until the last create was answered.
    pub created: Duration,
    /// From the first create until every Egress had all it needs.
    pub allocated: Duration,
    /// What the operator used for that.
    pub filling: Used,
    /// Its memory then.
    pub resident: Resident,
    /// One more Egress.
    pub more: Change,
    /// One node less.
    pub less: Change,
}

/// What changes of one kind cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// From the request until the objects say it.
    pub times: Sample,
    /// Egresses that had to say something else.
    pub concerned: usize,
    /// What the operator used for all of them.
    pub used: Used,
}

impl Change {
    /// Processor time for each Egress concerned.
    pub fn processor_each(&self) -> Duration {
        let concerned = u32::try_from(self.concerned.max(1)).unwrap_or(u32::MAX);
        self.used.processor / concerned
    }
}

/// Measures in one world.
pub async fn measure(args: &Args, world: World) -> anyhow::Result<Figures> {
    eprintln!("allocation: {world}");
    let cluster = Cluster::start(&args.assets).await?;
    furnish(&cluster.client).await?;
    let operator = Operator::start(&args.operator, &cluster).await?;
    let subject = Subject {
        client: cluster.client.clone(),
        follower: Follower::start(&cluster.client),
        operator,
    };
    subject.measure(args, world).await
}

/// Makes pools and nodes.
async fn furnish(client: &Client) -> anyhow::Result<()> {
    let pools: Api<ExternalIPPool> = Api::all(client.clone());
    create_all(&pools, (0..POOLS).map(world::pool)).await?;
    let nodes = (0..NODES).map(world::node).collect::<Result<Vec<_>, _>>()?;
    let api: Api<Node> = Api::all(client.clone());
    create_all(&api, nodes.iter().cloned()).await?;
    // A create leaves the status out.
    stream::iter(nodes)
        .map(|node| patch_status(&api, node))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn patch_status(api: &Api<Node>, node: Node) -> anyhow::Result<()> {
    let name = node
        .metadata
        .name
        .clone()
        .context("a node without a name")?;
    let status = json!({"status": node.status});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

async fn create_all<K>(api: &Api<K>, objects: impl Iterator<Item = K>) -> anyhow::Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let params = PostParams::default();
    stream::iter(objects)
        .map(|object| {
            let params = &params;
            async move { api.create(params, &object).await.map(drop) }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
        .map_err(Into::into)
}

/// What is measured, and who looks at it.
struct Subject {
    client: Client,
    follower: Follower,
    operator: Operator,
}

impl Subject {
    async fn measure(mut self, args: &Args, world: World) -> anyhow::Result<Figures> {
        let before = self.at_rest().await?;
        let started = Instant::now();
        let egresses: Api<Egress> = Api::all(self.client.clone());
        create_all(&egresses, (0..world.egresses).map(world::egress)).await?;
        let created = started.elapsed();
        self.follower.until_settled(world.egresses).await?;
        let allocated = started.elapsed();
        let filling = self.at_rest().await?.since(before);
        let resident = self.operator.resident()?;
        let more = self.one_more_egress(args.changes).await?;
        let less = self.one_node_less(args.changes).await?;
        Ok(Figures {
            world,
            created,
            allocated,
            filling,
            resident,
            more,
            less,
        })
    }

    /// What the operator has used once it has nothing more to write.
    async fn at_rest(&self) -> anyhow::Result<Used> {
        let mut used = self.operator.used().await?;
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            sleep(LOOK_AGAIN_AFTER).await;
            let now = self.operator.used().await?;
            if now.writes != used.writes {
                since = Instant::now();
            }
            used = now;
        }
        Ok(used)
    }

    async fn one_more_egress(&mut self, changes: usize) -> anyhow::Result<Change> {
        let api: Api<Egress> = Api::all(self.client.clone());
        let before = self.at_rest().await?;
        let mut times = Vec::new();
        for number in FIRST_MORE..FIRST_MORE + changes {
            let egress = world::egress(number);
            let name = egress.metadata.name.clone().unwrap_or_default();
            let started = Instant::now();
            api.create(&PostParams::default(), &egress).await?;
            self.follower
                .until(|seen| seen.get(&name).is_some_and(Said::is_settled))
                .await?;
            times.push(started.elapsed());
        }
        Ok(Change {
            times: times.into_iter().collect(),
            concerned: changes,
            used: self.at_rest().await?.since(before),
        })
    }

    async fn one_node_less(&mut self, changes: usize) -> anyhow::Result<Change> {
        let api: Api<Node> = Api::all(self.client.clone());
        let before = self.at_rest().await?;
        let (mut times, mut concerned) = (Vec::new(), 0);
        for number in 0..changes {
            let name = world::node_name(number);
            concerned += self.follower.until(|_| true).await?.listing(&name);
            let started = Instant::now();
            api.delete(&name, &DeleteParams::default()).await?;
            self.follower.until(|seen| seen.listing(&name) == 0).await?;
            times.push(started.elapsed());
        }
        Ok(Change {
            times: times.into_iter().collect(),
            concerned,
            used: self.at_rest().await?.since(before),
        })
    }
}
