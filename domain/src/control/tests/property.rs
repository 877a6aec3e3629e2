//! Any sequence of what users, nodes and agents may do keeps the promises.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::control::moving::STABLE_S;

/// More than the few Egresses and nodes here need until nothing moves any more.
const MOST_ROUNDS: usize = 50;

/// Something that happens outside the operator.
#[derive(Debug, Clone)]
enum Step {
    /// A user makes an Egress, or writes the spec of an existing one anew.
    Write {
        egress: String,
        created: i64,
        pool: Option<String>,
        ip: Option<IpAddr>,
    },
    /// A user drops the IP from the spec, where there is a pool.
    Drop(String),
    Delete(String),
    /// An Egress goes without waiting for anybody.
    Tear(String),
    /// An Egress becomes invalid, or valid again.
    Break(String, bool),
    WritePool {
        pool: String,
        ranges: Vec<&'static str>,
        exclude: Option<IpAddr>,
    },
    DeletePool(String),
    /// A pool goes without waiting for anybody.
    TearPool(String),
    WriteNode {
        node: String,
        is_cordoned: bool,
        limit: usize,
    },
    RemoveNode(String),
    /// An agent reports whether its node can be a gateway, or its report goes.
    Report(String, Option<bool>),
    Sign(String, Option<Sign>),
    /// An agent has not heard of these nodes for eight seconds.
    Miss(String, BTreeSet<String>),
    /// A node loses its power, as all others tell; or it is back.
    Power(String, bool),
    /// For longer than a node that has come must be stable. The agents follow all moves.
    Wait,
    /// The agents take note of an Egress.
    Agents(String),
    /// All agents take note of all Egresses.
    AllAgents,
    Restart,
    /// Another operator leads for a moment, and then this one again.
    Again,
}

fn egress_name() -> impl Strategy<Value = String> {
    (0..6).prop_map(|number| format!("e{number}"))
}

fn pool_name() -> impl Strategy<Value = String> {
    (0..2).prop_map(|number| format!("p{number}"))
}

fn node_name() -> impl Strategy<Value = String> {
    (0..4).prop_map(|number| format!("n{number}"))
}

fn address() -> impl Strategy<Value = IpAddr> {
    (0_u8..10).prop_map(|last| IpAddr::from([10, 0, 0, last]))
}

fn spec() -> impl Strategy<Value = (Option<String>, Option<IpAddr>)> {
    prop_oneof![
        4 => pool_name().prop_map(|pool| (Some(pool), None)),
        2 => (pool_name(), address()).prop_map(|(pool, ip)| (Some(pool), Some(ip))),
        1 => address().prop_map(|ip| (None, Some(ip))),
    ]
}

fn ranges() -> impl Strategy<Value = Vec<&'static str>> {
    let some = [
        "10.0.0.1-10.0.0.3",
        "10.0.0.4-10.0.0.6",
        "10.0.0.0/29",
        "10.0.0.8-10.0.0.9",
    ];
    prop::collection::vec(select(some.to_vec()), 1..3)
}

fn sign() -> impl Strategy<Value = Sign> {
    prop_oneof![3 => Just(Sign::Given), 1 => Just(Sign::Ceased)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (egress_name(), 0_i64..3, spec())
            .prop_map(|(egress, created, (pool, ip))| Step::Write { egress, created, pool, ip }),
        1 => egress_name().prop_map(Step::Drop),
        2 => egress_name().prop_map(Step::Delete),
        1 => egress_name().prop_map(Step::Tear),
        1 => (egress_name(), any::<bool>()).prop_map(|(name, broken)| Step::Break(name, broken)),
        2 => (pool_name(), ranges(), prop::option::of(address()))
            .prop_map(|(pool, ranges, exclude)| Step::WritePool { pool, ranges, exclude }),
        1 => pool_name().prop_map(Step::DeletePool),
        1 => pool_name().prop_map(Step::TearPool),
        2 => (node_name(), any::<bool>(), 0_usize..4)
            .prop_map(|(node, is_cordoned, limit)| Step::WriteNode { node, is_cordoned, limit }),
        1 => node_name().prop_map(Step::RemoveNode),
        2 => (node_name(), prop::option::weighted(0.8, prop::bool::weighted(0.8)))
            .prop_map(|(node, is_fit)| Step::Report(node, is_fit)),
        2 => (node_name(), prop::option::weighted(0.9, sign()))
            .prop_map(|(node, sign)| Step::Sign(node, sign)),
        1 => (node_name(), prop::collection::btree_set(node_name(), 0..3))
            .prop_map(|(by, nodes)| Step::Miss(by, nodes)),
        2 => (node_name(), any::<bool>()).prop_map(|(node, is_on)| Step::Power(node, is_on)),
        1 => Just(Step::Wait),
        6 => egress_name().prop_map(Step::Agents),
        2 => Just(Step::AllAgents),
        1 => Just(Step::Restart),
        1 => Just(Step::Again),
    ]
}

