//! A kernel in memory, which fails on demand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use egret_domain::datapath::{Change, Commit, Element};
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
}

impl Kernel for FakeKernel {
    async fn repair(&mut self) -> Result<BTreeSet<Element>, Error> {
        let mut state = self.0.lock().unwrap();
        state.repairs += 1;
        if state.is_broken {
            Err(refusal())
        } else {
            Ok(state.elements.clone())
        }
    }

    async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        for step in State::steps(commit, &state.elements) {
            match &mut state.steps_before_failure {
                Some(0) => {
                    state.steps_before_failure = None;
                    return Err(refusal());
                }
                Some(left) => *left -= 1,
                None => {}
            }
            for change in step {
                match change {
                    Change::Remove(element) => state.elements.remove(&element),
                    Change::Add(element) => state.elements.insert(element),
                };
            }
        }
        state.commits.push(commit.clone());
        Ok(())
    }
}
