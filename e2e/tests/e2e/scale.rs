//! Many Egresses, many Pods, many changes: every Pod that is asked leaves with the right address.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use egret_e2e::lab::{Lab, PodSpec};
use egret_e2e::manifest::{egress, pods_with, pool};
use egret_e2e::object::Egress;
use egret_e2e::patience::wait_until;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::seed::random;

const NODES: u8 = 6;
const EGRESSES: usize = 200;
const PODS: usize = 500;
/// More than there are Egresses: some Pods are selected by none.
const GROUPS: usize = 220;
const ASKED: usize = 100;
const CHANGES: usize = 50;

#[test]
fn two_hundred_egresses_and_five_hundred_pods_are_right_and_stay_right_through_changes()
-> Result<()> {
    Lab::run(NODES, |lab| {
        let mut random = random();
        let mut world = World::make(lab)?;
        world.check(lab, &mut random)?;
        for _ in 0..CHANGES {
            world.change(lab, &mut random)?;
        }
        world.wait_until_in_force(lab)?;
        world.check(lab, &mut random)
    })
}

/// What should be so.
struct World {
    pods: Vec<PodSpec>,
    /// Egress IPs by group; each group has one Egress or none.
    egress_ips: BTreeMap<usize, String>,
    /// Addresses of the pool that nobody has.
    free: Vec<String>,
    node_addresses: BTreeMap<String, String>,
}

fn name(group: usize) -> String {
    format!("group-{group}")
}

fn pod(number: usize, nodes: &[String]) -> PodSpec {
    PodSpec {
        namespace: format!("ns-{}", number % 5),
        name: format!("pod-{number}"),
        node: nodes[number % nodes.len()].clone(),
        labels: BTreeMap::from([("group".to_owned(), name(number % GROUPS))]),
    }
}

impl World {
    fn make(lab: &Lab) -> Result<Self> {
        let nodes = lab.nodes();
        let pods: Vec<_> = (0..PODS).map(|number| pod(number, &nodes)).collect();
        lab.pods(&pods)?;
        let manifest = |group| {
            egress(
                &name(group),
                &pods_with("group", &name(group)),
                "externalIPPool: pool",
            )
        };
        let egresses: Vec<_> = (0..EGRESSES).map(manifest).collect();
        lab.apply(&pool("pool", &["start: 10.10.4.1, end: 10.10.4.250"]))?;
        lab.apply(&egresses.concat())?;
        let mut world = Self {
            pods,
            egress_ips: BTreeMap::new(),
            free: (1..=250).map(|host| format!("10.10.4.{host}")).collect(),
            node_addresses: BTreeMap::new(),
        };
        for node in nodes {
            let address = lab.address_of(&node)?.to_string();
            world.node_addresses.insert(node, address);
        }
        for (group, ip) in in_force(lab, EGRESSES)? {
            world.free.retain(|free| *free != ip);
            world.egress_ips.insert(group, ip);
        }
        assert_eq!(
            world.free.len(),
            250 - EGRESSES,
            "each has an address of its own"
        );
        Ok(world)
    }

    /// Waits until all Egresses are in force, with the addresses they should have.
    fn wait_until_in_force(&self, lab: &Lab) -> Result<()> {
        let is_so = |seen: &BTreeMap<usize, String>| *seen == self.egress_ips;
        wait_until(
            "the changes are in force",
            || in_force(lab, self.egress_ips.len()),
            is_so,
        )
        .map(drop)
    }

    /// Asks random Pods.
    fn check(&self, lab: &Lab, random: &mut StdRng) -> Result<()> {
        for pod in self.pods.sample(random, ASKED) {
            lab.wait_for_source(
                &format!("{}/{}", pod.namespace, pod.name),
                self.source(pod)?,
            )?;
        }
        Ok(())
    }

    fn source(&self, pod: &PodSpec) -> Result<&str> {
        let group = pod.labels["group"].trim_start_matches("group-").parse()?;
        let of_node = || self.node_addresses.get(&pod.node);
        Ok(self
            .egress_ips
            .get(&group)
            .or_else(of_node)
            .context("a node")?)
    }

    /// Changes something, in the cluster and in what should be so.
    fn change(&mut self, lab: &Lab, random: &mut StdRng) -> Result<()> {
        match random.random_range(0..5) {
            0 | 1 => self.label_a_pod(lab, random),
            2 | 3 => self.change_an_ip(lab, random),
            _ => self.delete_an_egress(lab, random),
        }
    }

    fn label_a_pod(&mut self, lab: &Lab, random: &mut StdRng) -> Result<()> {
        let number = random.random_range(0..self.pods.len());
        let group = name(random.random_range(0..GROUPS));
        let pod = &mut self.pods[number];
        let label = format!("group={group}");
        lab.kubectl(&[
            "label",
            "--overwrite",
            "pod",
            "-n",
            &pod.namespace,
            &pod.name,
            &label,
        ])?;
        pod.labels.insert("group".to_owned(), group);
        Ok(())
    }

    fn change_an_ip(&mut self, lab: &Lab, random: &mut StdRng) -> Result<()> {
        let ip = self
            .free
            .swap_remove(random.random_range(0..self.free.len()));
        let group = self.any_group(random)?;
        lab.patch_egress(&name(group), &format!("spec: {{egressIP: {ip}}}"))?;
        self.free.extend(self.egress_ips.insert(group, ip));
        Ok(())
    }

    fn delete_an_egress(&mut self, lab: &Lab, random: &mut StdRng) -> Result<()> {
        let group = self.any_group(random)?;
        lab.delete_egresses(&[&name(group)])?;
        self.free.extend(self.egress_ips.remove(&group));
        Ok(())
    }

    fn any_group(&self, random: &mut StdRng) -> Result<usize> {
        let groups: Vec<_> = self.egress_ips.keys().copied().collect();
        groups.choose(random).copied().context("some are left")
    }
}

/// Waits until this many Egresses are there and all in force; their addresses by group.
fn in_force(lab: &Lab, count: usize) -> Result<BTreeMap<usize, String>> {
    let all = |seen: &Vec<Egress>| {
        seen.len() == count
            && seen
                .iter()
                .all(|egress| egress.is_ready() && egress.held().is_some())
    };
    let seen = wait_until(
        "all Egresses are in force",
        || lab.list::<Egress>("egress"),
        all,
    )?;
    let entry = |egress: &Egress| {
        let (ip, _) = egress.held()?;
        Some((
            egress
                .metadata
                .name
                .trim_start_matches("group-")
                .parse()
                .ok()?,
            ip.to_owned(),
        ))
    };
    Ok(seen.iter().filter_map(entry).collect())
}
