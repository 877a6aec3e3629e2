//! What ARCHITECTURE.md names is there: after the path of a file, the names in it that a reader is sent to.

use std::fs;

use egret_xtask::root;

/// A file, and a name that is to be found in it.
type Pointer<'a> = (&'a str, &'a str);

/// Every `` `FILE.rs`: `NAME`, `NAME` `` of a page.
fn pointers(page: &str) -> Vec<Pointer<'_>> {
    let mut found = Vec::new();
    let mut file = None;
    let mut pieces = page.split('`');
    let mut between = pieces.next().unwrap_or_default();
    while let (Some(code), Some(after)) = (pieces.next(), pieces.next()) {
        file = match (is_file(code), file, between.trim()) {
            (true, _, _) => Some(code),
            (false, Some(file), ":" | ",") => {
                found.push((file, code));
                Some(file)
            }
            _ => None,
        };
        between = after;
    }
    found
}

fn is_file(code: &str) -> bool {
    code.contains('/') && code.rsplit_once('.').is_some_and(|(_, end)| end == "rs")
}

/// Whether the file has an item of this name, or an item and its method (`Type::method`).
fn is_there((file, name): Pointer<'_>) -> bool {
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let kinds = [
        "fn", "struct", "enum", "trait", "type", "const", "static", "impl",
    ];
    let words: Vec<_> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let is_defined = |name| {
        let mut pairs = words.windows(2);
        pairs
            .any(|pair| matches!(pair, [kind, defined] if kinds.contains(kind) && *defined == name))
    };
    name.split("::").all(is_defined)
}

#[test]
fn every_name_that_architecture_sends_a_reader_to_is_in_its_file() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let pointers = pointers(&page);
    assert!(pointers.len() > 60, "only {} were found", pointers.len());
    let lost: Vec<_> = pointers.into_iter().filter(|it| !is_there(*it)).collect();
    assert_eq!(lost, []);
}

#[test]
fn a_name_belongs_to_the_file_before_it_and_a_lost_one_is_noticed() {
    let page = "In `a/b.rs`:\n  `x`, `Y::z`; then `w`, and `c/d.rs`, `v` or `e.yaml`: `u`.";
    let names = [("a/b.rs", "x"), ("a/b.rs", "Y::z"), ("c/d.rs", "v")];
    assert_eq!(pointers(page), names);
    assert!(is_there(("xtask/src/lib.rs", "root")));
    assert!(!is_there(("xtask/src/lib.rs", "stem")));
}
