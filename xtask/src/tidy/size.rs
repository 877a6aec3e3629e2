//! Rules about size: how long modules and functions may be.
//!
//! Owns the limits. Never measures (see [`crate::measure`]), and leaves the length of tests alone: they are read one at a
//! time.

use super::Offence;
use crate::measure::{Module, percentile};

/// A longer module is more than one subject. Its tests do not count.
pub const MOST_LINES: usize = 500;

/// A longer function does more than one thing.
pub const LONGEST_FUNCTION: usize = 60;

/// How long half of all functions are at most.
pub const MEDIAN_FUNCTION: usize = 8;

/// How long nine tenths of all functions are at most.
pub const P90_FUNCTION: usize = 25;

/// More values than these want a type, with a name. Counted by `cargo xtask stats` only: clippy refuses from eight on.
pub const MANY_PARAMETERS: usize = 5;

/// All limits that these modules exceed.
pub fn offences(modules: &[Module]) -> Vec<Offence> {
    let single = modules.iter().flat_map(|module| {
        let functions = functions(module);
        length(module).into_iter().chain(functions)
    });
    single.chain(typical(modules)).collect()
}

fn length(module: &Module) -> Option<Offence> {
    let lines = module.lines;
    let what = || {
        format!("has {lines} lines without its tests, more than {MOST_LINES}: divide it by subject")
    };
    (lines > MOST_LINES).then(|| Offence::new(&module.path, what()))
}

fn functions(module: &Module) -> impl Iterator<Item = Offence> {
    let long = module
        .functions(false)
        .filter(|function| function.length > LONGEST_FUNCTION);
    long.map(|function| {
        let place = format!("{}:{}", module.path, function.line);
        let (name, length) = (&function.name, function.length);
        let what = format!(
            "{name} has {length} lines, more than {LONGEST_FUNCTION}: give its steps names, as functions"
        );
        Offence::new(place, what)
    })
}

fn typical(modules: &[Module]) -> Vec<Offence> {
    let lengths = || {
        let functions = modules.iter().flat_map(|module| module.functions(false));
        functions.map(|function| function.length)
    };
    let limits = [
        ("half", 50, MEDIAN_FUNCTION),
        ("nine tenths", 90, P90_FUNCTION),
    ];
    limits
        .into_iter()
        .filter_map(|(share, percent, most)| {
            let length = percentile(lengths(), percent);
            let what = format!(
                "{share} of the functions have up to {length} lines, not {most}: divide long ones (`cargo xtask stats` \
                 names them)"
            );
            (length > most).then(|| Offence::new("the workspace", what))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure;
    use crate::tree::file;

    fn broken(path: &str, text: String) -> Vec<String> {
        let modules = measure::modules(&[file(path, text)]).unwrap();
        offences(&modules).iter().map(ToString::to_string).collect()
    }

    /// So many functions of so many lines.
    fn functions(count: usize, length: usize) -> String {
        let body = "    x;\n".repeat(length - 2);
        format!("fn f() {{\n{body}}}\n").repeat(count)
    }

    #[test]
    fn a_module_that_is_too_long_without_its_tests_is_named() {
        let code = "\n".repeat(MOST_LINES);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(broken("a.rs", format!("{code}{tests}")), [""; 0]);
        assert_eq!(broken("a/tests/b.rs", format!("{code}\n")), [""; 0]);
        let one = broken("a.rs", format!("{code}\n{tests}"));
        assert_eq!(
            one,
            ["a.rs: has 501 lines without its tests, more than 500: divide it by subject"]
        );
    }

    #[test]
    fn a_function_that_is_too_long_is_named() {
        let code = format!("{}{}", functions(20, 3), functions(1, LONGEST_FUNCTION + 1));
        assert_eq!(
            broken("a.rs", code.clone()),
            ["a.rs:61: f has 61 lines, more than 60: give its steps names, as functions"]
        );
        assert_eq!(broken("a/tests.rs", code), [""; 0]);
    }

    #[test]
    fn code_of_which_most_is_in_long_functions_is_refused() {
        let half = broken("a.rs", functions(6, 9) + &functions(5, 3));
        assert!(
            matches!(half.as_slice(), [one] if one.contains("half of the functions have up to 9 lines, not 8")),
            "{half:?}"
        );
        let tenth = broken("a.rs", functions(2, 26) + &functions(9, 3));
        assert!(
            matches!(tenth.as_slice(), [one] if one.contains("nine tenths of the functions have up to 26")),
            "{tenth:?}"
        );
    }
}
