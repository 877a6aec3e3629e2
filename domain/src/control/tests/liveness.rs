//! Holders that are gone, by the word of agents.

use super::*;

impl Cluster {
    pub(super) fn sign(&mut self, node: &str, sign: Sign) {
        self.tell_of_agents([Fact::Sign {
            node: node.into(),
            sign: Some(sign),
        }]);
    }

    /// The agents of some nodes have not heard of others for eight seconds.
    pub(super) fn missed(&mut self, by: &[String], nodes: &[&str]) {
        let nodes: BTreeSet<NodeName> = nodes.iter().map(|node| (*node).into()).collect();
        self.tell_of_agents(by.iter().map(|by| Fact::Missed {
            by: by.as_str().into(),
            nodes: nodes.clone(),
        }));
    }

    fn tell_of_agents(&mut self, facts: impl IntoIterator<Item = Fact>) {
        facts.into_iter().for_each(|fact| self.control.apply(fact));
        self.world.settle(&mut self.control);
    }

    fn holder(&mut self, name: &str) -> Option<String> {
        let node = self.world.egress(name).status.node.as_ref();
        node.map(ToString::to_string)
    }

    /// The nodes but for this one.
    pub(super) fn others(&self, node: &str) -> Vec<String> {
        let names = self.world.nodes.keys().map(ToString::to_string);
        names.filter(|name| name != node).collect()
    }
}

/// So many nodes with living agents; Egress `a` is held by the node returned.
fn held(nodes: usize) -> (Cluster, String) {
    let mut cluster = Cluster::new(nodes).with([egress("a", 1)]);
    for node in cluster.others("") {
        cluster.sign(&node, Sign::Given);
    }
    cluster.agents_act("a");
    let holder = cluster.holder("a").unwrap();
    (cluster, holder)
}

#[test]
fn a_holder_that_most_agents_have_lost_sight_of_is_cleared_and_the_conditions_say_why() {
    let (mut cluster, holder) = held(3);
    let others = cluster.others(&holder);
    cluster.missed(&others[..1], &[&holder]);
    assert_eq!(cluster.holder("a"), Some(holder.clone()), "one of three");
    cluster.missed(&others, &[&holder]);
    assert_eq!(cluster.holder("a"), None);
    for kind in [Type::IpAssigned, Type::Ready] {
        let (said, message) = cluster.condition("a", kind);
        assert_eq!(said, "False NodeUnreachable", "{kind}");
        assert!(message.contains(&holder), "{message}");
    }
    assert_eq!(cluster.allocated("a"), "True Allocated");
}

#[test]
fn a_static_egress_is_cleared_too() {
    let mut cluster = Cluster::new(3).with([placed("a", 1, "10.10.0.103")]);
    for node in cluster.others("") {
        cluster.sign(&node, Sign::Given);
    }
    cluster.edit("a", |egress| {
        take(egress, "node-3".into(), ip("10.10.0.103"));
    });
    assert_eq!(cluster.ready("a"), "True Assigned");
    let others = cluster.others("node-3");
    cluster.missed(&others, &["node-3"]);
    assert_eq!(cluster.holder("a"), None);
    assert_eq!(cluster.ready("a"), "False NodeUnreachable");
}

#[test]
fn a_holder_that_another_node_has_replaced_is_left_to_that_one() {
    let (mut cluster, holder) = held(3);
    let others = cluster.others(&holder);
    let taker = others[0].as_str();
    cluster.edit("a", |egress| {
        take(egress, taker.into(), ip("10.10.0.11"));
    });
    cluster.missed(&others, &[&holder]);
    assert_eq!(cluster.holder("a"), Some(taker.to_owned()));
    assert_eq!(cluster.ready("a"), "True Assigned");
}

#[test]
fn of_two_that_do_not_hear_each_other_none_is_gone_while_both_show_life() {
    let (mut cluster, holder) = held(2);
    let others = cluster.others(&holder);
    cluster.missed(&others, &[&holder]);
    cluster.missed(std::slice::from_ref(&holder), &[&others[0]]);
    assert_eq!(cluster.holder("a"), Some(holder.clone()));
    cluster.sign(&holder, Sign::Ceased);
    assert_eq!(cluster.holder("a"), None);
}

#[test]
fn a_node_that_only_the_api_server_has_lost_sight_of_stays() {
    let (mut cluster, holder) = held(3);
    cluster.sign(&holder, Sign::Ceased);
    assert_eq!(cluster.holder("a"), Some(holder));
}

#[test]
fn a_node_that_nobody_else_can_speak_of_is_gone_when_its_lease_has_run_out() {
    let (mut cluster, holder) = held(1);
    cluster.sign(&holder, Sign::Ceased);
    assert_eq!(cluster.holder("a"), None);
    assert_eq!(cluster.ready("a"), "False AgentSilent");
}

