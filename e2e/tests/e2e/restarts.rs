//! Egret's processes are killed at bad moments.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::{Egress, Pool};
use egret_e2e::patience::wait_until;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::seed::random;

const EGRESSES: usize = 30;

#[test]
fn every_egress_ends_right_when_processes_are_killed_while_egresses_come_and_go() -> Result<()> {
    Lab::run(3, |lab| {
        let mut random = random();
        lab.apply(&pool("pool", &["start: 10.10.3.1, end: 10.10.3.40"]))?;
        for number in [0, 7, 29] {
            lab.pod(
                &format!("shop/web-{number}"),
                "node-2",
                &format!("app=web-{number}"),
            )?;
        }
        let mut numbers: Vec<_> = (0..EGRESSES).collect();
        numbers.shuffle(&mut random);
        let (to_delete, to_keep) = numbers.split_at(EGRESSES / 3);
        for batch in numbers.chunks(5) {
            let manifests: Vec<_> = batch.iter().map(|number| of_number(*number)).collect();
            lab.apply(&manifests.concat())?;
            kill_something(lab, &mut random)?;
        }
        for batch in to_delete.chunks(3) {
            for number in batch {
                lab.kubectl(&["delete", "egress", &name(*number), "--wait=false"])?;
            }
            kill_something(lab, &mut random)?;
        }
        let kept = to_keep.iter().map(|number| name(*number)).collect();
        let held = wait_for_exactly(lab, &kept)?;
        wait_for_addresses(lab)?;
        for number in [0, 7, 29] {
            let pod = format!("shop/web-{number}");
            match held.get(&name(number)) {
                Some(ip) => lab.wait_for_source(&pod, ip)?,
                None => lab.wait_for_node_source(&pod, "node-2")?,
            }
        }
        Ok(())
    })
}

fn name(number: usize) -> String {
    format!("web-{number}")
}

fn of_number(number: usize) -> String {
    let name = name(number);
    egress(&name, &pods_with("app", &name), "externalIPPool: pool")
}

/// Waits for a random moment, then kills the operator, an agent, or both.
fn kill_something(lab: &Lab, random: &mut StdRng) -> Result<()> {
    sleep(Duration::from_millis(random.random_range(0..800)));
    let what = random.next_u32() % 3;
    if what != 0 {
        lab.kill_operator()?;
    }
    if what != 1
        && let Some(node) = lab.nodes().choose(random)
    {
        lab.kill_agent(node)?;
    }
    Ok(())
}

/// Waits until these Egresses and no others exist, each in force with an IP of its own; the pool counts them. The IP
/// of each.
fn wait_for_exactly(lab: &Lab, names: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
    let is_so = |seen: &Vec<Egress>| {
        let held: BTreeSet<_> = seen
            .iter()
            .filter_map(Egress::held)
            .map(|(ip, _)| ip)
            .collect();
        seen.iter().all(Egress::is_ready)
            && seen.iter().map(|egress| &egress.metadata.name).eq(names)
            && held.len() == names.len()
    };
    let egresses = wait_until("the Egresses are right", || lab.list("egress"), is_so)?;
    let used = i64::try_from(names.len())?;
    let counts = |pool: &Pool| pool.status.usage.is_some_and(|usage| usage.used == used);
    wait_until("the pool counts them", || lab.pool("pool"), counts)?;
    let held = egresses.iter().filter_map(|egress| {
        let (ip, _) = egress.held()?;
        Some((egress.metadata.name.clone(), ip.to_owned()))
    });
    Ok(held.collect())
}

/// Addresses of the pool, each with its node.
type Places = BTreeSet<(Ipv4Addr, String)>;

/// Waits until each node has the addresses that the objects say it has, and no others of the pool. Both are looked at
/// again each time: an IP may still move when the process killed last was its holder's agent.
fn wait_for_addresses(lab: &Lab) -> Result<()> {
    let look = || Ok((told_places(lab)?, places(lab)?));
    wait_until("the nodes have their addresses", look, |(told, is)| {
        told == is
    })
    .map(drop)
}

