//! Who is cut off from whom, as rules.

use super::*;

fn endpoints(names: &[&str]) -> BTreeSet<Endpoint> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn sides(from: &[&str], to: &[&str]) -> Sides {
    Sides::new(endpoints(from), endpoints(to), 3)
}

#[test]
fn one_group_alone_is_cut_from_everybody_else_but_not_within_itself() {
    let cut = Partition::default()
        .cut(&sides(&["node-1", "node-2"], &[]), false)
        .render();
    for line in [
        r#"iifname "node-1" oifname "node-3" drop"#,
        r#"iifname "node-3" oifname "node-2" drop"#,
        r#"iifname "node-1" oifname "ext" drop"#,
    ] {
        assert!(cut.contains(line), "{line} is not in {cut}");
    }
    assert!(
        !cut.contains(r#"iifname "node-1" oifname "node-2""#),
        "{cut}"
    );
}

#[test]
fn the_api_is_cut_at_the_bridge_itself() {
    let cut = Partition::default()
        .cut(&sides(&["node-1"], &["api"]), false)
        .render();
    assert!(cut.contains("  iifname \"node-1\" drop\n"), "{cut}");
    assert!(cut.contains("  oifname \"node-1\" drop\n"), "{cut}");
}

#[test]
fn a_one_way_cut_leaves_the_other_direction() {
    let cut = Partition::default()
        .cut(&sides(&["node-1"], &["node-2"]), true)
        .render();
    assert!(cut.contains(r#"iifname "node-1" oifname "node-2" drop"#));
    assert!(!cut.contains(r#"iifname "node-2" oifname "node-1" drop"#));
}

#[test]
fn healing_what_was_cut_leaves_no_rule() {
    let one = sides(&["node-1"], &[]);
    let two = sides(&["node-2"], &["node-3"]);
    let cut = Partition::default().cut(&one, false).cut(&two, false);
    assert_eq!(
        cut.clone().heal(&one, false).heal(&two, false),
        Partition::default()
    );
    assert_eq!(cut.heal_all(), Partition::default());
}

#[test]
fn without_its_cable_to_the_outside_a_node_still_reaches_the_api() {
    let node = "node-2".parse().unwrap();
    let down = Partition::default().uplink(node, false);
    let text = down.render();
    assert!(
        text.contains(r#"iifname "node-2" ip daddr 10.10.0.1 ip protocol tcp accept"#),
        "{text}"
    );
    assert!(
        text.contains(r#"iifname "node-2" oifname "ext" drop"#),
        "{text}"
    );
    assert_eq!(down.uplink(node, true), Partition::default());
}

#[test]
fn a_node_is_apart_when_the_api_server_does_not_hear_it_or_is_not_heard() {
    let apart = |cut: Partition| -> Vec<String> {
        let nodes = cut.apart().into_iter();
        nodes.map(|node| node.to_string()).collect()
    };
    let cut = |from: &[&str], to: &[&str], one_way: bool| {
        apart(Partition::default().cut(&sides(from, to), one_way))
    };
    assert_eq!(cut(&["node-1"], &[], false), ["node-1"]);
    assert_eq!(cut(&["node-2"], &["api"], true), ["node-2"]);
    assert_eq!(cut(&["api"], &["node-3"], true), ["node-3"]);
    assert!(cut(&["node-1"], &["node-2", "ext"], false).is_empty());
    let uplink = Partition::default().uplink("node-1".parse().unwrap(), false);
    assert!(apart(uplink).is_empty());
}
