//! Agents on loopback, each at an address of its own: sockets, seals and the clock. What agents come to think of each
//! other is tested beside `gossip`.

use egret_crds::keyring::Key;
use egret_runtime::live::Liveness;

use super::*;

struct Agent {
    alive: watch::Receiver<Alive>,
    task: tokio::task::JoinHandle<()>,
    _peers: watch::Sender<Option<Peers>>,
    keys: watch::Sender<Keyring>,
}

fn key(byte: u8) -> Key {
    Key::new([byte; 32])
}

fn address_of(last_byte: u8) -> IpAddr {
    [127, 77, 0, last_byte].into()
}

async fn agent(last_byte: u8, port: u16, key: u8, everybody: &[u8]) -> Agent {
    let name = |n: u8| NodeName::from(format!("node-{n}"));
    let others = everybody.iter().filter(|n| **n != last_byte);
    let (peers, peers_seen) =
        watch::channel(Some(others.map(|n| (name(*n), address_of(*n))).collect()));
    let (told, alive) = watch::channel(Alive::default());
    let (keys, keys_seen) = watch::channel(Keyring::of(self::key(key)));
    let address = SocketAddr::new(address_of(last_byte), port);
    let membership = Membership::open(&name(last_byte), address, keys_seen, peers_seen, told)
        .await
        .unwrap();
    Agent {
        alive,
        task: tokio::spawn(membership.run(Liveness::default().pulse("membership"))),
        _peers: peers,
        keys,
    }
}

impl Agent {
    /// Waits until these and no others answer.
    async fn sees(&mut self, nodes: &[u8]) {
        let nodes: BTreeSet<_> = nodes
            .iter()
            .map(|n| NodeName::from(format!("node-{n}")))
            .collect();
        let wait = self.alive.wait_for(|alive| alive.nodes == nodes);
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn agents_find_each_other_and_notice_who_falls_silent_and_who_comes_back() {
    let mut one = agent(1, 17_001, 9, &[1, 2]).await;
    let two = agent(2, 17_001, 9, &[1, 2]).await;
    one.sees(&[1, 2]).await;
    assert!(one.alive.borrow().settled);
    two.task.abort();
    one.sees(&[1]).await;
    let mut again = agent(2, 17_001, 9, &[1, 2]).await;
    one.sees(&[1, 2]).await;
    again.sees(&[1, 2]).await;
}

#[tokio::test]
async fn an_agent_with_another_key_is_not_let_in() {
    let everybody = [4, 5, 6];
    let mut one = agent(4, 17_002, 9, &everybody).await;
    let _stranger = agent(6, 17_002, 8, &everybody).await;
    let _two = agent(5, 17_002, 9, &everybody).await;
    one.sees(&[4, 5]).await;
    one.alive.wait_for(|alive| alive.settled).await.unwrap();
    assert_eq!(one.alive.borrow().nodes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_meets_nobody_settles_in_the_end() {
    let mut alone = agent(7, 17_003, 9, &[7, 8]).await;
    assert!(!alone.alive.borrow().settled);
    alone.alive.wait_for(|alive| alive.settled).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_changed_counts_at_once() {
    let mut one = agent(8, 17_004, 1, &[8, 9]).await;
    let mut two = agent(9, 17_004, 1, &[8, 9]).await;
    one.sees(&[8, 9]).await;
    two.keys.send_replace(Keyring::of(key(2)));
    one.sees(&[8]).await;
    two.sees(&[9]).await;
    one.keys.send_replace(Keyring::of(key(2)));
    one.sees(&[8, 9]).await;
    two.sees(&[8, 9]).await;
}
