//! Names and addresses of the lab's nodes and Pods.

use super::*;

#[test]
fn a_node_has_the_addresses_that_users_rely_on() {
    let node: NodeId = "node-3".parse().unwrap();
    assert_eq!(node.address(Family::V4).to_string(), "10.10.0.103");
    assert_eq!(node.address(Family::V6).to_string(), "fd10::103");
    assert_eq!(node.pod_cidr(Family::V4), "10.244.3.0/24");
    assert_eq!(
        node.pod_address(42, Family::V6).to_string(),
        "fd24:0:0:3::42"
    );
    let eleventh: NodeId = "node-11".parse().unwrap();
    assert_eq!(eleventh.pod_cidr(Family::V6), "fd24:0:0:11::/64");
    assert_eq!(
        eleventh.pod_address(2, Family::V6).to_string(),
        "fd24:0:0:11::2"
    );
    assert_eq!(ext_url(Family::V6), "http://[fd10::200]:8080/");
    assert_eq!(node.mac(), "02:00:0a:0a:00:67");
}

#[test]
fn names_that_are_no_node_are_refused() {
    for name in [
        "node-0", "node-100", "node-01", "node-+1", "node", "n1", "node-256",
    ] {
        assert_eq!(
            name.parse::<NodeId>(),
            Err(NameError::Node(name.to_owned())),
            "{name}"
        );
    }
}

#[test]
fn two_pods_whose_joined_names_look_alike_have_their_own_namespaces() {
    let left: PodKey = "a-b/c".parse().unwrap();
    let right: PodKey = "a/b-c".parse().unwrap();
    assert_ne!(left.netns(), right.netns());
}

#[test]
fn a_name_too_long_for_a_file_gets_a_short_namespace() {
    let pod: PodKey = format!("{}/{}", "n".repeat(63), "p".repeat(253))
        .parse()
        .unwrap();
    assert!(pod.netns().len() < 64);
}

#[test]
fn a_pod_name_cannot_lead_out_of_the_folder_of_namespaces() {
    assert!("../etc".parse::<PodKey>().is_err());
    assert!("a/..".parse::<PodKey>().is_err());
    assert!("a/b/c".parse::<PodKey>().is_err());
}

#[test]
fn targets_are_told_apart() {
    assert_eq!("lab".parse(), Ok(Target::Lab));
    assert_eq!("ext".parse(), Ok(Target::Ext));
    assert_eq!(
        "node/node-1".parse::<Target>().unwrap().netns().as_deref(),
        Some("node-1")
    );
    assert_eq!(
        "shop/web".parse::<Target>().unwrap().netns().as_deref(),
        Some("pod-shop_web")
    );
    assert!("web".parse::<Target>().is_err());
    assert!("node/web".parse::<Target>().is_err());
}
