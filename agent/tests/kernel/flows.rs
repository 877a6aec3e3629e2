//! Flows that go on while their Pod's egress IP changes: conntrack translates a flow once, and its ports stay the same.

use egret_agent::kernel::settings::Settings;
use egret_domain::datapath::{Element, identity};

use crate::namespace::{inside, ip, run};
use crate::network::{Node, local, make_gateway_of, through_the_tunnel};

const NODE: &str = "10.10.0.101";

#[test]
fn a_flow_through_the_tunnel_leaves_as_the_nodes_once_nothing_selects_its_pod_any_more() {
    inside(
        "flows::a_flow_through_the_tunnel_leaves_as_the_nodes_once_nothing_selects_its_pod_any_more",
        async {
            let mut node = Node::new().await;
            make_gateway_of(&["10.10.0.11"]);
            node.should(through_the_tunnel("10.10.0.11")).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.11"]);
            node.should([]).await;
            assert_eq!(node.seen_of_a_packet(), [NODE]);
        },
    );
}

#[test]
fn a_flow_through_the_tunnel_leaves_as_the_nodes_once_its_destination_is_excepted() {
    inside(
        "flows::a_flow_through_the_tunnel_leaves_as_the_nodes_once_its_destination_is_excepted",
        async {
            let mut node = Node::new().await;
            make_gateway_of(&["10.10.0.11"]);
            let selected = through_the_tunnel("10.10.0.11");
            node.should(selected).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.11"]);
            let except = Element::Except("10.10.0.200/32".parse().unwrap());
            node.should(selected.into_iter().chain([except])).await;
            assert_eq!(node.seen_of_a_packet(), [NODE]);
            node.should(selected).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.11"]);
        },
    );
}

#[test]
fn a_flow_that_began_before_its_pod_was_selected_leaves_with_the_egress_ip_afterwards() {
    inside(
        "flows::a_flow_that_began_before_its_pod_was_selected_leaves_with_the_egress_ip_afterwards",
        async {
            let mut node = Node::new().await;
            make_gateway_of(&["10.10.0.11"]);
            assert_eq!(node.seen_of_a_packet(), [NODE]);
            node.should(through_the_tunnel("10.10.0.11")).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.11"]);
            node.should(local("10.10.0.12")).await;
            assert_eq!(node.seen_of_a_packet(), ["10.10.0.12"]);
            node.should([]).await;
            assert_eq!(node.seen_of_a_packet(), [NODE]);
        },
    );
}

#[test]
fn a_flow_that_began_before_its_pod_was_selected_is_dropped_while_there_is_no_gateway() {
    inside(
        "flows::a_flow_that_began_before_its_pod_was_selected_is_dropped_while_there_is_no_gateway",
        async {
            let mut node = Node::new().await;
            assert_eq!(node.seen_of_a_packet(), [NODE]);
            node.should([Element::Remote {
                pod: ip("10.244.1.2"),
                identity: None,
            }])
            .await;
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_flow_leaves_with_the_new_egress_ip_when_that_of_its_pod_changes() {
    inside(
        "flows::a_flow_leaves_with_the_new_egress_ip_when_that_of_its_pod_changes",
        async {
            let mut node = Node::new().await;
            make_gateway_of(&["10.10.0.11", "10.10.0.12"]);
            for egress_ip in ["10.10.0.11", "10.10.0.12", "10.10.0.11"] {
                node.should(through_the_tunnel(egress_ip)).await;
                assert_eq!(node.seen_of_a_packet(), [egress_ip]);
            }
            for egress_ip in ["10.10.0.13", "10.10.0.14", "10.10.0.13"] {
                node.should(local(egress_ip)).await;
                assert_eq!(node.seen_of_a_packet(), [egress_ip]);
            }
        },
    );
}

#[test]
fn a_flow_does_not_leave_with_the_old_egress_ip_even_if_the_new_one_has_the_same_zone() {
    inside(
        "flows::a_flow_does_not_leave_with_the_old_egress_ip_even_if_the_new_one_has_the_same_zone",
        async {
            let (old, new) = ("10.10.0.11", "10.10.0.12");
            let zone = Settings::default().zone_of(ip(old));
            let identity = identity(ip(new));
            let mut node = Node::new().await;
            make_gateway_of(&[old, new]);
            run(&format!(
                "ip netns exec gw nft 'delete element ip egret zone {{ {identity} }}; \
                 add element ip egret zone {{ {identity} : {zone} }}'"
            ));
            node.should(through_the_tunnel(old)).await;
            assert_eq!(node.seen_of_a_packet(), [old]);
            node.should(through_the_tunnel(new)).await;
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());

            node.should(local(old)).await;
            assert_eq!(node.seen_of_a_packet(), [old]);
            node.should(local(new)).await;
            run(&format!(
                "nft 'delete element ip egret local_zone {{ 10.244.1.2 }}; \
                 add element ip egret local_zone {{ 10.244.1.2 : {zone} }}'"
            ));
            assert_eq!(node.seen_of_a_packet(), Vec::<String>::new());
        },
    );
}