impl Cluster {
    /// Something happens, and the operator does what follows.
    fn happen(&mut self, step: Step) {
        match step {
            Step::Write {
                egress,
                created,
                pool,
                ip,
            } => self.write(&egress, created, pool, ip),
            Step::Drop(name) if self.exists(&name) && self.world.egress(&name).pool.is_some() => {
                self.edit(&name, |egress| set_ip(egress, None, Writer::User));
            }
            Step::Delete(name) => self.delete(&name),
            Step::Tear(name) => {
                self.world.egresses.remove(&EgressName::from(name.as_str()));
                self.tell(&Object::Egress(name.into()));
            }
            Step::Break(name, is_broken) if self.exists(&name) => self.edit(&name, |egress| {
                egress.problems = is_broken.then(|| "spec: is wrong".to_owned());
            }),
            Step::WritePool {
                pool,
                ranges,
                exclude,
            } => self.write_pool(&pool, &ranges, exclude),
            Step::DeletePool(name) => self.delete_pool(&name),
            Step::TearPool(name) => {
                self.world.pools.remove(&PoolName::from(name.as_str()));
                self.tell(&Object::Pool(name.into()));
            }
            Step::WriteNode {
                node: name,
                is_cordoned,
                limit,
            } => {
                let node = Node {
                    is_cordoned,
                    max_egress_ips: limit,
                    ..node(&name)
                };
                self.world.nodes.insert(node.name.clone(), node);
                self.edit_node(&name, |_| {});
            }
            Step::RemoveNode(name) => self.remove_node(&name),
            Step::Report(node, is_fit) => self.report(&node.into(), is_fit),
            Step::Sign(node, sign) => self.show_life(&node.into(), sign),
            Step::Miss(by, nodes) => {
                self.miss(&by.into(), nodes.into_iter().map(Into::into).collect());
            }
            Step::Power(node, is_on) => self.power(&node.into(), is_on),
            Step::Wait => self.wait(),
            Step::Agents(name) => self.agents_act(&name),
            Step::AllAgents => self.all_agents_act(),
            Step::Restart => self.control = self.world.started(),
            Step::Again => self.lead_again(),
            Step::Drop(_) | Step::Break(..) => {}
        }
        self.world.settle(&mut self.control);
    }

    fn report(&mut self, node: &NodeName, is_fit: Option<bool>) {
        match is_fit {
            Some(is_fit) => self.world.reports.insert(node.clone(), is_fit),
            None => self.world.reports.remove(node),
        };
        self.control.apply(self.world.report_of(node));
    }

    fn show_life(&mut self, node: &NodeName, sign: Option<Sign>) {
        match sign {
            Some(sign) => self.world.signs.insert(node.clone(), sign),
            None => self.world.signs.remove(node),
        };
        self.control.apply(self.world.sign_of(node));
    }

    fn miss(&mut self, by: &NodeName, nodes: BTreeSet<NodeName>) {
        self.world.missed.insert(by.clone(), nodes);
        self.control.apply(self.world.missed_by(by));
    }

