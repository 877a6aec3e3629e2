//! Which endpoints of the underlay cannot hear each other, and the rules that make it so.
//!
//! A pure value: pairs of (speaker, listener) whose frames are dropped, and nodes whose cable to the
//! outside is out. Rendering gives the whole nft table each time, so a commit never depends on what
//! was there before. Never runs nft itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::family::Family;
use crate::topology::{Endpoint, NodeId, api_address};

#[cfg(test)]
mod tests;

/// The state of the underlay's cables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    silenced: BTreeSet<(Endpoint, Endpoint)>,
    uplinks_down: BTreeSet<NodeId>,
}

/// Two groups of endpoints between which traffic is cut or healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// Who speaks.
    pub from: BTreeSet<Endpoint>,
    /// Who no longer hears them.
    pub to: BTreeSet<Endpoint>,
}

impl Sides {
    /// `from` against `to`, or against everybody else in a lab of `nodes` nodes when `to` is empty.
    pub fn new(from: BTreeSet<Endpoint>, to: BTreeSet<Endpoint>, nodes: u8) -> Self {
        if to.is_empty() {
            let others = Endpoint::all(nodes)
                .filter(|one| !from.contains(one))
                .collect();
            return Self { from, to: others };
        }
        Self { from, to }
    }

    fn pairs(&self) -> impl Iterator<Item = (Endpoint, Endpoint)> {
        self.from
            .iter()
            .flat_map(|from| self.to.iter().map(|to| (*from, *to)))
    }
}

impl Partition {
    /// The same underlay with `sides` cut from each other, or with `from` unheard by `to` only.
    #[must_use]
    pub fn cut(mut self, sides: &Sides, one_way: bool) -> Self {
        for (from, to) in sides.pairs().filter(|(from, to)| from != to) {
            self.silenced.insert((from, to));
            if !one_way {
                self.silenced.insert((to, from));
            }
        }
        self
    }

    /// The same underlay with all between `sides` connected again, or only what `from` says.
    #[must_use]
    pub fn heal(mut self, sides: &Sides, one_way: bool) -> Self {
        for (from, to) in sides.pairs() {
            self.silenced.remove(&(from, to));
            if !one_way {
                self.silenced.remove(&(to, from));
            }
        }
        self
    }

    /// The same underlay with every cut healed; cables to the outside stay as they are.
    #[must_use]
    pub fn heal_all(mut self) -> Self {
        self.silenced.clear();
        self
    }

    /// The same underlay with the cable of `node` to the outside plugged in or pulled out.
    #[must_use]
    pub fn uplink(mut self, node: NodeId, up: bool) -> Self {
        if up {
            self.uplinks_down.remove(&node);
        } else {
            self.uplinks_down.insert(node);
        }
        self
    }

    /// The nodes that cannot speak with the API server, or hear it.
    pub fn apart(&self) -> BTreeSet<NodeId> {
        let apart = self.silenced.iter().filter_map(|pair| match pair {
            (Endpoint::Node(node), Endpoint::Api) | (Endpoint::Api, Endpoint::Node(node)) => {
                Some(*node)
            }
            _ => None,
        });
        apart.collect()
    }

    /// One nft transaction that makes table `lab` exactly this.
    pub fn render(&self) -> String {
        let (mut forward, mut input, mut output) = (String::new(), String::new(), String::new());
        for (from, to) in &self.silenced {
            match (from.port(), to.port()) {
                (Some(from), Some(to)) => rule(&mut forward, Some(&from), Some(&to), "drop"),
                (Some(from), None) => rule(&mut input, Some(&from), None, "drop"),
                (None, Some(to)) => rule(&mut output, None, Some(&to), "drop"),
                (None, None) => {}
            }
        }
        for node in &self.uplinks_down {
            let port = node.to_string();
            rule(&mut forward, Some(&port), Some("ext"), "drop");
            rule(&mut forward, Some("ext"), Some(&port), "drop");
            // The router is the API server's host too: only the API, over TCP, stays.
            for verdict in only_the_api("daddr") {
                rule(&mut input, Some(&port), None, &verdict);
            }
            for verdict in only_the_api("saddr") {
                rule(&mut output, None, Some(&port), &verdict);
            }
        }
        let chains = [("forward", forward), ("input", input), ("output", output)];
        let body = chains.iter().fold(String::new(), |mut text, (hook, rules)| {
            let _ = writeln!(text, " chain {hook} {{\n  type filter hook {hook} priority 0; policy accept;\n{rules} }}");
            text
        });
        format!("add table bridge lab\ndelete table bridge lab\ntable bridge lab {{\n{body}}}\n")
    }
}

/// What still passes, where the API server's address is at this end of a packet.
fn only_the_api(end: &str) -> [String; 5] {
    let (v4, v6) = (api_address(Family::V4), api_address(Family::V6));
    [
        "ether type arp accept".to_owned(),
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept".to_owned(),
        format!("ip {end} {v4} ip protocol tcp accept"),
        format!("ip6 {end} {v6} ip6 nexthdr tcp accept"),
        "drop".to_owned(),
    ]
}

fn rule(chain: &mut String, from: Option<&str>, to: Option<&str>, verdict: &str) {
    let from = from
        .map(|port| format!("iifname {port:?} "))
        .unwrap_or_default();
    let to = to
        .map(|port| format!("oifname {port:?} "))
        .unwrap_or_default();
    let _ = writeln!(chain, "  {from}{to}{verdict}");
}
