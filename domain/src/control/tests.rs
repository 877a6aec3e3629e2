//! Facts in, decisions out: the operator's view, subject by subject, in a world that obeys every decision.

mod allocation;
mod census;
mod changes;
mod deletion;
mod liveness;
mod moving;
mod overlapped;
mod overlaps;
mod placing;
mod property;
mod restart;
mod world;

use self::world::{World, let_go, respecify, set_ip, take};
use super::*;
use crate::condition::{Condition, Recorded, Type};
use crate::net::{Cidr, IpRange};
use crate::pool::{PoolSpec, Range, Subnet, Usage};
use crate::selector::{Requirement, Selector};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Allocated before, from pool `prod`, unless changed.
fn egress(name: &str, created: i64) -> EgressFact {
    EgressFact {
        name: name.into(),
        generation: 1,
        created,
        deleting: false,
        has_finalizer: false,
        pool: Some("prod".into()),
        ip: None,
        is_ip_illegible: false,
        ip_writer: Writer::User,
        problems: None,
        status: EgressStatus::default(),
    }
}

fn asking(name: &str, created: i64, wanted: &str) -> EgressFact {
    EgressFact {
        ip: Some(ip(wanted)),
        ..egress(name, created)
    }
}

fn placed(name: &str, created: i64, at: &str) -> EgressFact {
    EgressFact {
        pool: None,
        ..asking(name, created, at)
    }
}

/// Two addresses with a hyphen between them, or a network.
fn range(text: &str) -> Range {
    match text.split_once('-') {
        Some((start, end)) => Range::Span(IpRange::new(ip(start), ip(end)).unwrap()),
        None => Range::Cidr(text.parse::<Cidr>().unwrap()),
    }
}

fn pool(name: &str, ranges: &[&str]) -> PoolFact {
    let spec = PoolSpec {
        name: name.into(),
        generation: 1,
        deleting: false,
        ranges: ranges.iter().copied().map(range).collect(),
        exclude: Vec::new(),
        subnet: None,
        nodes: Selector::default(),
    };
    PoolFact {
        name: name.into(),
        generation: 1,
        created: 0,
        deleting: false,
        has_finalizer: false,
        spec: Ok(spec),
        usage: None,
        conditions: Vec::new(),
    }
}

fn node(name: &str) -> Node {
    Node::linux(name.into(), 255)
}

/// A cluster of `nodes` nodes and the pool `prod` with ten addresses from 10.10.0.11.
struct Cluster {
    world: World,
    control: Control,
    now_s: u64,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let mut world = World::default();
        for number in 1..=nodes {
            let node = node(&format!("node-{number}"));
            world.nodes.insert(node.name.clone(), node);
        }
        let prod = pool("prod", &["10.10.0.11-10.10.0.20"]);
        world.pools.insert(prod.name.clone(), prod);
        let mut control = world.started();
        world.settle(&mut control);
        Self {
            world,
            control,
            now_s: 0,
        }
    }

    /// Somebody makes these, and the operator sees them together.
    fn with(mut self, egresses: impl IntoIterator<Item = EgressFact>) -> Self {
        self.add(egresses);
        self
    }

    fn add(&mut self, egresses: impl IntoIterator<Item = EgressFact>) {
        for egress in egresses {
            self.control.apply(Fact::Egress(Box::new(egress.clone())));
            self.world.egresses.insert(egress.name.clone(), egress);
        }
        self.world.settle(&mut self.control);
    }

    fn configure(&mut self, fact: Fact) {
        self.control.apply(fact);
        self.world.settle(&mut self.control);
    }

    fn add_pool(&mut self, pool: PoolFact) {
        let name = pool.name.clone();
        self.world.pools.insert(name.clone(), pool);
        self.tell(&Object::Pool(name));
    }

    /// The operator sees an object as it is now, and writes what follows.
    fn tell(&mut self, object: &Object) {
        self.control.apply(self.world.fact_of(object));
        self.world.settle(&mut self.control);
    }

    fn edit(&mut self, name: &str, edit: impl FnOnce(&mut EgressFact)) {
        edit(self.world.egress(name));
        self.tell(&Object::Egress(name.into()));
    }

    fn edit_pool(&mut self, name: &str, edit: impl FnOnce(&mut PoolFact)) {
        edit(self.world.pool(name));
        self.tell(&Object::Pool(name.into()));
    }

    fn edit_node(&mut self, name: &str, edit: impl FnOnce(&mut Node)) {
        let node = self.world.nodes.get_mut(&NodeName::from(name)).unwrap();
        edit(node);
        self.control.apply(Fact::Node(Box::new(node.clone())));
        self.world.settle(&mut self.control);
    }

    fn remove_node(&mut self, name: &str) {
        self.world.nodes.remove(&NodeName::from(name));
        self.control.apply(Fact::NodeGone(name.into()));
        self.world.settle(&mut self.control);
    }

    fn delete(&mut self, name: &str) {
        self.world.delete_egress(&name.into());
        self.tell(&Object::Egress(name.into()));
    }

    fn delete_pool(&mut self, name: &str) {
        self.world.delete_pool(&name.into());
        self.tell(&Object::Pool(name.into()));
    }

    fn agents_act(&mut self, name: &str) {
        self.world.agents_act(&name.into());
        self.tell(&Object::Egress(name.into()));
    }

    fn restart(&mut self) {
        self.control = self.world.started();
        self.world.settle(&mut self.control);
    }

    fn ip_of(&mut self, name: &str) -> Option<IpAddr> {
        self.world.egress(name).ip
    }

    fn exists(&self, name: &str) -> bool {
        self.world.egresses.contains_key(&EgressName::from(name))
    }

    fn candidates(&mut self, name: &str) -> Vec<String> {
        self.world
            .egress(name)
            .status
            .candidates
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// A condition as `True Reason` or `False Reason`, and its message.
    fn condition(&mut self, name: &str, kind: Type) -> (String, String) {
        say(self.world.egress(name).status.condition(kind))
    }

    fn pool_condition(&mut self, name: &str, kind: Type) -> (String, String) {
        let conditions = &self.world.pool(name).conditions;
        say(conditions.iter().find(|condition| condition.kind == kind))
    }

    /// `IPAllocated` as `True Reason` or `False Reason`.
    fn allocated(&mut self, name: &str) -> String {
        self.condition(name, Type::IpAllocated).0
    }

    fn ready(&mut self, name: &str) -> String {
        self.condition(name, Type::Ready).0
    }
}

fn say(condition: Option<&Recorded>) -> (String, String) {
    let Some(condition) = condition else {
        return Default::default();
    };
    let truth = if condition.is_true { "True" } else { "False" };
    (
        format!("{truth} {}", condition.reason),
        condition.message.clone(),
    )
}
