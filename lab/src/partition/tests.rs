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
