//! The first change that CONTRIBUTING.md walks through can be made as it stands there.

use std::fs;
use std::io::{self, Write};
use std::process::Command;

use egret_xtask::root;
use tempfile::NamedTempFile;

/// The blocks of one language in a page of Markdown.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let opened = page.split(fence.as_str()).skip(1);
    opened
        .filter_map(|rest| rest.split("```\n").next())
        .collect()
}

/// What `git apply` says against this patch; nothing if it applies.
fn refusal(patch: &str) -> io::Result<String> {
    let mut file = NamedTempFile::new()?;
    file.write_all(patch.as_bytes())?;
    let output = Command::new("git")
        .args(["apply", "--check"])
        .arg(file.path())
        .current_dir(root())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_patch_of_the_worked_example_applies_to_the_tree() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let patches = blocks(&page, "diff");
    assert_eq!(patches.len(), 2, "the test and the rule");
    for patch in patches {
        let refusal = refusal(patch).unwrap();
        assert_eq!(refusal, "", "make it anew with `git diff -U2`:\n{patch}");
    }
}

#[test]
fn the_row_that_it_sends_a_reader_to_is_in_architecture() {
    let read = |name| fs::read_to_string(root().join(name)).unwrap();
    let row = "which node is first candidate";
    assert!(read("CONTRIBUTING.md").contains(&format!("\"{row}\"")));
    assert!(read("ARCHITECTURE.md").contains(&format!("\n| {row} |")));
}

#[test]
fn a_patch_of_what_is_not_there_is_refused() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let stale = blocks(&page, "diff")[0].replace("#[test]", "#[tested]");
    assert_ne!(refusal(&stale).unwrap(), "");
}
