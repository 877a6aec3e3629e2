//! The repository keeps its own rules.

use std::fs;

use egret_xtask::tidy::{graph, layers, size, source, unused, words};
use egret_xtask::{measure, root, tree};

#[test]
fn dependencies_point_one_way() {
    assert_eq!(layers::offences(&graph::read(&root()).unwrap()), []);
}

#[test]
fn files_are_named_and_opened_as_agreed() {
    assert_eq!(source::offences(&tree::read(&root()).unwrap()), []);
}

#[test]
fn modules_and_functions_are_as_short_as_agreed() {
    let modules = measure::modules(&tree::read(&root()).unwrap()).unwrap();
    assert_eq!(size::offences(&modules), []);
}

#[test]
fn whatever_a_manifest_declares_is_used() {
    let (graph, files) = (graph::read(&root()).unwrap(), tree::read(&root()).unwrap());
    assert_eq!(unused::offences(&graph, &files), []);
}

#[test]
fn every_thing_has_one_word() {
    let files = tree::read(&root()).unwrap();
    let page = files.iter().find(|file| file.path == "ARCHITECTURE.md");
    assert!(words::refused(&page.unwrap().text).len() > 10);
    assert_eq!(words::offences(&files), []);
}

#[test]
fn there_is_a_tree_to_check() {
    let files = tree::read(&root()).unwrap();
    for path in [
        "domain/src/lib.rs",
        "hack/test",
        ".ci/run",
        "ARCHITECTURE.md",
    ] {
        assert!(
            files.iter().any(|file| file.path == path),
            "{path} was not read"
        );
    }
}

/// A member's clippy.toml replaces the root's instead of adding to it.
#[test]
fn the_domains_settings_for_clippy_repeat_the_roots() {
    let read = |path| fs::read_to_string(root().join(path)).unwrap();
    let (of_root, of_domain) = (read("clippy.toml"), read("domain/clippy.toml"));
    let of_domain: Vec<_> = of_domain.lines().collect();
    for line in of_root.lines() {
        assert!(
            of_domain.contains(&line),
            "domain/clippy.toml lacks {line:?}"
        );
    }
}
