//! What the EgressNode says, and when it is written.

use std::net::Ipv4Addr;

use egret_crds::keyring::Key;
use egret_runtime::live::Liveness;
use prometheus_client::registry::Registry;

use super::*;
use crate::stored::Stored;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 10, 0, 101));

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn nodes(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|name| (*name).into()).collect()
}

fn report(missed_nodes: &[&str]) -> NodeReport {
    let mut missed = Missed::default();
    missed.set(nodes(missed_nodes), at(1_000_000_000));
    NodeReport {
        held: BTreeSet::from([IpAddr::from([10, 10, 0, 11])]),
        pods: 2,
        overlapped: BTreeSet::from(["web".into()]),
        missed,
        off: None,
        failed: None,
        is_known: true,
    }
}

fn network() -> Network {
    Network {
        subnets: BTreeSet::from(["10.10.0.0/16".parse().unwrap()]),
        mtu: Some(1450),
    }
}

fn writer(stored: &Stored) -> Writer {
    Writer {
        client: stored.client(),
        me: "node-1".into(),
        address: ADDRESS,
        metrics: Metrics::default(),
    }
}

async fn write(stored: &Stored, report: &NodeReport) -> Vec<String> {
    let keys = ["0123abcd".to_owned()];
    let result = writer(stored).write_once(&network(), report, &keys).await;
    result.unwrap();
    stored.take_writes()
}

#[tokio::test]
async fn a_report_says_what_the_node_is_what_it_holds_and_whom_it_does_not_hear() {
    let stored = Stored::with_node("node-1", "of-node-1");
    let object = "/apis/egret.dev/v1alpha1/egressnodes/node-1";
    let status = format!("{object}/status");
    assert_eq!(
        write(&stored, &report(&["node-2"])).await,
        [object, &status]
    );
    let written = stored.object("egressnodes/node-1");
    let owner = &written["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Node"), &json!("of-node-1"))
    );
    let status = &written["status"];
    assert_eq!(status["tunnelAddress"], "10.10.0.101");
    assert_eq!(status["mtu"], 1450);
    assert_eq!(status["gossipKeys"], json!(["0123abcd"]));
    assert_eq!(status["egressIPs"], json!(["10.10.0.11"]));
    assert_eq!(status["egressIPCount"], 1);
    assert_eq!(status["pods"], 2);
    assert_eq!(status["overlapped"], json!(["web"]));
    assert_eq!(
        status["peersDown"],
        json!([{"node": "node-2", "since": "2001-09-09T01:46:40Z"}])
    );
    assert_eq!(status["conditions"][0]["status"], "True");
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes_whatever_there_is_to_report() {
    let empty = NodeReport {
        is_known: true,
        ..NodeReport::default()
    };
    let failing = NodeReport {
        failed: Some(("nft", "nft refused".to_owned())),
        ..report(&[])
    };
    for report in [report(&["node-2", "node-3"]), empty, failing] {
        let stored = Stored::with_node("node-1", "of-node-1");
        assert_eq!(write(&stored, &report).await.len(), 2);
        for _ in 0..3 {
            assert_eq!(write(&stored, &report).await, <[&str; 0]>::default());
        }
    }
}

#[tokio::test]
async fn what_is_no_more_is_taken_out_of_the_report() {
    let stored = Stored::with_node("node-1", "of-node-1");
    write(&stored, &report(&["node-2"])).await;
    assert_eq!(write(&stored, &report(&[])).await.len(), 1);
    assert_eq!(
        stored.object("egressnodes/node-1")["status"]["peersDown"],
        Value::Null
    );
}

#[tokio::test(start_paused = true)]
async fn news_are_written_now_and_then_and_a_report_that_was_deleted_is_made_again() {
    let stored = Stored::with_node("node-1", "of-node-1");
    let (send, reports) = watch::channel(NodeReport::default());
    let (_keys, keys) = watch::channel(Keyring::of(Key::new([7; 32])));
    let pulse = Liveness::default().pulse("report writer");
    let task = tokio::spawn(writer(&stored).run(reports, keys, pulse));
    for pods in 0..20 {
        send.send_replace(NodeReport {
            pods,
            ..report(&[])
        });
        sleep(Duration::from_millis(200)).await;
    }
    sleep(WRITE_EVERY * 2).await;
    let writes = stored.take_writes().len();
    assert!((2..6).contains(&writes), "{writes} writes");
    assert_eq!(stored.object("egressnodes/node-1")["status"]["pods"], 19);

    sleep(LOOK_EVERY * 5).await;
    assert_eq!(stored.take_writes(), <[&str; 0]>::default());
    stored.remove("egressnodes/node-1");
    sleep(LOOK_EVERY * 2).await;
    assert_eq!(stored.object("egressnodes/node-1")["status"]["pods"], 19);
    task.abort();
}

#[test]
fn who_is_missed_is_so_since_the_last_answer() {
    let mut missed = Missed::default();
    missed.set(nodes(&["node-2"]), at(10));
    missed.set(nodes(&["node-2", "node-3"]), at(20));
    let since = |node: &str, second| (NodeName::from(node), at(second));
    assert_eq!(missed.0, [since("node-2", 10), since("node-3", 20)].into());
    missed.set(nodes(&["node-3"]), at(30));
    missed.set(nodes(&["node-2"]), at(40));
    assert_eq!(missed.0, [since("node-2", 40)].into());
}

#[test]
fn of_nodes_without_number_that_do_not_answer_only_so_many_are_reported() {
    let names: Vec<_> = (0..MOST_MISSED + 50)
        .map(|number| format!("n{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let wanted = wanted(None, ADDRESS, &network(), &report(&names), &[], at(0));
    assert_eq!(
        wanted["status"]["peersDown"].as_array().unwrap().len(),
        MOST_MISSED
    );
}

#[test]
fn where_egress_is_off_all_is_well_unless_something_failed() {
    let shown = |report: &NodeReport| {
        let mut registry = Registry::default();
        report.show(&Metrics::registered(&mut registry));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.contains("egret_agent_ready 1")
    };
    assert!(shown(&NodeReport::off(true, None)));
    let failed = Some(("nft", "install nft".to_owned()));
    assert!(!shown(&NodeReport::off(false, failed)));
}
