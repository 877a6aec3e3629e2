//! A kernel in memory, which fails on demand.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use egret_domain::datapath::{Change, Commit, Element};
use egret_domain::net::Family;
use rtnetlink::Error::RequestFailed;

use super::{Error, Kernel};

/// What the fake holds. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeKernel(pub(crate) Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) elements: BTreeSet<Element>,
    /// How often the frame was made to stand.
    pub(crate) repairs: usize,
    /// What was committed, in order.
    pub(crate) commits: Vec<Commit>,
    /// How many of the next steps of a commit succeed; then one fails.
    pub(crate) steps_before_failure: Option<usize>,
    /// Whether nothing works.
    pub(crate) is_broken: bool,
    /// Whether nothing works and nothing is installed.
    pub(crate) is_unfit: bool,
    /// Whether the node does not answer for pooled egress IPs.
    pub(crate) is_mute: bool,
    /// The egress IPs of which the neighbours know that they are here.
    pub(crate) announced: BTreeSet<IpAddr>,
}

fn refusal() -> Error {
    Error::Netlink {
        what: "do as told".to_owned(),
        source: RequestFailed,
    }
}

impl State {
    /// The changes of a commit in the order in which a kernel gets them; the transaction is one step.
    fn steps(commit: &Commit, is: &BTreeSet<Element>) -> Vec<Vec<Change>> {
        let forwards = |mac| {
            is.iter()
                .find(|element| matches!(element, Element::Forward { identity, .. } if *identity == mac))
                .map(|element| Change::Remove(*element))
        };
        let mut steps = Vec::new();
        steps.extend(
            commit
                .withdraw
                .iter()
                .map(|ip| vec![Change::Remove(Element::Address(*ip))]),
        );
        for (identity, node) in &commit.forward {
            let added = Change::Add(Element::Forward {
                identity: *identity,
                node: *node,
            });
            steps.push(forwards(*identity).into_iter().chain([added]).collect());
        }
        steps.push(commit.transaction.clone());
        steps.extend(
            commit
                .unforward
                .iter()
                .map(|mac| forwards(*mac).into_iter().collect()),
        );
        steps.extend(
            commit
                .assume
                .iter()
                .map(|ip| vec![Change::Add(Element::Address(*ip))]),
        );
        steps
    }

    /// Fails if this is the step that is to fail.
    fn may_fail(&mut self) -> Result<(), Error> {
        match &mut self.steps_before_failure {
            Some(0) => {
                self.steps_before_failure = None;
                Err(refusal())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, change: Change) {
        match change {
            Change::Remove(element) => {
                if let Element::Address(ip) = element {
                    self.announced.remove(&ip);
                }
                self.elements.remove(&element)
            }
            Change::Add(element) => self.elements.insert(element),
        };
    }
}

impl Kernel for FakeKernel {
    async fn repair(&mut self) -> Result<BTreeSet<Element>, Error> {
        let mut state = self.0.lock().unwrap();
        state.repairs += 1;
        if state.is_unfit {
            Err(Error::Unfit {
                source: Box::new(refusal()),
            })
        } else if state.is_broken {
            Err(refusal())
        } else {
            Ok(state.elements.clone())
        }
    }

    async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        for step in State::steps(commit, &state.elements) {
            state.may_fail()?;
            for change in step {
                state.carry_out(change);
            }
        }
        if !commit.announce.is_empty() {
            state.may_fail()?;
            state.announced.extend(&commit.announce);
        }
        state.commits.push(commit.clone());
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        if state.is_broken {
            return Err(refusal());
        }
        state.elements.clear();
        Ok(())
    }

    async fn verify(&mut self, _: &BTreeSet<Family>) -> Result<(), Error> {
        if self.0.lock().unwrap().is_mute {
            return Err(Error::ArpIgnored {
                path: "arp_ignore".to_owned(),
                value: "1".to_owned(),
            });
        }
        Ok(())
    }
}
