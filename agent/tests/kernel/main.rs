//! The agent's kernel side on the real kernel, in a network namespace of each test's own.
//!
//! The namespace has a node's uplink `eth0` with 10.10.0.101/16. Tests run as root or as an ordinary user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure here is a failed test"
)]

mod families;
mod flows;
mod namespace;
mod network;
mod packets;

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_agent::kernel::Kernel;
use egret_agent::kernel::linux::Linux;
use egret_agent::kernel::settings::Settings;
use egret_domain::datapath::{Change, Commit, Element, diff, identity};
use egret_domain::net::Family;
use egret_runtime::describe;
use namespace::{inside, inside_without_net_admin, ip, output, run};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 10, 0, 101));

fn kernel() -> Linux {
    kernel_with(Settings::default())
}

fn kernel_with(settings: Settings) -> Linux {
    run("ip link add eth0 type veth peer name wire");
    run("ip addr add 10.10.0.101/16 dev eth0");
    run("ip link set eth0 up");
    run("ip link set wire up");
    Linux::new(settings, NODE).unwrap()
}

/// One of each kind of element, and two more Pods.
fn some_elements() -> BTreeSet<Element> {
    let (held, elsewhere) = (ip("10.10.0.11"), ip("10.10.0.12"));
    BTreeSet::from([
        Element::Except("10.244.0.0/16".parse().unwrap()),
        Element::Except("10.10.0.101/32".parse().unwrap()),
        Element::Except("10.96.0.0/12".parse().unwrap()),
        Element::Peer(ip("10.10.0.102")),
        Element::Remote {
            pod: ip("10.244.1.2"),
            identity: Some(identity(elsewhere)),
        },
        Element::Remote {
            pod: ip("10.244.1.3"),
            identity: None,
        },
        Element::Local {
            pod: ip("10.244.1.4"),
            egress_ip: held,
        },
        Element::Gateway {
            identity: identity(held),
            egress_ip: held,
        },
        Element::Forward {
            identity: identity(elsewhere),
            node: ip("10.10.0.102"),
        },
        Element::Guard(held),
        Element::Address(held),
        Element::Elsewhere(elsewhere),
    ])
}

async fn make(kernel: &mut Linux, should: &BTreeSet<Element>) {
    let is = kernel.repair().await.unwrap();
    kernel
        .commit(&Commit::of(&diff(&is, should)))
        .await
        .unwrap();
}

#[test]
fn what_was_committed_is_what_is_found() {
    inside("what_was_committed_is_what_is_found", async {
        let mut kernel = kernel();
        make(&mut kernel, &some_elements()).await;
        assert_eq!(kernel.repair().await.unwrap(), some_elements());
    });
}

#[test]
fn another_agent_finds_what_the_one_before_it_left_and_changes_nothing() {
    inside(
        "another_agent_finds_what_the_one_before_it_left_and_changes_nothing",
        async {
            let mut first = kernel();
            make(&mut first, &some_elements()).await;
            let before = everything();
            let mut second = Linux::new(Settings::default(), NODE).unwrap();
            assert_eq!(second.repair().await.unwrap(), some_elements());
            assert_eq!(everything(), before);
        },
    );
}

#[test]
fn a_rule_that_somebody_removed_is_put_back_with_the_elements_in_place() {
    inside(
        "a_rule_that_somebody_removed_is_put_back_with_the_elements_in_place",
        async {
            let mut kernel = kernel();
            make(&mut kernel, &some_elements()).await;
            let before = everything();
            run("nft flush chain ip egret translate");
            run("ip rule del pref 150");
            run("ip route flush table 6089");
            assert_eq!(kernel.repair().await.unwrap(), some_elements());
            assert_eq!(everything(), before);
        },
    );
}

#[test]
fn an_entry_that_somebody_added_by_hand_is_removed_and_one_removed_is_put_back() {
    inside(
        "an_entry_that_somebody_added_by_hand_is_removed_and_one_removed_is_put_back",
        async {
            let mut kernel = kernel();
            make(&mut kernel, &some_elements()).await;
            let before = everything();
            run("nft add element ip egret here { 10.244.1.99 }");
            run("nft delete element ip egret remote { 10.244.1.3 }");
            run("bridge fdb replace 02:e9:0a:0a:00:63 dev egret0 dst 10.10.0.103 self static");
            run("ip addr add 10.10.0.99/32 dev egret-ips");
            make(&mut kernel, &some_elements()).await;
            assert_eq!(everything(), before);
        },
    );
}

