//! The ways that a Pod's packets may take to the outside.
//!
//! Owns their names, and what each is compared with. Never sends anything.

use std::fmt;

use crate::table::thousands;

/// A way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Through a gateway by bare VXLAN and one masquerade rule there. Nothing else, not even conntrack on the Pod's node.
    Bare,
    /// The same with the masquerade rule that a CNI has on every node, also on the Pod's.
    Tracked,
    /// Masqueraded on the Pod's own node, without Egret.
    Node,
    /// Through a gateway that an iptables rule with an ipset for each of so many policies leads to.
    Peers(usize),
    /// Through its gateway, with so many Egresses and Pods.
    Selected(usize),
    /// A Pod that none of so many Egresses selects.
    Unselected(usize),
}

impl Path {
    /// What it is to be compared with.
    #[must_use]
    pub fn baseline(self) -> Self {
        match self {
            Self::Bare | Self::Tracked | Self::Peers(_) | Self::Selected(_) => Self::Bare,
            Self::Node | Self::Unselected(_) => Self::Node,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => f.write_str("bare VXLAN, one masquerade rule"),
            Self::Tracked => f.write_str("the same, and a CNI's rule on the Pod's node"),
            Self::Node => f.write_str("no gateway, node without Egret"),
            Self::Peers(1) => f.write_str("iptables and ipset, 1 policy"),
            Self::Peers(many) => write!(f, "iptables and ipset, {} policies", thousands(*many)),
            Self::Selected(1) => f.write_str("Egret, 1 Egress"),
            Self::Selected(many) => write!(f, "Egret, {} Egresses", thousands(*many)),
            Self::Unselected(1) => f.write_str("not selected, 1 Egress"),
            Self::Unselected(many) => write!(f, "not selected, {} Egresses", thousands(*many)),
        }
    }
}
