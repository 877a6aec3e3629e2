//! The loop with real decisions and a kernel in memory that fails on demand.

use std::net::IpAddr;

use egret_domain::datapath::{Element, identity};
use egret_domain::egress::{self, Mode, WhenUnavailable};
use egret_domain::name::{NodeName, PodName};
use egret_domain::net::Family;
use egret_domain::node::{ClusterNode, EgressFact, Pod};
use egret_domain::ownership::Report;
use egret_domain::placement;
use egret_domain::selector::{AppliedTo, Labels, Selector};
use egret_runtime::live::Liveness;
use egret_runtime::ready::Readiness;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::kernel::fake::FakeKernel;
use crate::status::MANAGER;

fn ip(last_byte: u8) -> IpAddr {
    [10, 10, 0, last_byte].into()
}

fn pod(last_byte: u8) -> Message {
    Message::Fact(Fact::Pod(Pod {
        name: PodName {
            namespace: "prod".into(),
            name: format!("web-{last_byte}").into(),
        },
        created: 0,
        addresses: vec![[10, 244, 1, last_byte].into()],
        labels: Labels::new(),
    }))
}

fn node(name: &str, last_byte: u8) -> Message {
    Message::Fact(Fact::Node(Box::new(ClusterNode {
        placement: placement::Node::linux(name.into(), 255),
        addresses: vec![ip(last_byte)],
        pod_cidrs: Vec::new(),
    })))
}

/// A pooled Egress on 10.10.0.11 that selects every Pod, with these candidates.
fn egress(candidates: &[&str]) -> Message {
    let egress = egress::Egress {
        name: "web".into(),
        uid: "1".to_owned(),
        generation: 1,
        created: 0,
        deleting: false,
        applied_to: AppliedTo {
            pods: Some(Selector::default()),
            namespaces: None,
        },
        mode: Mode::Pooled {
            pool: "pool".into(),
            ip: Some(ip(11)),
        },
        priority: 0,
        when_unavailable: WhenUnavailable::Drop,
        except: Vec::new(),
        bandwidth: None,
    };
    let candidates = candidates.iter().map(|name| (*name).into()).collect();
    let fact = EgressFact {
        is_allocated: true,
        egress,
        candidates,
        reported: None,
    };
    Message::Egress(
        Fact::Egress(Box::new(fact)),
        "web".into(),
        Arc::new(Packed::new(
            Egress::new("web", egret_crds::EgressSpec::default()),
            MANAGER,
        )),
    )
}

struct World {
    kernel: FakeKernel,
    peers: watch::Receiver<Option<Peers>>,
    messages: mpsc::Sender<Message>,
    readiness: Readiness,
    statuses: Statuses,
    report: watch::Receiver<NodeReport>,
    registry: Registry,
    liveness: Liveness,
    alive: watch::Sender<Alive>,
    task: JoinHandle<()>,
}

impl World {
    /// An agent on node a of a cluster of a and b, both alive, before anything is read from the API.
    fn new(kernel: FakeKernel) -> Self {
        let (messages, received) = mpsc::channel(1000);
        let both = ["a", "b"].map(NodeName::from).into_iter().collect();
        let (told, alive) = watch::channel(Alive::default());
        told.send_replace(Alive {
            nodes: both,
            settled: true,
        });
        let (report, reports) = watch::channel(NodeReport::default());
        let statuses = Statuses::default();
        let (peers, peers_seen) = watch::channel(None);
        let mut registry = Registry::default();
        let outlets = Outlets {
            peers,
            statuses: statuses.clone(),
            report,
            metrics: Metrics::registered(&mut registry),
        };
        let liveness = Liveness::default();
        let pulse = liveness.pulse("reconciler");
        let readiness = Readiness::default();
        let ready = readiness.wait_for("datapath");
        let index = Index::new("a".into(), &[Family::V4], Vec::new());
        let reconciler = Reconciler::new(index, kernel.clone(), outlets, ready, pulse);
        let task = tokio::spawn(reconciler.run(received, alive));
        Self {
            kernel,
            peers: peers_seen,
            messages,
            readiness,
            statuses,
            report: reports,
            registry,
            liveness,
            alive: told,
            task,
        }
    }