    fn power(&mut self, node: &NodeName, is_on: bool) {
        let sign = if is_on { Sign::Given } else { Sign::Ceased };
        self.show_life(node, Some(sign));
        let others: Vec<_> = self.world.nodes.keys().cloned().collect();
        for by in others.into_iter().filter(|by| by != node) {
            let mut nodes = self.world.missed.get(&by).cloned().unwrap_or_default();
            nodes.remove(node);
            nodes.extend((!is_on).then(|| node.clone()));
            self.miss(&by, nodes);
        }
    }

    fn all_agents_act(&mut self) {
        let names: Vec<_> = self.world.egresses.keys().cloned().collect();
        for name in names {
            self.agents_act(name.as_str());
        }
    }

    fn lead_again(&mut self) {
        if !self.moving().is_empty() {
            return;
        }
        self.control.apply(Fact::Superseded);
        self.control.apply(Fact::Synced);
        rests(&mut self.control, self.now_s);
        self.now_s += 2 * STABLE_S;
        rests(&mut self.control, self.now_s);
    }

    fn wait(&mut self) {
        self.now_s += 2 * STABLE_S;
        self.at(self.now_s);
        for _ in 0..MOST_ROUNDS {
            let before = self.world.clone();
            self.all_agents_act();
            if self.world == before {
                return;
            }
        }
        panic!("no end of moves");
    }

    fn write(&mut self, name: &str, created: i64, pool: Option<String>, ip: Option<IpAddr>) {
        if !self.exists(name) {
            self.world
                .egresses
                .insert(name.into(), egress(name, created));
        }
        self.edit(name, |egress| {
            egress.generation += 1;
            egress.pool = pool.map(PoolName::from);
            // A plain `kubectl apply` leaves an IP that it does not name.
            if ip.is_some() {
                set_ip(egress, ip, Writer::User);
            }
        });
    }

