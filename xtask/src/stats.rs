//! The size of the code: lines, functions, and what is too long.
//!
//! Owns the numbers. Never judges them: limits are in [`crate::tidy`] and in clippy's settings.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::code::{self, Function};
use crate::tidy::source::MOST_LINES;
use crate::tree::File;

/// The size of some code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Size<'a> {
    files: usize,
    lines: usize,
    /// Length, name, file and line of each function.
    functions: Vec<(usize, &'a str, &'a str, usize)>,
}

impl<'a> Size<'a> {
    fn add(&mut self, file: &'a File) {
        let lines = code::without_tests(&file.text);
        self.files += 1;
        self.lines += lines.len();
        for Function { name, line, length } in code::functions(&lines) {
            self.functions.push((length, name, &file.path, line));
        }
        self.functions.sort_unstable();
    }

    /// The length that this share (in percent) of the functions does not exceed.
    fn percentile(&self, percent: usize) -> usize {
        let last = self.functions.len().saturating_sub(1);
        self.functions
            .get(last * percent / 100)
            .map_or(0, |(length, ..)| *length)
    }

    fn row(&self, name: &str) -> String {
        let longest = self
            .functions
            .last()
            .map(|(length, name, path, line)| format!("{length} {name} ({path}:{line})"));
        format!(
            "{name:<10} {:>5} {:>6} {:>9} {:>6} {:>3}  {}\n",
            self.files,
            self.lines,
            self.functions.len(),
            self.percentile(50),
            self.percentile(90),
            longest.unwrap_or_default(),
        )
    }
}

/// A table of these files' Rust code without its tests, one row per crate, and the files that are too long.
pub fn report(files: &[File]) -> String {
    let code = || {
        files
            .iter()
            .filter(|file| file.is_rust() && !file.is_test())
    };
    let mut crates = BTreeMap::<&str, Size<'_>>::new();
    let mut all = Size::default();
    for file in code() {
        let name = file.path.split('/').next().unwrap_or_default();
        crates.entry(name).or_default().add(file);
        all.add(file);
    }
    let mut text =
        "crate      files  lines functions median p90  longest function, in lines\n".to_owned();
    for (name, size) in &crates {
        text += &size.row(name);
    }
    text += &all.row("all");
    let length = |file: &File| code::without_tests(&file.text).len();
    let long = code()
        .map(|file| (length(file), file))
        .filter(|(lines, _)| *lines > MOST_LINES);
    for (lines, file) in long {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "more than {MOST_LINES} lines: {} ({lines})",
            file.path
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: String) -> File {
        File {
            path: path.to_owned(),
            text,
            is_executable: false,
        }
    }

    fn function(name: &str, length: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    x;\n".repeat(length))
    }

    #[test]
    fn a_row_tells_median_and_longest_function() {
        let text = (1..=10)
            .map(|length| function(&format!("f{length}"), length))
            .collect();
        let report = report(&[file("domain/src/pool.rs", text)]);
        let row = report.lines().nth(1).unwrap();
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words[..7], ["domain", "1", "75", "10", "5", "9", "10"]);
        assert!(row.ends_with("10 f10 (domain/src/pool.rs:64)"), "{row}");
    }

    #[test]
    fn tests_are_not_measured_and_long_files_are_named() {
        let files = [
            file("lab/src/long.rs", "// x\n".repeat(MOST_LINES + 1)),
            file("lab/src/long/tests.rs", "// x\n".repeat(MOST_LINES + 1)),
        ];
        let report = report(&files);
        assert!(
            report.ends_with("more than 500 lines: lab/src/long.rs (501)\n"),
            "{report}"
        );
        assert!(!report.contains("tests.rs"), "{report}");
    }
}
