//! Addresses and names of Pods' networks, without a network.

use super::*;

fn sandbox(name: &str, node: &str, address: &str) -> Sandbox {
    Sandbox {
        pod: format!("default/{name}").parse().unwrap(),
        uid: name.to_owned(),
        node: node.parse().unwrap(),
        address: address.parse().unwrap(),
    }
}

#[test]
fn addresses_are_handed_out_lowest_first_and_end() {
    let node = "node-2".parse().unwrap();
    let mut taken = BTreeSet::new();
    while let Some(address) = free_address(node, &taken) {
        assert!(taken.insert(address));
    }
    assert_eq!(taken.len(), 253);
    assert_eq!(taken.first().unwrap().to_string(), "10.244.2.2");
    taken.remove(&"10.244.2.9".parse().unwrap());
    assert_eq!(
        free_address(node, &taken).unwrap().to_string(),
        "10.244.2.9"
    );
}

#[test]
fn egrets_own_pods_take_addresses_from_the_other_end() {
    let node = "node-2".parse().unwrap();
    let taken = [Ipv4Addr::new(10, 244, 2, 254)].into();
    let [first, second] = [BTreeSet::new(), taken].map(|taken| last_free_address(node, &taken));
    assert_eq!(first.unwrap().to_string(), "10.244.2.254");
    assert_eq!(second.unwrap().to_string(), "10.244.2.253");
}

#[test]
fn both_ends_know_each_other_for_good() {
    let one = sandbox("a", "node-1", "10.244.1.2");
    assert!(
        node_batch(&[&one])
            .contains("neigh replace 10.244.1.2 lladdr 0a:58:0a:f4:01:02 dev veth2 nud permanent")
    );
    assert!(
        pod_batch(&one)
            .contains("neigh replace 169.254.1.1 lladdr 0e:58:0a:f4:01:02 dev eth0 nud permanent")
    );
}

#[test]
fn pods_of_one_node_share_a_batch() {
    let all = [
        sandbox("a", "node-1", "10.244.1.2"),
        sandbox("b", "node-2", "10.244.2.2"),
        sandbox("c", "node-1", "10.244.1.3"),
    ];
    let groups = by_node(&all);
    let sizes: Vec<usize> = groups.iter().map(|(_, members)| members.len()).collect();
    assert_eq!(sizes, [2, 1]);
}