#[test]
fn an_entry_that_cannot_be_removed_alone_is_removed_with_the_rest_made_anew() {
    inside(
        "an_entry_that_cannot_be_removed_alone_is_removed_with_the_rest_made_anew",
        async {
            let mut kernel = kernel();
            make(&mut kernel, &some_elements()).await;
            let before = everything();
            run("nft add element ip egret except { 192.0.2.1-192.0.2.9 }");
            make(&mut kernel, &some_elements()).await;
            assert_eq!(everything(), before);
        },
    );
}

#[test]
fn a_tunnel_that_is_made_again_gets_its_tables_made_again() {
    inside(
        "a_tunnel_that_is_made_again_gets_its_tables_made_again",
        async {
            let mut kernel = kernel();
            make(&mut kernel, &some_elements()).await;
            let before = output("nft -s list ruleset");
            let first = output("nft -j list tables");
            kernel.repair().await.unwrap();
            assert_eq!(output("nft -j list tables"), first);
            run("ip link del egret0");
            make(&mut kernel, &some_elements()).await;
            assert_eq!(output("nft -s list ruleset"), before);
            assert_ne!(output("nft -j list tables"), first);
        },
    );
}

#[test]
fn an_installed_node_that_fails_is_not_one_without_anything_installed() {
    inside(
        "an_installed_node_that_fails_is_not_one_without_anything_installed",
        async {
            make(&mut kernel(), &some_elements()).await;
            let nft = output("command -v nft");
            run(&format!("mount --bind /dev/null {nft}"));
            let mut next = Linux::new(Settings::default(), NODE).unwrap();
            let error = next.repair().await.unwrap_err();
            assert_eq!(error.check(), "nft");
            assert!(!error.is_nothing_installed());
        },
    );
}

#[test]
fn a_setting_that_keeps_the_node_from_answering_for_pooled_ips_is_told_with_its_file() {
    inside(
        "a_setting_that_keeps_the_node_from_answering_for_pooled_ips_is_told_with_its_file",
        async {
            let mut kernel = kernel();
            make(&mut kernel, &some_elements()).await;
            kernel.verify(&[Family::V4].into()).await.unwrap();
            for (link, value) in [("all", 1), ("eth0", 2)] {
                let path = format!("/proc/sys/net/ipv4/conf/{link}/arp_ignore");
                run(&format!("echo {value} > {path}"));
                let error = kernel.verify(&[Family::V4].into()).await.unwrap_err();
                assert_eq!(error.check(), "arp");
                let advice = describe(&error);
                assert!(advice.contains(&format!("{path} is {value}")), "{advice}");
                run(&format!("echo 0 > {path}"));
            }
            kernel.verify(&[Family::V4].into()).await.unwrap();
        },
    );
}

