//! The size of the code as text: a table of all crates, and the places where it is worst.
//!
//! Owns what is shown and how. Never measures (see [`crate::measure`]), and takes the limits from [`crate::tidy::size`].

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::code::Function;
use crate::measure::{Module, percentile};
use crate::paint::Paint;
use crate::tidy::size::{
    LONGEST_FUNCTION, MANY_PARAMETERS, MEDIAN_FUNCTION, MOST_LINES, P90_FUNCTION,
};
use crate::tree::File;

/// So many of the worst are named.
const WORST: usize = 10;

/// How many packages the lock file has, the workspace's own too.
pub fn packages(files: &[File]) -> usize {
    let lock = files.iter().find(|file| file.path == "Cargo.lock");
    let lines = lock.into_iter().flat_map(|file| file.text.lines());
    lines.filter(|line| *line == "[[package]]").count()
}

/// All numbers, and the worst places by name.
pub fn report(modules: &[Module], packages: usize, paint: Paint) -> String {
    let crates = crates(modules);
    let parts = [
        table("Code, without tests", &code(), &crates, paint),
        table("Parameters of a function", &parameters(), &crates, paint),
        table("Tests", &tests(), &crates, paint),
        format!("{} {packages}\n", paint.bold("Packages in Cargo.lock:")),
        longest_functions(modules, paint),
        longest_modules(modules, paint),
        most_parameters(modules, paint),
    ];
    parts.join("\n")
}

/// The modules of each crate by its name, and last of all together.
fn crates(modules: &[Module]) -> Vec<(&str, Vec<&Module>)> {
    let mut crates = BTreeMap::<&str, Vec<&Module>>::new();
    for module in modules {
        crates.entry(module.member()).or_default().push(module);
    }
    crates
        .into_iter()
        .chain([("all", modules.iter().collect())])
        .collect()
}

/// One number of each crate.
struct Column {
    heading: String,
    /// More than this is painted.
    most: usize,
    value: fn(&[&Module]) -> usize,
}

impl Column {
    fn new(heading: impl Into<String>, value: fn(&[&Module]) -> usize) -> Self {
        Self {
            heading: heading.into(),
            most: usize::MAX,
            value,
        }
    }

    fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    fn cell(&self, modules: &[&Module], paint: Paint) -> String {
        let value = (self.value)(modules);
        let text = format!("{value:>width$}", width = self.width());
        if value > self.most {
            paint.red(&text)
        } else {
            text
        }
    }

    fn width(&self) -> usize {
        self.heading.len().max(6) + 2
    }
}

fn code() -> Vec<Column> {
    vec![
        Column::new("lines", |crates| crates.iter().map(|one| one.lines).sum()),
        Column::new("modules", |crates| {
            crates.iter().filter(|one| one.lines > 0).count()
        }),
        Column::new(format!("over {MOST_LINES}"), |crates| {
            let long = crates.iter().filter(|one| one.lines > MOST_LINES);
            long.count()
        })
        .at_most(0),
        Column::new("functions", |crates| lengths(crates, false).count()),
        Column::new("median", |crates| percentile(lengths(crates, false), 50))
            .at_most(MEDIAN_FUNCTION),
        Column::new("p90", |crates| percentile(lengths(crates, false), 90)).at_most(P90_FUNCTION),
        Column::new("max", |crates| percentile(lengths(crates, false), 100))
            .at_most(LONGEST_FUNCTION),
        Column::new(format!("over {LONGEST_FUNCTION}"), |crates| {
            let long = lengths(crates, false).filter(|length| *length > LONGEST_FUNCTION);
            long.count()
        })
        .at_most(0),
    ]
}

fn parameters() -> Vec<Column> {
    vec![
        Column::new("median", |crates| percentile(counts(crates), 50)),
        Column::new("p90", |crates| percentile(counts(crates), 90)).at_most(MANY_PARAMETERS),
        Column::new("max", |crates| percentile(counts(crates), 100)).at_most(MANY_PARAMETERS),
        Column::new(format!("over {MANY_PARAMETERS}"), |crates| {
            let many = counts(crates).filter(|count| *count > MANY_PARAMETERS);
            many.count()
        })
        .at_most(0),
    ]
}

fn tests() -> Vec<Column> {
    vec![
        Column::new("lines", |crates| {
            crates.iter().map(|one| one.test_lines).sum()
        }),
        Column::new("functions", |crates| lengths(crates, true).count()),
        Column::new("median", |crates| percentile(lengths(crates, true), 50)),
        Column::new("p90", |crates| percentile(lengths(crates, true), 90)),
        Column::new("max", |crates| percentile(lengths(crates, true), 100)),
    ]
}

fn lengths(modules: &[&Module], are_tests: bool) -> impl Iterator<Item = usize> {
    let functions = modules
        .iter()
        .flat_map(move |module| module.functions(are_tests));
    functions.map(|function| function.length)
}

fn counts(modules: &[&Module]) -> impl Iterator<Item = usize> {
    let functions = modules.iter().flat_map(|module| module.functions(false));
    functions.map(|function| function.parameters)
}