    async fn tell(&self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.messages.send(message).await.unwrap();
        }
    }

    async fn synced(&self) {
        let known = [node("a", 101), node("b", 102)];
        let namespace = Message::Fact(Fact::Namespace("prod".into(), Labels::new()));
        self.tell(known.into_iter().chain([namespace])).await;
        self.tell(Source::all().into_iter().map(Message::Synced))
            .await;
    }

    fn has(&self, element: Element) -> bool {
        self.kernel.0.lock().unwrap().elements.contains(&element)
    }

    /// The metrics as they are read.
    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// How many commits, and how many repairs, there were.
    fn counts(&self) -> (usize, usize) {
        let state = self.kernel.0.lock().unwrap();
        (state.commits.len(), state.repairs)
    }

    /// Waits, on the paused clock, until it is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never: {what}");
    }

    async fn ready(&self) {
        self.until("ready", |world| world.readiness.awaited().is_empty())
            .await;
    }
}

fn gateway() -> Element {
    Element::Gateway {
        identity: identity(ip(11)),
        egress_ip: ip(11),
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_kernel_is_left_alone_until_everything_is_read() {
    let kernel = FakeKernel::default();
    kernel.0.lock().unwrap().elements.insert(gateway());
    let world = World::new(kernel);
    world.tell([node("a", 101), pod(2)]).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(world.has(gateway()));
    assert!(!world.readiness.awaited().is_empty());
    world.synced().await;
    world.ready().await;
    assert!(!world.has(gateway()));
}

#[tokio::test(start_paused = true)]
async fn an_agent_meets_its_peers_only_once_it_knows_what_it_holds_and_can_do_it() {
    let kernel = FakeKernel::default();
    kernel.0.lock().unwrap().is_broken = true;
    let world = World::new(kernel.clone());
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(*world.peers.borrow(), None);
    kernel.0.lock().unwrap().is_broken = false;
    world.ready().await;
    assert_eq!(
        *world.peers.borrow(),
        Some(Peers::from([("b".into(), ip(102))]))
    );
}

#[tokio::test(start_paused = true)]
async fn one_pod_event_is_one_small_transaction() {
    let world = World::new(FakeKernel::default());
    world.tell([egress(&["b", "a"])]).await;
    world.synced().await;
    world.ready().await;
    let forward = Element::Forward {
        identity: identity(ip(11)),
        node: ip(102),
    };
    world
        .until("the gateway is known", |world| world.has(forward))
        .await;
    let (commits, repairs) = world.counts();
    world.tell([pod(2)]).await;
    let remote = Element::Remote {
        pod: [10, 244, 1, 2].into(),
        identity: Some(identity(ip(11))),
    };
    world
        .until("the Pod's element", |world| world.has(remote))
        .await;
    let state = world.kernel.0.lock().unwrap();
    let transaction = vec![egret_domain::datapath::Change::Add(remote)];
    assert_eq!(
        state.commits[commits..],
        [Commit {
            transaction,
            ..Commit::default()
        }]
    );
    assert_eq!(state.repairs, repairs);
}

type Messages<'a> = &'a dyn Fn() -> Vec<Message>;

/// What stands, and is announced, after a change of which this step fails; and whether there was such a step.
async fn stands_after(
    before: Vec<Message>,
    change: Vec<Message>,
    failing: Option<usize>,
) -> (BTreeSet<Element>, BTreeSet<IpAddr>, bool) {
    let world = World::new(FakeKernel::default());
    world.tell(before).await;
    world.synced().await;
    world.ready().await;
    world.kernel.0.lock().unwrap().steps_before_failure = failing;
    world.tell(change).await;
    // Longer than the first tries take, shorter than the next comparison without a failure.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let state = world.kernel.0.lock().unwrap();
    let is_injected = state.steps_before_failure.is_none();
    (state.elements.clone(), state.announced.clone(), is_injected)
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_step_is_made_good() {
    let gone = || Message::Fact(Fact::EgressGone("web".into()));
    let here = || vec![egress(&["a", "b"]), pod(2)];
    let there = || vec![egress(&["b"]), pod(2)];
    // Gained: transaction, address, announcement. Lost: address, forwarding entry, transaction. Gone: transaction,
    // forwarding entry.
    let scenarios: [(Messages, Messages, usize); 3] = [
        (&Vec::new, &here, 3),
        (&here, &there, 3),
        (&there, &|| vec![gone()], 2),
    ];
    for (number, (before, change, steps)) in scenarios.into_iter().enumerate() {
        let (elements, announced, _) = stands_after(before(), change(), None).await;
        for step in 0..=steps {
            let (is, told, is_injected) = stands_after(before(), change(), Some(step)).await;
            let place = format!("scenario {number}, step {step}");
            assert_eq!(is_injected, step < steps, "{place}");
            assert_eq!(is, elements, "{place}");
            assert_eq!(told, announced, "{place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_anew_announces_what_the_one_before_it_may_not_have() {
    let kernel = FakeKernel::default();
    let first = World::new(kernel.clone());
    first.tell([egress(&["a", "b"])]).await;
    first.synced().await;
    first.ready().await;
    assert!(first.has(gateway()));
    first.task.abort();
    kernel.0.lock().unwrap().announced.clear();

    let second = World::new(kernel.clone());
    second.tell([egress(&["a", "b"])]).await;
    second.synced().await;
    second.ready().await;
    assert_eq!(kernel.0.lock().unwrap().announced, BTreeSet::from([ip(11)]));
}

#[tokio::test(start_paused = true)]
async fn without_a_failure_nothing_is_announced_again() {
    let world = World::new(FakeKernel::default());
    world.tell([egress(&["a", "b"])]).await;
    world.synced().await;
    world.ready().await;
    world.kernel.0.lock().unwrap().announced.clear();
    let (_, repairs) = world.counts();
    world
        .until("another comparison", |world| world.counts().1 > repairs)
        .await;
    assert_eq!(world.kernel.0.lock().unwrap().announced, BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_run_the_datapath_gossips_since_it_knows_that_it_holds_nothing() {
    let kernel = FakeKernel::default();
    kernel.0.lock().unwrap().is_unfit = true;
    let mut world = World::new(kernel);
    world.tell([node("a", 101), node("b", 102)]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(*world.peers.borrow(), None);
    world.synced().await;
    let both = Some(Peers::from([("b".into(), ip(102))]));
    world
        .until("the peers", |world| *world.peers.borrow() == both)
        .await;
    assert_eq!(world.readiness.awaited(), ["datapath"]);
    assert!(!world.report.borrow_and_update().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_for_pooled_ips_says_so_and_still_serves_its_pods() {
    let kernel = FakeKernel::default();
    kernel.0.lock().unwrap().is_mute = true;
    let mut world = World::new(kernel.clone());
    world.tell([egress(&["b"])]).await;
    world.synced().await;
    world
        .until("the peers", |world| world.peers.borrow().is_some())
        .await;
    assert!(!world.report.borrow_and_update().is_ready());
    assert_eq!(world.readiness.awaited(), ["datapath"]);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (commits, repairs) = world.counts();
    world.tell([pod(2)]).await;
    world
        .until("the Pod's element", |world| {
            world.counts().0 > commits && world.counts().1 == repairs
        })
        .await;
    assert!(!world.report.borrow_and_update().is_ready());
    kernel.0.lock().unwrap().is_mute = false;
    world.ready().await;
    assert!(world.report.borrow_and_update().is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_stands_in_the_kernel_before() {
    let kernel = FakeKernel::default();
    let world = World::new(kernel.clone());
    world.synced().await;
    world.ready().await;
    kernel.0.lock().unwrap().is_broken = true;
    kernel.0.lock().unwrap().steps_before_failure = Some(0);
    world.tell([egress(&["a", "b"])]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.statuses.get(&"web".into()).is_none());
    kernel.0.lock().unwrap().is_broken = false;
    world
        .until("the report", |world| {
            world.statuses.get(&"web".into()).is_some()
        })
        .await;
    assert!(world.has(Element::Address(ip(11))));
    assert_eq!(
        world.statuses.get(&"web".into()).unwrap().1,
        Report::Holds(ip(11))
    );
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_cannot_do_it_is_reported_and_the_agent_is_not_ready() {
    let kernel = FakeKernel::default();
    kernel.0.lock().unwrap().is_broken = true;
    let mut world = World::new(kernel);
    world.synced().await;
    world.report.changed().await.unwrap();
    assert!(!world.report.borrow_and_update().is_ready());
    assert_eq!(world.readiness.awaited(), ["datapath"]);
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_made_good_without_being_reported_but_a_lasting_one_is_reported() {
    let kernel = FakeKernel::default();
    let mut world = World::new(kernel.clone());
    world.synced().await;
    world.ready().await;
    kernel.0.lock().unwrap().steps_before_failure = Some(0);
    world.tell([egress(&["a", "b"])]).await;
    world
        .until("the gateway's element", |world| world.has(gateway()))
        .await;
    assert!(world.report.borrow_and_update().is_ready());
    kernel.0.lock().unwrap().is_broken = true;
    let report = world.report.wait_for(|report| !report.is_ready());
    tokio::time::timeout(Duration::from_mins(5), report)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn agents_that_fail_at_once_do_not_try_again_at_once() {
    let agents: Vec<_> = (0..8).map(|_| World::new(FakeKernel::default())).collect();
    for agent in &agents {
        agent.kernel.0.lock().unwrap().is_broken = true;
        agent.synced().await;
    }
    let begin = Instant::now();
    let mut eighth_try = BTreeMap::new();
    while eighth_try.len() < agents.len() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (number, agent) in agents.iter().enumerate() {
            if agent.counts().1 >= 8 {
                eighth_try.entry(number).or_insert(begin.elapsed());
            }
        }
    }
    let times: BTreeSet<_> = eighth_try.into_values().collect();
    assert!(times.len() > 1, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_behind_the_agents_back_is_made_good_in_time() {
    let world = World::new(FakeKernel::default());
    world.tell([egress(&["a", "b"])]).await;
    world.synced().await;
    world.ready().await;
    let found = |what: &str| format!(r#"egret_agent_kernel_comparisons_total{{found="{what}"}}"#);
    world
        .until("a comparison without drift", |world| {
            world.metrics().contains(&found("as_planned"))
        })
        .await;
    assert!(!world.metrics().contains(&found("drift")));
    world.kernel.0.lock().unwrap().elements.clear();
    world
        .until("the gateway's element", |world| world.has(gateway()))
        .await;
    let text = world.metrics();
    assert!(text.contains(&found("drift")), "{text}");
    assert!(!text.contains("kernel_drift_elements_total 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_the_node_does_is_shown_without_names_and_addresses() {
    let world = World::new(FakeKernel::default());
    world.tell([egress(&["a", "b"]), pod(2)]).await;
    world.synced().await;
    world.ready().await;
    let text = world.metrics();
    for line in [
        "egret_agent_ready 1",
        "egret_agent_pods_served 1",
        "egret_agent_egress_ips_held 1",
        "egret_agent_gossip_members_known 2",
        "egret_agent_gossip_members_alive 2",
        r#"egret_agent_kernel_commits_total{outcome="done"}"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("10.10.0.11"), "{text}");
    world.kernel.0.lock().unwrap().is_broken = true;
    world
        .until("a report of the failure", |world| {
            world.metrics().contains("egret_agent_ready 0")
        })
        .await;
    let text = world.metrics();
    let failure = r#"egret_agent_kernel_failures_total{check="netlink"} 3"#;
    assert!(text.contains(failure), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_work_is_alive() {
    let world = World::new(FakeKernel::default());
    world.synced().await;
    world.ready().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(world.liveness.stuck(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn ipv6_elements_are_not_sent_to_a_kernel_without_a_frame_for_them() {
    let world = World::new(FakeKernel::default());
    let v6 = "fd24::/48".parse().unwrap();
    world
        .tell([Message::Fact(Fact::ServiceCidrs(vec![v6]))])
        .await;
    world.synced().await;
    world.ready().await;
    assert!(!world.has(Element::Except(v6)));
    world.task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ceases_to_answer_is_news_in_the_nodes_report() {
    let mut world = World::new(FakeKernel::default());
    world.synced().await;
    world.ready().await;
    let before = world.report.borrow_and_update().clone();
    world.alive.send_modify(|alive| {
        alive.nodes.remove(&NodeName::from("b"));
    });
    let changed = world.report.wait_for(|report| *report != before);
    let news = tokio::time::timeout(Duration::from_secs(1), changed).await;
    assert!(news.unwrap().unwrap().misses(&"b".into()));
}
