//! Rules about dependencies: which crate may use which.
//!
//! Owns the direction in which they point. Never runs cargo (see [`super::graph`]).

use super::Offence;
use super::graph::Graph;

/// Which crates of the workspace each crate of the workspace may use.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("egret-domain", &[]),
    ("egret-crds", &["egret-domain"]),
    ("egret-runtime", &[]),
    (
        "egret-operator",
        &["egret-crds", "egret-domain", "egret-runtime"],
    ),
    (
        "egret-webhook",
        &["egret-crds", "egret-domain", "egret-runtime"],
    ),
    (
        "egret-agent",
        &["egret-crds", "egret-domain", "egret-runtime"],
    ),
    // They see Egret from outside, as a user does.
    ("egret-lab", &[]),
    ("egret-e2e", &[]),
    ("egret-xtask", &["egret-crds"]),
    // It measures the processes from inside too, and nobody uses it.
    (
        "egret-bench",
        &[
            "egret-agent",
            "egret-crds",
            "egret-domain",
            "egret-runtime",
            "egret-webhook",
        ],
    ),
];

/// The crate of decisions, and all that may be compiled into it. Whatever knows a clock, a file, a socket or
/// Kubernetes does not belong here.
const PURE: &str = "egret-domain";
const PURE_MAY_USE: [&str; 18] = [
    "either",
    "gen_ops",
    "ipnetwork",
    "itertools",
    "num-integer",
    "num-traits",
    "range-set-blaze",
    "strsim",
    "thiserror",
    "xxhash-rust",
    // Of ipnetwork.
    "serde",
    "serde_core",
    // Only run by the compiler.
    "proc-macro2",
    "quote",
    "serde_derive",
    "syn",
    "thiserror-impl",
    "unicode-ident",
];

/// Libraries that only these crates of the workspace may use: whoever else needs what they do asks one of them.
const KEPT_TO: [(&str, &[&str]); 9] = [
    ("rtnetlink", &["egret-agent"]),
    ("netlink-packet-route", &["egret-agent"]),
    ("netlink-packet-core", &["egret-agent"]),
    ("netlink-packet-netfilter", &["egret-agent"]),
    ("netlink-sys", &["egret-agent"]),
    ("etherparse", &["egret-agent"]),
    ("foca", &["egret-agent"]),
    // The webhook's tests need a certificate that no operator has made, and so does who measures it.
    (
        "rcgen",
        &[
            "egret-operator",
            "egret-lab",
            "egret-webhook",
            "egret-bench",
        ],
    ),
    ("plotters", &["egret-bench"]),
];

/// All rules that these dependencies break.
pub fn offences(graph: &Graph) -> Vec<Offence> {
    let members = graph.members.iter();
    let between = members.flat_map(|member| between_members(graph, member));
    between
        .chain(impurities(graph))
        .chain(shared(graph))
        .collect()
}

fn between_members(graph: &Graph, member: &str) -> Vec<Offence> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == member) else {
        let what = "is not in xtask's table of layers: say there which crates it may use";
        return vec![Offence::new(member, what)];
    };
    let used = graph
        .used_by(member)
        .filter(|used| graph.members.contains(*used));
    used.filter(|used| !allowed.contains(used))
        .map(|used| {
            Offence::new(
                member,
                format!("must not use {used} (ARCHITECTURE.md, crates)"),
            )
        })
        .collect()
}

fn impurities(graph: &Graph) -> Vec<Offence> {
    let linked = graph.linked_into(PURE);
    let impure = linked.iter().filter(|used| !PURE_MAY_USE.contains(used));
    impure
        .map(|used| Offence::new(PURE, format!("must not link {used}: decisions are pure")))
        .collect()
}

fn shared(graph: &Graph) -> Vec<Offence> {
    let users = |library| {
        graph
            .members
            .iter()
            .filter(move |member| graph.uses(member, library))
    };
    KEPT_TO
        .iter()
        .flat_map(|(library, keepers)| users(library).map(move |user| (library, keepers, user)))
        .filter(|(_, keepers, user)| !keepers.contains(&user.as_str()))
        .map(|(library, keepers, user)| {
            let keepers = keepers.join(" and ");
            Offence::new(
                user,
                format!("must not use {library}: that is for {keepers}"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Edge, Kind};
    use super::*;

    /// A workspace of the known crates, in which these use these, and what is broken by that.
    fn broken(edges: &[(&str, Kind, &str)]) -> Vec<String> {
        let graph = Graph {
            members: MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect(),
            edges: edges
                .iter()
                .map(|(from, kind, to)| Edge {
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                    kind: *kind,
                })
                .collect(),
        };
        offences(&graph).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_layers_as_they_are_meant_break_no_rule() {
        let edges = MAY_USE
            .iter()
            .flat_map(|(from, allowed)| allowed.iter().map(|to| (*from, Kind::Normal, *to)));
        assert_eq!(broken(&edges.collect::<Vec<_>>()), [""; 0]);
    }

    #[test]
    fn a_dependency_against_the_direction_is_named() {
        let upward = broken(&[("egret-runtime", Kind::Normal, "egret-domain")]);
        assert_eq!(
            upward,
            ["egret-runtime: must not use egret-domain (ARCHITECTURE.md, crates)"]
        );
        let sideways = broken(&[("egret-lab", Kind::Normal, "egret-agent")]);
        assert_eq!(
            sideways,
            ["egret-lab: must not use egret-agent (ARCHITECTURE.md, crates)"]
        );
    }

    #[test]
    fn a_dependency_for_tests_only_must_have_the_direction_too() {
        assert_eq!(broken(&[("egret-lab", Kind::Dev, "egret-crds")]).len(), 1);
    }

    #[test]
    fn what_a_library_of_the_domain_brings_along_is_found() {
        let edges = [
            ("egret-domain", Kind::Normal, "ipnetwork"),
            ("ipnetwork", Kind::Normal, "schemars"),
            ("schemars", Kind::Normal, "jiff"),
        ];
        assert_eq!(
            broken(&edges),
            [
                "egret-domain: must not link jiff: decisions are pure",
                "egret-domain: must not link schemars: decisions are pure",
            ]
        );
    }

    #[test]
    fn the_domains_tests_may_use_what_they_need() {
        assert_eq!(broken(&[("egret-domain", Kind::Dev, "proptest")]), [""; 0]);
    }

    #[test]
    fn a_library_of_one_crate_is_not_used_by_another() {
        let edges = [
            ("egret-agent", Kind::Normal, "rtnetlink"),
            ("egret-lab", Kind::Normal, "rtnetlink"),
        ];
        assert_eq!(
            broken(&edges),
            ["egret-lab: must not use rtnetlink: that is for egret-agent"]
        );
    }

    #[test]
    fn a_crate_that_nobody_has_placed_is_named() {
        let mut graph = Graph::default();
        graph.members.insert("egret-new".to_owned());
        let offences = offences(&graph);
        assert_eq!(offences.len(), 1);
        assert!(
            offences[0].to_string().contains("table of layers"),
            "{offences:?}"
        );
    }
}
