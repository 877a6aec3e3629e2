//! That `hack/bench datapath` measures what it says: real packets in namespaces of each test's own, as its figures come from
//! them. No test says anything about a time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure here is a failed test"
)]

use std::collections::BTreeSet;
use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use egret_bench::datapath::network::{Network, Way};
use egret_bench::datapath::path::Path;
use egret_bench::datapath::traffic::{Kind, seen_by};

const MARK: &str = "EGRET_TEST_INSIDE";
const SHORT: Duration = Duration::from_millis(20);

/// Runs a test's body in new namespaces: the test's own process runs itself again in there.
fn inside(test: &str, body: impl FnOnce()) {
    if env::var_os(MARK).is_some() {
        return body();
    }
    let result = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .args(["sh", "-ec", "mount -t tmpfs run /run; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("unshare is needed (package util-linux)");
    let said = String::from_utf8_lossy(&result.stdout) + String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{said}");
    assert!(
        said.contains("1 passed"),
        "the test did not run inside: {said}"
    );
}

fn way(network: &Network, path: Path) -> &Way {
    let mut ways = network.ways.iter();
    ways.find(|way| way.path == path).unwrap()
}

fn seen_outside(network: &Network, path: Path) -> Vec<String> {
    let seen = seen_by(&network.server, &way(network, path).pod);
    seen.iter().map(ToString::to_string).collect()
}

#[test]
fn outside_is_seen_the_egress_ip_of_a_selected_pod_and_else_its_gateway_or_node() {
    inside(
        "outside_is_seen_the_egress_ip_of_a_selected_pod_and_else_its_gateway_or_node",
        || {
            let paths = [
                Path::Bare,
                Path::Tracked,
                Path::Node,
                Path::Selected(1),
                Path::Selected(30),
                Path::Unselected(30),
            ];
            let network = Network::new(&paths).unwrap();
            let seen = paths.map(|path| seen_outside(&network, path));
            // The last but one byte of a node tells whether it is a gateway, the last one which pair of nodes it is of. Egress
            // IPs have a network for each pair; a selected Pod is its world's last.
            let expected = [
                "10.10.2.1",
                "10.10.2.2",
                "10.10.1.3",
                "10.15.0.1",
                "10.16.0.30",
                "10.10.1.5",
            ];
            assert_eq!(seen, expected.map(|address| vec![address.to_owned()]));
            let told = paths.map(|path| vec![way(&network, path).seen_as.to_string()]);
            assert_eq!(told, seen);
        },
    );
}

#[test]
fn each_kind_of_sample_is_taken_on_each_way() {
    inside("each_kind_of_sample_is_taken_on_each_way", || {
        let network = Network::new(&[Path::Bare, Path::Selected(2), Path::Unselected(2)]).unwrap();
        for way in &network.ways {
            for kind in Kind::ALL {
                let taken = network.server.sample(way, kind, SHORT).unwrap();
                assert!(taken.rate > 0.0, "{}: {kind:?}", way.path);
                assert_eq!(taken.times.is_empty(), kind != Kind::Requests);
            }
        }
    });
}

#[test]
fn a_sample_does_not_count_where_the_outside_sees_another_address() {
    inside(
        "a_sample_does_not_count_where_the_outside_sees_another_address",
        || {
            let mut network = Network::new(&[Path::Unselected(1)]).unwrap();
            let way = network.ways.first_mut().unwrap();
            way.seen_as = Ipv4Addr::new(192, 0, 2, 1);
            let way = way.clone();
            for kind in Kind::ALL {
                let refused = network.server.sample(&way, kind, SHORT).unwrap_err();
                assert!(refused.to_string().contains("has seen"), "{refused:#}");
            }
        },
    );
}

#[test]
fn a_way_through_a_gateway_that_does_not_translate_cannot_be_measured() {
    inside(
        "a_way_through_a_gateway_that_does_not_translate_cannot_be_measured",
        || {
            let network = Network::new(&[Path::Selected(1)]).unwrap();
            let egret = network.egrets.values().next().unwrap();
            egret
                .gateway
                .netns()
                .run("nft flush map ip egret gateway")
                .unwrap();
            let way = way(&network, Path::Selected(1));
            let refused = network.server.sample(way, Kind::Requests, SHORT);
            assert!(refused.is_err(), "{refused:?}");
            assert_eq!(seen_by(&network.server, &way.pod), BTreeSet::new());
        },
    );
}

#[test]
fn a_change_that_is_measured_is_one_in_the_kernel() {
    inside("a_change_that_is_measured_is_one_in_the_kernel", || {
        let mut network = Network::new(&[Path::Selected(3)]).unwrap();
        let egret = network.egrets.values_mut().next().unwrap();
        let pod = IpAddr::V4(egret.world.pod(3));
        let is_there = |source: &egret_bench::datapath::netns::Netns| {
            source.run(&format!(
                "nft get element netdev egret identity {{ {pod} }}"
            ))
        };
        let source = egret.source.netns().clone();
        assert!(is_there(&source).is_err());
        let cost = egret.source.take(vec![egret.world.one_more_pod()]).unwrap();
        is_there(&source).unwrap();
        assert!(cost.wall >= cost.deciding && !cost.processor().is_zero());
        egret.source.take(vec![egret.world.one_pod_less()]).unwrap();
        assert!(is_there(&source).is_err());
    });
}
