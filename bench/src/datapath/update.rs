//! What a change costs an agent.
//!
//! Owns which changes: one Pod more and one less on nodes with few and with many, by turns; and all Egresses at once. Never
//! measures packets.

use anyhow::Context;

use super::agent::Cost;
use super::network::{Egret, Network};
use crate::sample::Sample;

/// Where one Pod comes and goes: with so many Egresses and Pods.
pub const ONE_POD: [usize; 2] = [100, 10_000];
/// So many Egresses come at once.
pub const AT_ONCE: usize = 1_000;
/// One change is quick: for each round so many.
const CHANGES_PER_ROUND: u32 = 10;

/// What changes of one kind cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Costs {
    /// In a few words.
    pub title: String,
    /// Until it stands in the kernel.
    pub wall: Sample,
    /// Of that, until it was decided.
    pub deciding: Sample,
    /// Processor time of the agent.
    pub own: Sample,
    /// Processor time of `nft`.
    pub nft: Sample,
    /// Processor time of both.
    pub processor: Sample,
}

impl Costs {
    fn of(title: String, costs: &[Cost]) -> Self {
        let sample = |of: fn(&Cost) -> std::time::Duration| costs.iter().map(of).collect();
        Self {
            title,
            wall: sample(|cost| cost.wall),
            deciding: sample(|cost| cost.deciding),
            own: sample(|cost| cost.own),
            nft: sample(|cost| cost.nft),
            processor: sample(|cost| cost.processor()),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Updates {
    /// One Pod more, and one less, with few and with many.
    pub one_pod: Vec<Costs>,
    /// All at once, on the Pods' node and on the egress IPs' node.
    pub at_once: Vec<Costs>,
}

/// Measures both.
pub fn measure(network: &mut Network, rounds: u32) -> anyhow::Result<Updates> {
    Ok(Updates {
        one_pod: one_pod(network, rounds * CHANGES_PER_ROUND)?,
        at_once: at_once(network, rounds)?,
    })
}

fn egret(network: &mut Network, count: usize) -> anyhow::Result<&mut Egret> {
    let egret = network.egrets.get_mut(&count);
    egret.with_context(|| format!("there are no nodes with {count} Egresses"))
}

fn one_pod(network: &mut Network, changes: u32) -> anyhow::Result<Vec<Costs>> {
    eprintln!("datapath: one Pod more and one less");
    let mut more = ONE_POD.map(|count| (count, Vec::new()));
    let mut less = more.clone();
    for _ in 0..changes {
        for ((count, more), (_, less)) in more.iter_mut().zip(&mut less) {
            let Egret { world, source, .. } = egret(network, *count)?;
            more.push(source.take(vec![world.one_more_pod()])?);
            less.push(source.take(vec![world.one_pod_less()])?);
        }
    }
    let costs = |what: &str, (count, costs): &(usize, Vec<Cost>)| {
        let count = crate::table::thousands(*count);
        Costs::of(format!("{what}, {count} there"), costs)
    };
    let more = more.iter().map(|found| costs("one Pod more", found));
    Ok(more
        .chain(less.iter().map(|found| costs("one Pod less", found)))
        .collect())
}

fn at_once(network: &mut Network, rounds: u32) -> anyhow::Result<Vec<Costs>> {
    let (mut on_source, mut on_gateway) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("datapath: all Egresses at once: round {round} of {rounds}");
        let Egret {
            world,
            source,
            gateway,
            ..
        } = egret(network, AT_ONCE)?;
        for (agent, costs) in [(source, &mut on_source), (gateway, &mut on_gateway)] {
            agent.take(world.without_egresses().collect())?;
            costs.push(agent.take(world.egresses().collect())?);
        }
    }
    Ok(vec![
        Costs::of("the Pods' node".to_owned(), &on_source),
        Costs::of("the egress IPs' node".to_owned(), &on_gateway),
    ])
}