    fn write_pool(&mut self, name: &str, ranges: &[&'static str], exclude: Option<IpAddr>) {
        if self.world.pools.contains_key(&PoolName::from(name)) {
            let ranges = ranges.iter().copied().map(range).collect();
            self.edit_pool(name, |pool| respecify(pool, |spec| spec.ranges = ranges));
        } else {
            self.add_pool(pool(name, ranges));
        }
        self.edit_pool(name, |pool| {
            respecify(pool, |spec| {
                spec.exclude = exclude.map(IpRange::single).into_iter().collect();
            });
        });
    }

    /// Pooled Egresses with an IP.
    fn allocated_egresses(&self) -> impl Iterator<Item = (&EgressFact, IpAddr)> {
        self.world.egresses.values().filter_map(|egress| {
            let allocated = egress.status.condition(Type::IpAllocated)?;
            Some((
                egress,
                egress
                    .ip
                    .filter(|_| allocated.is_true && !egress.deleting)?,
            ))
        })
    }

    fn no_ip_is_given_twice(&self) {
        let mut owners = BTreeMap::new();
        for (egress, ip) in self.allocated_egresses() {
            let other = owners.insert(ip, &egress.name);
            assert!(
                other.is_none(),
                "{ip} is given to {other:?} and {}",
                egress.name
            );
        }
    }

    fn no_ip_is_outside_its_pool(&self) {
        for (egress, ip) in self.allocated_egresses() {
            let pool = self.world.pools.get(egress.pool.as_ref().unwrap());
            let spec = pool.expect("a pool").spec.as_ref().expect("a spec");
            assert!(
                spec.ranges.iter().any(|range| range.bounds().contains(ip)),
                "{egress:?}"
            );
        }
    }

    fn no_ip_is_given_while_another_node_answers_for_it(&self) {
        for (egress, ip) in self.allocated_egresses() {
            let answers = |other: &&EgressFact| {
                let node = other.status.node.as_ref();
                other.status.ip == Some(ip)
                    && node.is_some_and(|node| self.world.nodes.contains_key(node))
            };
            let others = self.world.egresses.values();
            let mut others = others.filter(|other| other.name != egress.name);
            assert_eq!(others.find(answers), None, "{ip} is given to {egress:?}");
        }
    }

    fn no_egress_goes_while_a_node_answers_for_it(
        &self,
        before: &BTreeMap<EgressName, EgressFact>,
    ) {
        let gone = before
            .values()
            .filter(|egress| !self.world.egresses.contains_key(&egress.name));
        for egress in gone {
            let node = egress.status.node.as_ref();
            let is_there = node.is_some_and(|node| self.control.gone(node).is_none());
            assert!(!is_there, "{egress:?}");
        }
    }

    fn candidates_are_eligible_and_within_limits(&self) {
        let mut load: BTreeMap<&NodeName, usize> = BTreeMap::new();
        for egress in self.world.egresses.values() {
            for (position, name) in egress.status.candidates.iter().enumerate() {
                let node = &self.world.nodes[name];
                assert!(!node.is_cordoned && node.max_egress_ips > 0, "{egress:?}");
                assert_ne!(self.world.reports.get(name), Some(&false), "{egress:?}");
                let is_held = egress.status.node.as_ref() == Some(name);
                if position == 0 && !is_held {
                    *load.entry(name).or_default() += 1;
                }
            }
        }
        for (name, load) in load {
            assert!(
                load <= self.world.nodes[name].max_egress_ips,
                "{name} has {load}"
            );
        }
    }
}

/// Whoever begins to decide decides nothing anew, not at once and not later.
fn rests(control: &mut Control, now_s: u64) {
    control.apply(Fact::Time(now_s));
    assert_eq!(control.decide(), [], "something is decided anew");
}

/// A pool, and nodes whose agents are all well.
fn furnished() -> impl Iterator<Item = Step> {
    let pool = Step::WritePool {
        pool: "p0".to_owned(),
        ranges: vec!["10.0.0.0/29"],
        exclude: None,
    };
    let nodes = (0..4).flat_map(|number| {
        let node = format!("n{number}");
        [
            Step::WriteNode {
                node: node.clone(),
                is_cordoned: false,
                limit: 6,
            },
            Step::Report(node.clone(), Some(true)),
            Step::Sign(node, Some(Sign::Given)),
        ]
    });
    std::iter::once(pool).chain(nodes)
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn whatever_happens_the_promises_are_kept(
        is_furnished in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut cluster = Cluster::new(0);
        furnished().filter(|_| is_furnished).for_each(|step| cluster.happen(step));
        for step in steps {
            let before = cluster.world.egresses.clone();
            let may_let_go = matches!(
                step,
                Step::Tear(_) | Step::Agents(_) | Step::AllAgents | Step::Wait
            );
            cluster.happen(step);
            cluster.no_ip_is_given_twice();
            cluster.no_ip_is_outside_its_pool();
            cluster.no_ip_is_given_while_another_node_answers_for_it();
            if !may_let_go {
                cluster.no_egress_goes_while_a_node_answers_for_it(&before);
            }
            cluster.candidates_are_eligible_and_within_limits();
            // A restart gives up a move that is under way.
            if cluster.moving().is_empty() {
                let mut restarted = cluster.world.started();
                rests(&mut restarted, 0);
                rests(&mut restarted, 2 * STABLE_S);
            }
        }
    }

    #[test]
    fn what_is_seen_together_is_decided_alike_in_any_order_of_arrival(
        steps in prop::collection::vec(step(), 1..30),
        order in prop::collection::vec(any::<Index>(), 30),
    ) {
        let mut before = Cluster::new(0);
        for step in steps {
            match step {
                Step::Write { egress: name, created, pool, ip } => {
                    let egress = EgressFact { pool: pool.map(Into::into), ip, ..egress(&name, created) };
                    before.world.egresses.insert(egress.name.clone(), egress);
                }
                Step::WritePool { .. }
                | Step::WriteNode { .. }
                | Step::Report(..)
                | Step::Sign(..)
                | Step::Miss(..)
                | Step::Power(..) => before.happen(step),
                _ => {}
            }
        }
        let mut in_order = before.world.clone();
        in_order.settle(&mut before.world.started());
        let mut facts = before.world.facts();
        let mut control = World::default().started();
        for index in order {
            if !facts.is_empty() {
                control.apply(facts.remove(index.index(facts.len())));
            }
        }
        for fact in facts {
            control.apply(fact);
        }
        before.world.settle(&mut control);
        prop_assert_eq!(before.world, in_order);
    }
}