fn table(title: &str, columns: &[Column], crates: &[(&str, Vec<&Module>)], paint: Paint) -> String {
    let heads = columns
        .iter()
        .map(|column| format!("{:>width$}", column.heading, width = column.width()));
    let mut text = format!("{}\n{:<8}", paint.bold(title), "crate") + &heads.collect::<String>();
    for (name, modules) in crates {
        let cells = columns.iter().map(|column| column.cell(modules, paint));
        text += &(format!("\n{name:<8}") + &cells.collect::<String>());
    }
    text + "\n"
}

fn longest_functions(modules: &[Module], paint: Paint) -> String {
    let functions =
        functions(modules).map(|(path, function)| (function.length, place(path, function)));
    worst(
        "Longest functions, in lines",
        functions,
        LONGEST_FUNCTION,
        paint,
    )
}

fn longest_modules(modules: &[Module], paint: Paint) -> String {
    let modules = modules
        .iter()
        .map(|module| (module.lines, module.path.clone()));
    worst(
        "Longest modules, in lines without tests",
        modules,
        MOST_LINES,
        paint,
    )
}

fn most_parameters(modules: &[Module], paint: Paint) -> String {
    let functions =
        functions(modules).map(|(path, function)| (function.parameters, place(path, function)));
    worst("Most parameters", functions, MANY_PARAMETERS, paint)
}

fn functions(modules: &[Module]) -> impl Iterator<Item = (&str, &Function)> {
    modules.iter().flat_map(|module| {
        let functions = module.functions(false);
        functions.map(|function| (module.path.as_str(), function))
    })
}

fn place(path: &str, function: &Function) -> String {
    format!("{}  {path}:{}", function.name, function.line)
}

/// The highest of these numbers, with their places.
fn worst(
    title: &str,
    found: impl Iterator<Item = (usize, String)>,
    most: usize,
    paint: Paint,
) -> String {
    let mut found: Vec<_> = found.collect();
    // Of the same number, the first by name.
    found.sort_by(|(a, place), (b, other)| (Reverse(a), place).cmp(&(Reverse(b), other)));
    let lines = found.into_iter().take(WORST).map(|(value, place)| {
        let number = format!("{value:>8}");
        let number = if value > most {
            paint.red(&number)
        } else {
            number
        };
        format!("{number}  {place}\n")
    });
    paint.bold(title) + "\n" + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure;
    use crate::tree::file;

    fn function(name: &str, length: usize) -> String {
        format!("fn {name}(x: X) {{\n{}}}\n", "    x;\n".repeat(length - 2))
    }

    fn shown(files: &[File], paint: Paint) -> String {
        report(&measure::modules(files).unwrap(), packages(files), paint)
    }

    fn words(report: &str, begin: &str) -> Vec<Vec<String>> {
        let lines = report.lines().filter(|line| line.starts_with(begin));
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn each_crate_and_the_whole_have_a_row_in_each_table() {
        let text: String = (2..=11).map(|length| function("f", length)).collect();
        let files = [
            file("domain/src/pool.rs", text),
            file("domain/src/pool/tests.rs", function("t", 20)),
        ];
        let report = shown(&files, Paint::Plain);
        let expected = [
            vec!["65", "1", "0", "10", "6", "10", "11", "0"],
            vec!["1", "1", "1", "0"],
            vec!["20", "1", "20", "20", "20"],
        ];
        for name in ["domain", "all"] {
            let rows: Vec<_> = expected
                .iter()
                .map(|row| [&[name], &row[..]].concat())
                .collect();
            assert_eq!(words(&report, name), rows, "{report}");
        }
    }

    #[test]
    fn the_worst_come_first_and_no_more_than_ten() {
        let text: String = (2..=16)
            .map(|length| function(&format!("f{length}"), length))
            .collect();
        let report = shown(&[file("lab/src/a.rs", text)], Paint::Plain);
        let (_, rest) = report.split_once("Longest functions, in lines\n").unwrap();
        let rows: Vec<_> = rest.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(rows.len(), WORST);
        assert_eq!(rows[0], "      16  f16  lab/src/a.rs:120");
    }

    #[test]
    fn packages_are_those_of_the_lock_file() {
        let lock = file(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"a\"\n\n[[package]]\n".to_owned(),
        );
        assert!(shown(&[lock], Paint::Plain).contains("Packages in Cargo.lock: 2\n"));
    }

    #[test]
    fn only_what_is_beyond_a_limit_is_red_and_only_for_a_terminal() {
        let files = [file("lab/src/a.rs", function("f", LONGEST_FUNCTION + 1))];
        let coloured = shown(&files, Paint::Coloured);
        assert!(
            coloured.contains("\u{1b}[31m      61\u{1b}[0m  f  lab/src/a.rs:1\n"),
            "{coloured}"
        );
        assert!(
            coloured.contains("\n      61  lab/src/a.rs\n"),
            "{coloured}"
        );
        assert!(!shown(&files, Paint::Plain).contains('\u{1b}'));
    }
}
