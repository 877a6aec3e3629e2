//! What the crates depend on, as cargo has resolved it.
//!
//! Owns the reading of `cargo metadata`. Versions of one name count as one package, which can only add dependencies.
//! Never judges them (see [`super::layers`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use thiserror::Error;

/// Why the dependencies are not known.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no cargo.
    #[error("cannot run cargo")]
    NoCargo(#[source] io::Error),
    /// Cargo refused.
    #[error("cargo metadata refused: {0}")]
    Refused(String),
    /// Cargo's answer is not what it used to be.
    #[error("cannot read what cargo metadata answers")]
    Unreadable(#[from] serde_json::Error),
}

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Linked into whoever uses it.
    Normal,
    /// For its tests.
    Dev,
    /// For its build script.
    Build,
}

/// One package uses another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Who uses.
    pub from: String,
    /// Who is used.
    pub to: String,
    /// What for.
    pub kind: Kind,
}

/// Which package uses which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The packages of the workspace.
    pub members: BTreeSet<String>,
    /// All dependencies of all packages.
    pub edges: BTreeSet<Edge>,
}

impl Graph {
    /// The packages that this one uses, for whatever purpose.
    pub fn used_by(&self, package: &str) -> impl Iterator<Item = &str> {
        let edges = self.edges.iter().filter(move |edge| edge.from == package);
        edges.map(|edge| edge.to.as_str())
    }

    /// Whether one package uses another, for whatever purpose.
    pub fn uses(&self, package: &str, other: &str) -> bool {
        self.edges
            .iter()
            .any(|edge| edge.from == package && edge.to == other)
    }

    /// All packages that are linked into this one, through others too.
    pub fn linked_into(&self, package: &str) -> BTreeSet<&str> {
        let mut linked = BTreeSet::new();
        let mut open = vec![package];
        while let Some(package) = open.pop() {
            let edges = self.edges.iter().filter(|edge| edge.from == package);
            for edge in edges.filter(|edge| edge.kind == Kind::Normal) {
                if linked.insert(edge.to.as_str()) {
                    open.push(&edge.to);
                }
            }
        }
        linked
    }
}

/// What the workspace's packages use on this machine's platform, without asking the network.
pub fn read(root: &Path) -> Result<Graph, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(root)
        .output()
        .map_err(Error::NoCargo)?;
    if !output.status.success() {
        return Err(Error::Refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(serde_json::from_slice::<Metadata>(&output.stdout)?.graph())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `None` is the ordinary kind.
    kind: Option<String>,
}

impl Metadata {
    fn graph(&self) -> Graph {
        let packages = self.packages.iter();
        let names: BTreeMap<_, _> = packages
            .map(|package| (package.id.as_str(), package.name.as_str()))
            .collect();
        let name = |id: &str| names.get(id).copied().unwrap_or_default().to_owned();
        let mut edges = BTreeSet::new();
        for node in &self.resolve.nodes {
            for dependency in &node.deps {
                for kind in &dependency.dep_kinds {
                    let (from, to) = (name(&node.id), name(&dependency.pkg));
                    edges.insert(Edge {
                        from,
                        to,
                        kind: kind.kind(),
                    });
                }
            }
        }
        Graph {
            members: self.workspace_members.iter().map(|id| name(id)).collect(),
            edges,
        }
    }
}

impl DependencyKind {
    fn kind(&self) -> Kind {
        match self.kind.as_deref() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_read_as_it_is() {
        let graph = read(&crate::root()).unwrap();
        assert!(graph.members.contains("egret-domain"));
        assert!(graph.uses("egret-crds", "egret-domain"));
        assert!(!graph.uses("egret-domain", "egret-crds"));
        assert!(graph.linked_into("egret-crds").contains("thiserror"));
        assert!(graph.uses("egret-domain", "proptest"));
        assert!(!graph.linked_into("egret-domain").contains("proptest"));
    }

    #[test]
    fn cargos_refusal_is_passed_on() {
        let nowhere = tempfile::tempdir().unwrap();
        let error = read(nowhere.path()).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml"), "{error}");
    }
}