#[test]
fn each_egress_ip_is_announced_on_the_link_where_it_is_reached() {
    inside(
        "each_egress_ip_is_announced_on_the_link_where_it_is_reached",
        async {
            let mut kernel = kernel();
            run("ip link add eth1 type veth peer name wire1; ip link set wire1 up");
            run("ip link set eth1 up; ip addr add 192.0.2.1/24 dev eth1");
            run(
                "nft 'table arp seen { set announced { typeof iifname . arp saddr ip; flags dynamic; }; \
                 chain in { type filter hook input priority 0; \
                 update @announced { iifname . arp saddr ip }; }; }'",
            );
            let fixed = ip("192.0.2.1");
            let gateway = Element::Gateway {
                identity: identity(fixed),
                egress_ip: fixed,
            };
            let should = some_elements().into_iter().chain([gateway]).collect();
            make(&mut kernel, &should).await;
            let seen = output("nft list set arp seen announced");
            assert!(seen.contains(r#""wire" . 10.10.0.11"#), "{seen}");
            assert!(seen.contains(r#""wire1" . 192.0.2.1"#), "{seen}");
            assert!(!seen.contains(r#""wire" . 192.0.2.1"#), "{seen}");
        },
    );
}

#[test]
fn a_tunnel_of_the_wrong_kind_is_replaced() {
    inside("a_tunnel_of_the_wrong_kind_is_replaced", async {
        let mut kernel = kernel();
        run("ip link add egret0 type vxlan id 1 dstport 4789");
        make(&mut kernel, &some_elements()).await;
        let link = output("ip -d link show egret0");
        assert!(
            link.contains("id 4321") && link.contains("dstport 6089"),
            "{link}"
        );
        assert!(
            link.contains("mtu 1450") && link.contains("nolearning"),
            "{link}"
        );
    });
}

#[test]
fn an_identity_moves_by_one_forwarding_entry() {
    inside("an_identity_moves_by_one_forwarding_entry", async {
        let mut kernel = kernel();
        make(&mut kernel, &some_elements()).await;
        let mac = identity(ip("10.10.0.12"));
        let forward = |node| Element::Forward {
            identity: mac,
            node: ip(node),
        };
        let moved = [
            Change::Remove(forward("10.10.0.102")),
            Change::Add(forward("10.10.0.103")),
        ];
        kernel.commit(&Commit::of(&moved)).await.unwrap();
        let entries = output("bridge fdb show dev egret0");
        let entries: Vec<_> = entries
            .lines()
            .filter(|line| line.contains(&mac.to_string()))
            .collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert!(entries[0].contains("dst 10.10.0.103"), "{entries:?}");
    });
}

#[test]
fn random_source_ports_are_taken_by_the_kernel_and_found_again() {
    inside(
        "random_source_ports_are_taken_by_the_kernel_and_found_again",
        async {
            let mut kernel = kernel_with(Settings {
                random_ports: true,
                ..Settings::default()
            });
            make(&mut kernel, &some_elements()).await;
            let listed = || output("nft -s -a list table ip egret");
            let before = listed();
            assert_eq!(before.matches("fully-random").count(), 2, "{before}");
            // Handles tell that nothing was made anew.
            make(&mut kernel, &some_elements()).await;
            assert_eq!(listed(), before);
            // An agent that starts with other settings makes them stand.
            let mut other = Linux::new(Settings::default(), NODE).unwrap();
            make(&mut other, &some_elements()).await;
            assert!(!listed().contains("fully-random"));
        },
    );
}

#[test]
fn nothing_stays_behind_once_removed() {
    inside("nothing_stays_behind_once_removed", async {
        let mut kernel = kernel();
        let before = everything();
        make(&mut kernel, &some_elements()).await;
        kernel.remove().await.unwrap();
        assert_eq!(everything(), before);
        kernel.remove().await.unwrap();
    });
}

#[test]
fn a_node_that_cannot_do_it_is_told_why_and_gets_nothing_installed() {
    inside(
        "a_node_that_cannot_do_it_is_told_why_and_gets_nothing_installed",
        async {
            let mut kernel = kernel();
            let before = everything();
            // The name is taken by something that cannot be a tunnel's port: the tunnel cannot be made.
            run("ip link add other type vxlan id 4321 dstport 6089 local 10.10.0.101 dev eth0");
            run("ip link set other up");
            let with_other = everything();
            let error = kernel.repair().await.unwrap_err();
            assert!(error.is_nothing_installed());
            let advice = describe(&error);
            assert!(
                advice.contains("VNI 4321") && advice.contains("6089"),
                "{advice}"
            );
            assert_eq!(everything(), with_other);
            run("ip link del other");
            assert_eq!(everything(), before);
            kernel.repair().await.unwrap();
        },
    );
}

#[test]
fn a_node_without_nft_is_told_what_to_install_and_gets_nothing_installed() {
    inside(
        "a_node_without_nft_is_told_what_to_install_and_gets_nothing_installed",
        async {
            let mut kernel = kernel();
            let before = everything();
            let nft = output("command -v nft");
            run(&format!("mount --bind /dev/null {nft}"));
            let error = kernel.repair().await.unwrap_err();
            assert!(error.is_nothing_installed());
            let advice = describe(&error);
            assert!(advice.contains("install nftables"), "{advice}");
            run(&format!("umount {nft}"));
            assert_eq!(everything(), before);
        },
    );
}

#[test]
fn an_agent_without_the_right_to_change_the_network_is_told_which_it_lacks() {
    let set_up = "ip link add eth0 type veth peer name wire; ip addr add 10.10.0.101/16 dev eth0";
    inside_without_net_admin(
        "an_agent_without_the_right_to_change_the_network_is_told_which_it_lacks",
        set_up,
        async {
            let mut kernel = Linux::new(Settings::default(), NODE).unwrap();
            let advice = describe(&kernel.repair().await.unwrap_err());
            assert!(advice.contains("NET_ADMIN"), "{advice}");
            assert!(!output("ip link").contains("egret"));
        },
    );
}

#[test]
fn an_address_that_no_link_has_is_reported_as_the_wrong_node_address() {
    inside(
        "an_address_that_no_link_has_is_reported_as_the_wrong_node_address",
        async {
            let mut kernel = Linux::new(Settings::default(), NODE).unwrap();
            let error = describe(&kernel.repair().await.unwrap_err());
            assert!(
                error.contains("10.10.0.101") && error.contains("HOST_IP"),
                "{error}"
            );
        },
    );
}

/// All that the agent could have changed, without what changes by itself: numbers, and the state of a link just made.
fn everything() -> String {
    let all = output(
        "nft -s list ruleset; ip -o addr | sed 's/valid_lft.*//'; ip rule; ip route show table all | grep -v '^local\\|^broadcast\\|^multicast\\|fe80'; \
         bridge fdb show | grep -v '33:33\\|01:00' | sort; ip neigh show nud permanent; ip -o link | cut -d' ' -f2",
    );
    all.lines()
        .filter(|line| !line.contains("inet6"))
        .map(|line| {
            // Link numbers grow when a link is made again.
            let number = line
                .split_once(": ")
                .filter(|(number, _)| number.parse::<u32>().is_ok());
            number
                .map_or(line, |(_, rest)| rest)
                .replace(" linkdown", "")
                + "\n"
        })
        .collect()
}

/// What has nothing in it that only `nft` can do.
fn without_networks() -> BTreeSet<Element> {
    let all = some_elements().into_iter();
    all.filter(|element| !matches!(element, Element::Except(_)))
        .collect()
}

fn processor_time_of_children() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

#[test]
fn a_small_change_needs_no_process_and_stands_as_one_of_nft_does() {
    inside(
        "a_small_change_needs_no_process_and_stands_as_one_of_nft_does",
        async {
            let mut kernel = kernel();
            let is = kernel.repair().await.unwrap();
            let before = processor_time_of_children();
            let commit = Commit::of(&diff(&is, &without_networks()));
            kernel.commit(&commit).await.unwrap();
            assert_eq!(processor_time_of_children(), before);
            let stands = everything();
            // The tables are made anew, by nft, with all that is in them.
            run("nft flush chain ip egret translate");
            assert_eq!(kernel.repair().await.unwrap(), without_networks());
            assert_eq!(everything(), stands);
        },
    );
}

#[test]
fn a_small_change_takes_away_and_replaces() {
    inside("a_small_change_takes_away_and_replaces", async {
        let mut kernel = kernel();
        make(&mut kernel, &without_networks()).await;
        let elsewhere = |last| Element::Remote {
            pod: ip("10.244.1.2"),
            identity: Some(identity(ip(last))),
        };
        let should = BTreeSet::from([elsewhere("10.10.0.13")]);
        let commit = Commit::of(&diff(&without_networks(), &should));
        kernel.commit(&commit).await.unwrap();
        assert_eq!(kernel.repair().await.unwrap(), should);
    });
}

#[test]
fn of_a_small_change_that_the_kernel_refuses_nothing_stands() {
    inside(
        "of_a_small_change_that_the_kernel_refuses_nothing_stands",
        async {
            let mut kernel = kernel();
            make(&mut kernel, &BTreeSet::new()).await;
            let (there, not_there) = (ip("10.10.0.102"), ip("10.10.0.103"));
            let changes = [
                Change::Remove(Element::Guard(not_there)),
                Change::Add(Element::Peer(there)),
            ];
            let refused = kernel.commit(&Commit::of(&changes)).await.unwrap_err();
            assert_eq!(refused.check(), "nft");
            assert!(describe(&refused).contains("os error 2"), "{refused:?}");
            assert_eq!(kernel.repair().await.unwrap(), BTreeSet::new());
        },
    );
}
