//! All of the project's Rust code, measured module by module, and the numbers that stand for many.
//!
//! Owns what belongs to which crate and which whole files are tests. Never judges a number: limits are in
//! [`crate::tidy::size`].

use std::collections::BTreeSet;

use thiserror::Error;

use crate::code::{self, Function};
use crate::tree::File;

/// A file that is not Rust.
#[derive(Debug, Error)]
#[error("cannot read {path}:{}: let rustc say more", source.span().start().line)]
pub struct Error {
    path: String,
    source: syn::Error,
}

/// A file of Rust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its path from the root.
    pub path: String,
    /// Lines outside of tests; none if all of it is tests.
    pub lines: usize,
    /// Lines of tests.
    pub test_lines: usize,
    /// All functions, those of tests too.
    pub functions: Vec<Function>,
}

impl Module {
    /// The folder of its crate.
    pub fn member(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The functions of tests, or the others.
    pub fn functions(&self, are_tests: bool) -> impl Iterator<Item = &Function> {
        self.functions
            .iter()
            .filter(move |one| one.is_test == are_tests)
    }
}

/// Measures all files of Rust.
pub fn modules(files: &[File]) -> Result<Vec<Module>, Error> {
    let rust = files.iter().filter(|file| file.is_rust());
    let read = rust.map(|file| {
        let code = code::read(&file.text).map_err(|source| Error {
            path: file.path.clone(),
            source,
        })?;
        Ok((file, code))
    });
    let read: Vec<_> = read.collect::<Result<_, Error>>()?;
    let for_tests: BTreeSet<String> = read
        .iter()
        .flat_map(|(file, code)| code.test_modules.iter().map(|name| child(&file.path, name)))
        .collect();
    let modules = read.into_iter().map(|(file, code)| {
        let is_test = file.is_test() || is_within(&file.path, &for_tests);
        module(&file.path, code, is_test)
    });
    Ok(modules.collect())
}

fn module(path: &str, code: code::Code, is_test: bool) -> Module {
    let mut module = Module {
        path: path.to_owned(),
        lines: code.lines,
        test_lines: code.test_lines,
        functions: code.functions,
    };
    if is_test {
        module.test_lines += std::mem::take(&mut module.lines);
        for function in &mut module.functions {
            function.is_test = true;
        }
    }
    module
}

/// The path of a module that another names, without `.rs`.
fn child(parent: &str, name: &str) -> String {
    let stem = parent.strip_suffix(".rs").unwrap_or(parent);
    let (folder, last) = stem.rsplit_once('/').unwrap_or(("", stem));
    match last {
        "lib" | "main" | "mod" => format!("{folder}/{name}"),
        _ => format!("{stem}/{name}"),
    }
}

fn is_within(path: &str, modules: &BTreeSet<String>) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let is_below = |module: &String| {
        let rest = stem.strip_prefix(module.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    modules.iter().any(is_below)
}

/// The value that this share (in percent) of the values does not exceed; 0 if there is none.
pub fn percentile(values: impl IntoIterator<Item = usize>, percent: usize) -> usize {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn a_file_is_tests_by_its_place_or_by_who_declares_it() {
        let files = [
            file("agent/src/lib.rs", "#[cfg(test)]\nmod stored;\n"),
            file("agent/src/stored.rs", "fn a() {}\n"),
            file("agent/src/stored/deep.rs", "fn b() {}\n"),
            file("agent/src/stored_too.rs", "fn c() {}\n"),
            file("agent/src/kernel.rs", "#[cfg(test)]\nmod fake;\n"),
            file("agent/src/kernel/fake.rs", "fn d() {}\n"),
            file("agent/src/kernel/tests.rs", "fn e() {}\n"),
        ];
        let modules = modules(&files).unwrap();
        let code = modules.iter().flat_map(|module| module.functions(false));
        let names: Vec<_> = code.map(|function| function.name.as_str()).collect();
        assert_eq!(names, ["c"]);
    }

    #[test]
    fn a_file_that_is_no_rust_is_named_with_its_line() {
        let error = modules(&[file("a.rs", "\nfn {")]).unwrap_err();
        assert_eq!(error.to_string(), "cannot read a.rs:2: let rustc say more");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert_eq!(percentile(1..=11, 50), 6);
        assert_eq!(percentile(1..=11, 90), 10);
        assert_eq!(percentile([], 50), 0);
    }
}
