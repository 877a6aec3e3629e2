//! Rules about files: how they begin, and what they are called.
//!
//! Owns those rules. Never reads a file.

use std::iter;

use super::Offence;
use crate::tree::File;

/// Names that say nothing: a file is called by the noun that it is about.
const NAMELESS: [&str; 7] = [
    "util", "utils", "helper", "helpers", "common", "misc", "shared",
];

/// Marks of unfinished work. In two parts, or this file would break its own rule.
const UNFINISHED: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// All rules that these files break.
pub fn offences(files: &[File]) -> Vec<Offence> {
    let of = |file| {
        let rules = [opening, name, mode];
        rules
            .into_iter()
            .filter_map(move |rule| rule(file))
            .chain(unfinished(file))
    };
    files.iter().flat_map(of).collect()
}

fn opening(file: &File) -> Option<Offence> {
    let what = if file.is_test() {
        "begins without `//!`: say what is tested, and against what"
    } else {
        "begins without `//!`: say what the module owns and what it never does"
    };
    (file.is_rust() && !file.text.starts_with("//!")).then(|| Offence::new(&file.path, what))
}

fn name(file: &File) -> Option<Offence> {
    let stem = |part: &str| part.split('.').next().unwrap_or_default().to_lowercase();
    let nameless = file
        .path
        .split('/')
        .map(stem)
        .find(|stem| NAMELESS.contains(&stem.as_str()))?;
    Some(Offence::new(
        &file.path,
        format!("{nameless:?} says nothing: name it by its subject"),
    ))
}

/// Scripts say with what they run and may be run; all in hack/ and .ci/ are scripts.
fn mode(file: &File) -> Option<Offence> {
    let is_script = file.text.starts_with("#!/");
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if is_script && !file.is_executable {
        return Some(Offence::new(
            &file.path,
            "is a script and not executable: chmod +x",
        ));
    }
    let has_to_be = ["hack", ".ci"].contains(&folder) && !is_script;
    has_to_be.then(|| Offence::new(&file.path, "is no script: only those are in hack/ and .ci/"))
}

fn unfinished(file: &File) -> impl Iterator<Item = Offence> {
    // It has all the words of its dependencies.
    let lines = iter::once(file).filter(|file| file.name() != "Cargo.lock");
    let numbered = lines.flat_map(|file| file.text.lines().zip(1..));
    numbered.filter_map(|(line, number)| {
        let mut words = line.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
        let word = words.find(|word| UNFINISHED.contains(word))?;
        Some(Offence::new(
            format!("{}:{number}", file.path),
            format!("{word}: finish it, or open an issue"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    fn broken(file: File) -> Vec<String> {
        offences(&[file]).iter().map(ToString::to_string).collect()
    }

    fn assert_one(file: File, begin: &str) {
        let broken = broken(file);
        assert!(
            matches!(broken.as_slice(), [one] if one.starts_with(begin)),
            "{broken:?}"
        );
    }

    #[test]
    fn a_module_without_opening_words_is_named() {
        assert_one(
            file("domain/src/pool.rs", "use x;\n"),
            "domain/src/pool.rs: begins without",
        );
        assert_one(
            file("domain/src/pool/tests.rs", "use x;\n"),
            "domain/src/pool/tests.rs: begins without `//!`: say what is tested",
        );
    }

    #[test]
    fn a_name_that_says_nothing_is_refused_for_files_and_folders() {
        assert_one(
            file("lab/src/utils.rs", "//! x\n"),
            "lab/src/utils.rs: \"utils\"",
        );
        assert_one(
            file("lab/tests/common/a.rs", "//! x\n"),
            "lab/tests/common/a.rs: \"common\"",
        );
        assert_eq!(broken(file("lab/src/commonality.rs", "//! x\n")), [""; 0]);
    }

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        for word in UNFINISHED {
            assert_one(
                file("a.rs", format!("//! x\n// {word}: later\n")),
                "a.rs:2: ",
            );
        }
        assert_eq!(
            broken(file("a.rs", format!("//! {}S\n", UNFINISHED[0]))),
            [""; 0]
        );
    }

    #[test]
    fn a_script_must_be_executable() {
        let script = file("hack/test", "#!/usr/bin/env bash\n");
        assert_one(script.clone(), "hack/test: is a script and not executable");
        assert_eq!(
            broken(File {
                is_executable: true,
                ..script
            }),
            [""; 0]
        );
        assert_one(file("hack/notes", "words\n"), "hack/notes: is no script");
        assert_eq!(broken(file("hack/tools/go.mod", "module x\n")), [""; 0]);
    }
}
