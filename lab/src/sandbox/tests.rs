//! Addresses and names of Pods' networks, without a network.

use super::*;

fn sandbox(name: &str, node: &str, number: u8) -> Sandbox {
    Sandbox {
        pod: format!("default/{name}").parse().unwrap(),
        uid: name.to_owned(),
        node: node.parse().unwrap(),
        number,
        families: Families::Dual,
    }
}

#[test]
fn addresses_are_handed_out_lowest_first_and_end() {
    let node = "node-2".parse().unwrap();
    let mut taken = BTreeSet::new();
    while let Some(number) = free_number(node, &taken) {
        assert!(taken.insert((node, number)));
    }
    assert_eq!(taken.len(), 253);
    assert_eq!(taken.first(), Some(&(node, 2)));
    taken.remove(&(node, 9));
    assert_eq!(free_number(node, &taken), Some(9));
}

#[test]
fn egrets_own_pods_take_addresses_from_the_other_end() {
    let node = "node-2".parse().unwrap();
    let taken = [(node, 254)].into();
    let [first, second] = [BTreeSet::new(), taken].map(|taken| last_free_number(node, &taken));
    assert_eq!((first, second), (Some(254), Some(253)));
}

#[test]
fn both_ends_know_each_other_for_good() {
    let one = sandbox("a", "node-1", 2);
    assert!(
        node_batch(&[&one])
            .contains("neigh replace 10.244.1.2 lladdr 0a:58:0a:f4:01:02 dev veth2 nud permanent")
    );
    assert!(
        pod_batch(&one)
            .contains("neigh replace 169.254.1.1 lladdr 0e:58:0a:f4:01:02 dev eth0 nud permanent")
    );
    assert!(node_batch(&[&one]).contains("neigh replace fd24:0:0:1::2 lladdr 0a:58:0a:f4:01:02"));
    assert!(pod_batch(&one).contains("neigh replace fe80::1 lladdr 0e:58:0a:f4:01:02"));
}

#[test]
fn pods_of_one_node_share_a_batch() {
    let all = [
        sandbox("a", "node-1", 2),
        sandbox("b", "node-2", 2),
        sandbox("c", "node-1", 3),
    ];
    let groups = by_node(&all);
    let sizes: Vec<usize> = groups.iter().map(|(_, members)| members.len()).collect();
    assert_eq!(sizes, [2, 1]);
}