fn told_places(lab: &Lab) -> Result<Places> {
    let egresses = lab.list::<Egress>("egress")?;
    let held = egresses.iter().filter_map(Egress::held);
    held.map(|(ip, node)| Ok((ip.parse()?, node.to_owned())))
        .collect()
}

fn places(lab: &Lab) -> Result<Places> {
    let mut places = Places::new();
    for node in lab.nodes() {
        let addresses = lab.addresses_on(&node)?;
        let of_pool = addresses.into_iter().filter(|address| is_of_pool(*address));
        places.extend(of_pool.map(|address| (address, node.clone())));
    }
    Ok(places)
}

/// Whether an address is of the pool that each of these tests has: 10.10.3.1 and those that follow.
fn is_of_pool(address: Ipv4Addr) -> bool {
    address.octets().starts_with(&[10, 10, 3])
}

#[test]
fn killed_and_restarted_agents_end_right_under_load() -> Result<()> {
    const IP: &str = "10.10.3.1";
    Lab::run(3, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.3.1, end: 10.10.3.1"]))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        let gateway = lab.gateway_of("web", IP)?;
        let source_node = lab.node_except(&[&gateway])?;
        lab.served_pod("shop/web", &source_node, "app=web")?;
        lab.wait_for_source("shop/web", IP)?;
        lab.forget_seen()?;

        let requests = lab.stream("shop/web", 12)?;
        for node in [&source_node, &gateway] {
            sleep(Duration::from_secs(2));
            lab.kill_agent(node)?;
            sleep(Duration::from_secs(2));
            lab.restart_agent(node)?;
        }
        let done = requests.elapsed();
        let summary = requests.finish()?;
        eprintln!("{summary:?}");
        ensure!(
            summary.is_only_from(IP),
            "answers from elsewhere: {summary:?}"
        );
        ensure!(
            summary.is_answered_after(done),
            "no answers after {done:?}: {summary:?}"
        );
        ensure!(
            lab.seen()?.keys().eq([IP]),
            "packets from elsewhere: {:?}",
            lab.seen()?
        );

        lab.gateway_of("web", IP)?;
        wait_for_addresses(lab)?;
        lab.wait_for_source("shop/web", IP)
    })
}

/// The agent of the gateway is away so shortly that some nodes notice and the one that would take over does not: it is
/// stopped meanwhile.
#[test]
fn pods_of_all_nodes_leave_again_after_an_absence_that_only_some_nodes_have_noticed() -> Result<()>
{
    const IP: &str = "10.10.3.1";
    Lab::run(3, |lab| {
        lab.apply(&pool("pool", &["start: 10.10.3.1, end: 10.10.3.1"]))?;
        lab.apply(&egress(
            "web",
            &pods_with("app", "web"),
            "externalIPPool: pool",
        ))?;
        for node in lab.nodes() {
            lab.pod(&format!("shop/{node}"), &node, "app=web")?;
            lab.wait_for_source(&format!("shop/{node}"), IP)?;
        }
        for moment_ms in [250, 300, 350, 400, 450] {
            let gateway = lab.gateway_of("web", IP)?;
            let candidates = lab.egress("web")?.status.candidates;
            let next = candidates
                .iter()
                .find(|node| **node != gateway)
                .context("another node")?;
            lab.keep_agent_down(&gateway)?;
            sleep(Duration::from_millis(moment_ms));
            lab.pause_agent(next)?;
            sleep(Duration::from_millis(100));
            lab.restart_agent(&gateway)?;
            sleep(Duration::from_millis(300));
            lab.continue_agent(next)?;
            // By now all have met again, and whoever was to take over has done so.
            sleep(Duration::from_secs(2));
            for node in lab.nodes() {
                lab.wait_for_source(&format!("shop/{node}"), IP)?;
            }
        }
        Ok(())
    })
}
