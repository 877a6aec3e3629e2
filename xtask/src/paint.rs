//! Colour, for whoever looks at a terminal.
//!
//! Owns when there is colour and which. What is painted is aligned before: colour takes no place.

use std::io::IsTerminal;

/// Whether there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// For a terminal.
    Coloured,
    /// For a file, a pipe, or somebody who wants none (`NO_COLOR`).
    Plain,
}

impl Paint {
    /// As the output of this process wants it.
    pub fn of_stdout() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if is_wanted && std::io::stdout().is_terminal() {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is beyond its limit.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}
