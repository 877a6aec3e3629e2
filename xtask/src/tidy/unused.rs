//! Rules about what is declared: a dependency that nothing names is taken out.
//!
//! Owns those rules. A name in a comment counts as use, so what is found is right, but not all is found. Never runs cargo
//! (see [`super::graph`]).

use super::Offence;
use super::graph::{Edge, Graph, Kind};
use crate::tree::File;

/// All dependencies in these manifests that are not used.
pub fn offences(graph: &Graph, files: &[File]) -> Vec<Offence> {
    let of_members = graph
        .edges
        .iter()
        .filter(|edge| graph.members.contains(&edge.from) && !is_named(edge, files))
        .map(|edge| {
            let what = format!(
                "no source names {}: take it out, or make it a dependency of tests if they do",
                library(&edge.to)
            );
            Offence::new(manifest(&edge.from), what)
        });
    of_members.chain(unclaimed(files)).collect()
}

/// Whether a source of the crate that uses it has the library's name; for what is linked, tests do not count.
fn is_named(edge: &Edge, files: &[File]) -> bool {
    let folder = format!("{}/", folder(&edge.from));
    let library = library(&edge.to);
    let sources = files
        .iter()
        .filter(|file| file.is_rust() && file.path.starts_with(&folder));
    sources
        .filter(|file| edge.kind != Kind::Normal || !file.is_test())
        .any(|file| has_word(&file.text, &library))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '_')
        .any(|one| one == word)
}

/// Versions in the root's manifest that no member asks for.
fn unclaimed(files: &[File]) -> Vec<Offence> {
    let manifest = |path: &str| files.iter().find(|file| file.path == path);
    let Some(root) = manifest("Cargo.toml") else {
        return Vec::new();
    };
    let (_, versions) = root
        .text
        .split_once("[workspace.dependencies]")
        .unwrap_or_default();
    let versions = versions
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('#'));
    versions
        .filter(|name| !is_claimed(name, files))
        .map(|name| Offence::new("Cargo.toml", format!("no crate uses {name}: take it out")))
        .collect()
}

fn is_claimed(name: &str, files: &[File]) -> bool {
    let whole = format!("{name}.workspace = true");
    let with_features = format!("{name} = {{ workspace = true");
    let members = files.iter().filter(|file| file.name() == "Cargo.toml");
    members
        .flat_map(|file| file.text.lines())
        .any(|line| line.starts_with(&whole) || line.starts_with(&with_features))
}

fn folder(member: &str) -> &str {
    member.strip_prefix("egret-").unwrap_or(member)
}

fn manifest(member: &str) -> String {
    format!("{}/Cargo.toml", folder(member))
}

fn library(package: &str) -> String {
    package.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    fn broken(kind: Kind, files: &[File]) -> Vec<String> {
        let graph = Graph {
            members: ["egret-agent".to_owned()].into(),
            edges: [Edge {
                from: "egret-agent".to_owned(),
                to: "x-lib".to_owned(),
                kind,
            }]
            .into(),
        };
        let offences = offences(&graph, files);
        offences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let files = [
            file("agent/src/lib.rs", "use x_library;\n"),
            file("lab/src/lib.rs", "use x_lib;\n"),
        ];
        let broken = broken(Kind::Normal, &files);
        assert!(
            matches!(broken.as_slice(), [one] if one.starts_with("agent/Cargo.toml: no source names x_lib")),
            "{broken:?}"
        );
    }

    #[test]
    fn what_only_tests_use_is_a_dependency_of_tests() {
        let files = [file("agent/src/feed/tests.rs", "use x_lib::y;\n")];
        assert_eq!(broken(Kind::Dev, &files), [""; 0]);
        assert_eq!(broken(Kind::Normal, &files).len(), 1);
    }

    #[test]
    fn a_version_that_no_crate_asks_for_is_found() {
        let files = [
            file(
                "Cargo.toml",
                "[workspace.dependencies]\n# x = y\na = \"1\"\nb = \"1\"\na-b = \"1\"\n\n[profile.dev]\nd = 1\n",
            ),
            file(
                "lab/Cargo.toml",
                "a.workspace = true\nb = { workspace = true, features = [] }\n",
            ),
        ];
        let offences = offences(&Graph::default(), &files);
        let broken: Vec<_> = offences.iter().map(ToString::to_string).collect();
        assert_eq!(broken, ["Cargo.toml: no crate uses a-b: take it out"]);
    }
}