#[test]
fn where_no_agent_has_ever_shown_life_nobody_is_gone() {
    let mut cluster = Cluster::new(3).with([egress("a", 1)]);
    cluster.agents_act("a");
    let holder = cluster.holder("a").unwrap();
    let others = cluster.others(&holder);
    cluster.missed(&others, &[&holder]);
    assert_eq!(cluster.holder("a"), Some(holder));
}

#[test]
fn the_dead_have_no_say() {
    let (mut cluster, holder) = held(4);
    let others = cluster.others(&holder);
    cluster.missed(&others[..2], &[&holder]);
    assert_eq!(cluster.holder("a"), Some(holder.clone()), "two of four");
    cluster.sign(&others[2], Sign::Ceased);
    assert_eq!(cluster.holder("a"), None, "two of three");
}

#[test]
fn nodes_that_have_left_the_cluster_have_no_say() {
    let (mut cluster, holder) = held(3);
    let others = cluster.others(&holder);
    for other in &others {
        cluster.remove_node(other);
    }
    cluster.missed(&others, &[&holder]);
    assert_eq!(cluster.holder("a"), Some(holder));
}

#[test]
fn who_takes_an_ip_is_alive_whatever_the_others_still_report() {
    let (mut cluster, holder) = held(3);
    let others = cluster.others(&holder);
    cluster.missed(&others, &[&holder]);
    let back = holder.as_str();
    cluster.edit("a", |egress| {
        take(egress, back.into(), ip("10.10.0.11"));
    });
    assert_eq!(cluster.holder("a"), Some(holder.clone()), "cleared again");
    cluster.missed(&others[1..], &[&holder]);
    assert_eq!(cluster.holder("a"), Some(holder.clone()));
    // Once the others have heard of it again, it can be lost again.
    cluster.missed(&others, &[]);
    cluster.missed(&others, &[&holder]);
    assert_eq!(cluster.holder("a"), None);
}

#[test]
fn deletion_waits_for_an_unreachable_node_until_most_agents_have_lost_sight_of_it() {
    let (mut cluster, holder) = held(3);
    cluster.delete("a");
    let others = cluster.others(&holder);
    cluster.missed(&others[..1], &[&holder]);
    let (ready, message) = cluster.condition("a", Type::Ready);
    assert_eq!(ready, "False Withdrawing");
    assert!(message.contains(&holder), "{message}");
    cluster.add([asking("b", 2, "10.10.0.11")]);
    assert_eq!(cluster.allocated("b"), "False AddressTaken");
    cluster.missed(&others, &[&holder]);
    assert!(!cluster.exists("a"));
    assert_eq!(cluster.allocated("b"), "True Allocated");
}

#[test]
fn the_conditions_speak_of_a_lost_holder_until_the_spec_changes_or_another_node_takes_the_ip() {
    let (mut cluster, holder) = held(3);
    let others = cluster.others(&holder);
    cluster.missed(&others, &[&holder]);
    cluster.edit("a", |egress| {
        egress.generation += 1;
    });
    assert_eq!(cluster.ready("a"), "False NotAssigned");
    let (mut cluster, holder) = held(3);
    cluster.missed(&others, &[&holder]);
    let taker = others[0].as_str();
    cluster.edit("a", |egress| {
        take(egress, taker.into(), ip("10.10.0.11"));
    });
    assert_eq!(cluster.ready("a"), "True Assigned");
}

#[test]
fn one_verdict_costs_work_for_what_the_node_held_and_is_given_once() {
    let (mut cluster, holder) = held(3);
    cluster.add([egress("b", 2)]);
    let others = cluster.others(&holder);
    let facts = others.iter().map(|by| Fact::Missed {
        by: by.as_str().into(),
        nodes: BTreeSet::from([holder.as_str().into()]),
    });
    facts.for_each(|fact| cluster.control.apply(fact));
    assert_eq!(cluster.control.decide(), [Object::Egress("a".into())]);
    assert_eq!(cluster.control.decide(), []);
}

#[test]
fn an_egress_that_was_made_while_all_nodes_were_silent_has_candidates_once_one_is_heard_of() {
    let mut cluster = Cluster::new(1);
    cluster.sign("node-1", Sign::Ceased);
    cluster.add([egress("late", 1)]);
    assert_eq!(cluster.world.egress("late").status.candidates, []);
    cluster.sign("node-1", Sign::Given);
    assert_eq!(
        cluster.world.egress("late").status.candidates,
        ["node-1".into()]
    );
}
