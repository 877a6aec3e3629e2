//! One word for each thing: what ARCHITECTURE.md calls it, and what nobody else may call it.
//!
//! Owns the reading of the table "Words" there, whose last column has the words that are refused everywhere else. Never
//! knows a word itself.

use super::Offence;
use crate::tree::File;

/// Where the table is.
const PAGE: &str = "ARCHITECTURE.md";
/// Its first line; three columns.
const HEAD: &str = "| word | meaning | never |";
/// The words of others, as they are.
const FOREIGN: [&str; 2] = ["Cargo.lock", "crds/src/settings/known.rs"];

/// A word that is refused, and the one to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<'a> {
    /// In lower case.
    never: String,
    word: &'a str,
}

/// The words that a page's table refuses.
pub fn refused(page: &str) -> Vec<Refused<'_>> {
    let table = page.split(HEAD).nth(1).unwrap_or_default();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.flat_map(row).collect()
}

fn row(line: &str) -> Vec<Refused<'_>> {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    let (Some(word), _, Some(never)) = (cells.next(), cells.next(), cells.next()) else {
        return Vec::new();
    };
    let never = never
        .split(',')
        .map(str::trim)
        .filter(|never| !never.is_empty());
    never
        .map(|never| Refused {
            never: never.to_lowercase(),
            word,
        })
        .collect()
}

/// All lines with a word that is refused.
pub fn offences(files: &[File]) -> Vec<Offence> {
    let page = files.iter().find(|file| file.path == PAGE);
    let refused = page.map(|page| refused(&page.text)).unwrap_or_default();
    let own = files
        .iter()
        .filter(|file| !FOREIGN.contains(&file.path.as_str()));
    own.flat_map(|file| in_file(file, &refused)).collect()
}

fn in_file(file: &File, refused: &[Refused<'_>]) -> Vec<Offence> {
    let is_row = |line: &str| file.path == PAGE && line.starts_with('|');
    let lines = file.text.lines().zip(1..).filter(|(line, _)| !is_row(line));
    lines
        .flat_map(|(line, number)| {
            let line = line.to_lowercase();
            let found = refused.iter().filter(move |it| has(&line, &it.never));
            found.map(move |it| {
                let what = format!(
                    "{:?} is called {} here: see \"Words\" in {PAGE}",
                    it.never, it.word
                );
                Offence::new(format!("{}:{number}", file.path), what)
            })
        })
        .collect()
}

/// Whether a line has these words whole.
fn has(line: &str, words: &str) -> bool {
    let is_end = |sign: Option<char>| !sign.is_some_and(char::is_alphanumeric);
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (line.get(..at), line.get(at + words.len()..));
        let before = before.and_then(|text| text.chars().next_back());
        is_end(before) && is_end(after.and_then(|text| text.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Words\n| word | meaning | never |\n|---|---|---|\n| gateway | a node | Gate Node, exit |\n| lease | a time | |\n\n| a | b | exit |\n";

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
            is_executable: false,
        }
    }

    #[test]
    fn the_last_column_of_the_table_has_what_is_refused() {
        let words: Vec<_> = refused(TABLE)
            .into_iter()
            .map(|it| (it.never, it.word))
            .collect();
        let (gate, exit) = ("gate node".to_owned(), "exit".to_owned());
        assert_eq!(words, [(gate, "gateway"), (exit, "gateway")]);
    }

    #[test]
    fn a_refused_word_is_found_whole_in_any_case_with_its_line() {
        let text = "fine\nthe Gate node\nexits, exited\n(exit)";
        let found = offences(&[file(PAGE, TABLE), file("a.rs", text)]);
        let places: Vec<_> = found.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["a.rs:2", "a.rs:4"]);
    }
}
