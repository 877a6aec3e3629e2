//! What is let in, refused or warned of, object by object.

mod egress;
mod order;
mod pool;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::net::{Cidr, IpRange};
use crate::node::ClusterNode;
use crate::placement;
use crate::pool::{PoolSpec, Range, Subnet};
use crate::problem::Problem;
use crate::selector::{Requirement, Selector};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn selecting(app: &str) -> AppliedTo {
    AppliedTo {
        pods: Some(labelled("app", app)),
        namespaces: None,
    }
}

fn labelled(key: &str, value: &str) -> Selector {
    let values = BTreeSet::from([value.to_owned()]);
    Selector::new([Requirement::In(key.to_owned(), values)])
}

/// An Egress that selects Pods of its own.
fn egress(name: &str) -> EgressDraft {
    EgressDraft {
        name: name.into(),
        created: i64::MAX,
        deleting: false,
        pool: None,
        ip: None,
        lacks_address: false,
        held: None,
        is_rehearsed: false,
        applied_to: Some(selecting(name)),
        priority: 0,
        problems: Vec::new(),
        remarks: Vec::new(),
    }
}

fn pooled(name: &str, pool: &str) -> EgressDraft {
    EgressDraft {
        pool: Some(pool.into()),
        ..egress(name)
    }
}

fn at(address: &str, egress: EgressDraft) -> EgressDraft {
    EgressDraft {
        ip: Some(ip(address)),
        ..egress
    }
}

fn fixed(name: &str, address: &str) -> EgressDraft {
    at(address, egress(name))
}

/// `10.0.0.0/24`, `10.0.0.1-10.0.0.9`, or one address.
fn range(text: &str) -> Range {
    if let Ok(cidr) = text.parse::<Cidr>() {
        return Range::Cidr(cidr);
    }
    Range::Span(span(text))
}

fn span(text: &str) -> IpRange {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    IpRange::new(ip(start), ip(end)).unwrap()
}

fn pool(name: &str, ranges: &[&str]) -> PoolDraft {
    PoolDraft {
        spec: PoolSpec {
            name: name.into(),
            generation: 1,
            deleting: false,
            ranges: ranges.iter().map(|text| range(text)).collect(),
            exclude: Vec::new(),
            subnet: None,
            nodes: Selector::default(),
        },
        places: (0..ranges.len()).collect(),
        has_all_addresses: true,
        has_nodes: true,
        is_default: false,
        problems: Vec::new(),
        remarks: Vec::new(),
    }
}

fn excluding(entries: &[&str], mut pool: PoolDraft) -> PoolDraft {
    pool.spec.exclude = entries.iter().map(|text| span(text)).collect();
    pool
}

fn behind(gateway: &str, mut pool: PoolDraft) -> PoolDraft {
    pool.spec.subnet = Some(Subnet {
        gateway: ip(gateway),
        prefix: 24,
        vlan: None,
    });
    pool
}

fn default(pool: PoolDraft) -> PoolDraft {
    PoolDraft {
        is_default: true,
        ..pool
    }
}

fn going(mut pool: PoolDraft) -> PoolDraft {
    pool.spec.deleting = true;
    pool
}

fn node(name: &str, addresses: &[&str]) -> Fact {
    let labels = BTreeMap::from([("role".to_owned(), "gateway".to_owned())]);
    Fact::Node(Box::new(ClusterNode {
        placement: placement::Node {
            labels,
            ..placement::Node::linux(name.into(), 255)
        },
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        pod_cidrs: Vec::new(),
    }))
}

impl From<EgressDraft> for Fact {
    fn from(egress: EgressDraft) -> Self {
        Self::Egress(Box::new(egress))
    }
}

impl From<PoolDraft> for Fact {
    fn from(pool: PoolDraft) -> Self {
        Self::Pool(Box::new(pool))
    }
}

fn index(facts: impl IntoIterator<Item = Fact>) -> Index {
    let mut index = Index::default();
    facts.into_iter().for_each(|fact| index.apply(fact));
    index
}

/// A cluster of one IPv4 node with pool `prod`, of which `web` has an address, and a smaller pool `edge`.
fn cluster() -> Index {
    let web = EgressDraft {
        created: 1,
        ..at("10.10.0.3", pooled("web", "prod"))
    };
    let prod = pool("prod", &["10.10.0.2-10.10.0.10", "10.10.1.0/28"]);
    index([
        node("node-1", &["10.10.0.101"]),
        excluding(&["10.10.0.5"], behind("10.10.1.3", prod)).into(),
        pool("edge", &["10.20.0.1-10.20.0.2"]).into(),
        web.into(),
    ])
}

/// What is said of an object: refusals, then warnings.
#[derive(Debug, PartialEq)]
struct Said {
    refused: Vec<String>,
    warned: Vec<String>,
}

fn said(review: &Review) -> Said {
    let texts = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect();
    let refusal = review.refusal.as_ref();
    Said {
        refused: refusal.map_or_else(Vec::new, |problems| texts(problems.as_slice())),
        warned: texts(&review.warnings),
    }
}

#[track_caller]
fn check(review: &Review, refused: &[&str], warned: &[&str]) {
    let expected = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let expected = Said {
        refused: expected(refused),
        warned: expected(warned),
    };
    assert_eq!(said(review), expected);
}
