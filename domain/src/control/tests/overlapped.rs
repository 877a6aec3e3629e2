//! Nodes report Egresses whose Pods use another.

use super::*;

impl Cluster {
    fn report_overlap(&mut self, node: &str, egresses: &[&str]) {
        self.control.apply(Fact::Overlapped {
            node: node.into(),
            egresses: egresses.iter().map(|name| (*name).into()).collect(),
        });
        self.world.settle(&mut self.control);
    }
}

#[test]
fn an_egress_whose_pods_use_another_says_so_and_where_as_long_as_a_node_reports_it() {
    let mut cluster = Cluster::new(3).with([egress("a", 1), egress("b", 2)]);
    cluster.report_overlap("node-1", &["a"]);
    cluster.report_overlap("node-2", &["a"]);
    let (overlapped, message) = cluster.condition("a", Type::Overlapped);
    assert_eq!(overlapped, "True OtherEgressFirst");
    assert!(message.contains("on node-1, node-2 use"), "{message}");
    assert_eq!(cluster.condition("b", Type::Overlapped).0, "");
    cluster.report_overlap("node-1", &[]);
    let message = cluster.condition("a", Type::Overlapped).1;
    assert!(message.contains("on node-2 use"), "{message}");
    cluster.report_overlap("node-2", &["b"]);
    assert_eq!(cluster.condition("a", Type::Overlapped).0, "");
    assert_eq!(
        cluster.condition("b", Type::Overlapped).0,
        "True OtherEgressFirst"
    );
}

#[test]
fn of_many_nodes_few_are_named_and_one_more_costs_no_write() {
    let mut cluster = Cluster::new(9).with([egress("a", 1)]);
    for node in ["node-1", "node-2", "node-3", "node-4"] {
        cluster.report_overlap(node, &["a"]);
    }
    let message = cluster.condition("a", Type::Overlapped).1;
    assert!(
        message.contains("on node-1, node-2, node-3 and other nodes use"),
        "{message}"
    );
    cluster.control.apply(Fact::Overlapped {
        node: "node-5".into(),
        egresses: BTreeSet::from(["a".into()]),
    });
    assert_eq!(cluster.control.decide(), []);
}

#[test]
fn a_report_may_come_before_its_egress_and_stay_after_it() {
    let mut cluster = Cluster::new(1);
    cluster.report_overlap("node-1", &["a"]);
    cluster.add([egress("a", 1)]);
    assert_eq!(
        cluster.condition("a", Type::Overlapped).0,
        "True OtherEgressFirst"
    );
    cluster.delete("a");
    cluster.report_overlap("node-1", &[]);
    cluster.add([egress("a", 2)]);
    assert_eq!(cluster.condition("a", Type::Overlapped).0, "");
}
