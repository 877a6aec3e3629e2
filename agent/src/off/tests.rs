//! A node where Egress is off, with a kernel in memory.

use egret_crds::{Egress, EgressSpec, EgressStatus};
use egret_domain::datapath::Element;
use egret_runtime::live::Liveness;

use super::*;
use crate::feed;
use crate::kernel::fake::FakeKernel;

struct World {
    kernel: FakeKernel,
    messages: mpsc::Sender<Message>,
    statuses: Statuses,
    report: watch::Receiver<NodeReport>,
}

/// The agent of node-1 with what a former one has left in the kernel.
fn world() -> World {
    let kernel = FakeKernel::default();
    let held = Element::Address([10, 10, 0, 11].into());
    kernel.0.lock().unwrap().elements.insert(held);
    let (messages, received) = mpsc::channel(16);
    let (sender, report) = watch::channel(NodeReport::default());
    let statuses = Statuses::default();
    let cleaner = Cleaner {
        me: "node-1".into(),
        kernel: kernel.clone(),
        statuses: statuses.clone(),
        report: sender,
        pulse: Liveness::default().pulse("cleaner"),
    };
    tokio::spawn(cleaner.run(received));
    World {
        kernel,
        messages,
        statuses,
        report,
    }
}

impl World {
    async fn egress(&self, name: &str, holder: Option<&str>) {
        let mut object = Egress::new(name, EgressSpec::default());
        object.status = Some(EgressStatus {
            egress_node: holder.map(str::to_owned),
            ..EgressStatus::default()
        });
        self.messages.send(feed::egress(object)).await.unwrap();
    }

    async fn synced(&self) {
        let synced = Message::Synced(Source::Egresses);
        self.messages.send(synced).await.unwrap();
    }

    async fn reports(&mut self, wanted: NodeReport) {
        let wait = self.report.wait_for(|report| *report == wanted);
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_clean_once_nothing_stands_in_its_kernel_and_no_egress_names_it() {
    let mut world = world();
    world.egress("mine", Some("node-1")).await;
    world.egress("other", Some("node-2")).await;
    world.synced().await;
    world.reports(NodeReport::off(false, None)).await;
    assert!(world.kernel.0.lock().unwrap().elements.is_empty());
    let wish = world.statuses.get(&"mine".into());
    assert!(matches!(wish, Some((_, Report::LetGo))), "{wish:?}");
    assert!(world.statuses.get(&"other".into()).is_none());
    world.egress("mine", None).await;
    world.reports(NodeReport::off(true, None)).await;
    assert!(world.statuses.get(&"mine".into()).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_egress_that_goes_meanwhile_is_not_waited_for() {
    let mut world = world();
    world.egress("mine", Some("node-1")).await;
    world.synced().await;
    world.reports(NodeReport::off(false, None)).await;
    let gone = Message::Fact(Fact::EgressGone("mine".into()));
    world.messages.send(gone).await.unwrap();
    world.reports(NodeReport::off(true, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_refuses_is_reported_and_tried_again_before_any_status_is_withdrawn() {
    let mut world = world();
    world.kernel.0.lock().unwrap().is_broken = true;
    world.egress("mine", Some("node-1")).await;
    world.synced().await;
    let told = world.report.wait_for(|report| !report.is_ready()).await;
    assert_ne!(*told.unwrap(), NodeReport::off(false, None));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(world.statuses.get(&"mine".into()).is_none());
    world.kernel.0.lock().unwrap().is_broken = false;
    world.reports(NodeReport::off(false, None)).await;
}
