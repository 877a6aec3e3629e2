//! What the audience sees.
//!
//! Owns the form of the output and the count of checks. Colour only on a terminal.

use std::fmt::Display;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Result, anyhow, ensure};
use egret_e2e::lab::Lab;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// The stage.
pub(crate) struct Stage {
    is_coloured: bool,
    acts: usize,
    right: usize,
    wrong: usize,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let is_coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            is_coloured,
            acts: 0,
            right: 0,
            wrong: 0,
        }
    }

    fn in_style(&self, style: &str, text: impl Display) -> String {
        if self.is_coloured {
            format!("\u{1b}[{style}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }

    /// Begins an act.
    pub(crate) fn title(&mut self, text: &str) {
        self.acts += 1;
        println!(
            "\n{}",
            self.in_style(BOLD, format_args!("{}. {text}", self.acts))
        );
    }

    /// Says something aside.
    pub(crate) fn note(&self, text: &str) {
        println!("   {}", self.in_style(DIM, text));
    }

    /// Shows a command that is about to be given.
    pub(crate) fn command(&self, args: &[&str]) {
        println!(
            "   {}",
            self.in_style(CYAN, format_args!("$ hack/lab {}", args.join(" ")))
        );
    }

    /// Gives a command in front of everybody; its output.
    pub(crate) fn give(&self, lab: &Lab, args: &[&str]) -> Result<String> {
        self.command(args);
        let output = lab.ask(args)?;
        for line in output.lines() {
            println!("     {line}");
        }
        Ok(output)
    }

    /// Tells whether something that everything after it stands on is as claimed.
    pub(crate) fn check<T>(&mut self, claim: &str, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => {
                self.right += 1;
                println!("   {} {claim}", self.in_style(GREEN, "✓"));
            }
            Err(error) => {
                self.wrong += 1;
                println!("   {} {claim}: {error:#}", self.in_style(RED, "✗"));
            }
        }
        result
    }

    /// Tells whether something is as claimed.
    pub(crate) fn is_so(&mut self, claim: &str, is_so: bool, instead: impl Display) {
        let result = (|| {
            ensure!(is_so, "{instead}");
            Ok(())
        })();
        // What follows does not depend on it; the count does.
        let _ = self.check(claim, result);
    }

    /// Tells why nothing more comes.
    pub(crate) fn broke_off(&mut self, error: &anyhow::Error) {
        // A check that failed has been told.
        if self.wrong == 0 {
            let _ = self.check::<()>("it goes on", Err(anyhow!("{error:#}")));
        }
    }

    /// The sum.
    pub(crate) fn end(&self) -> ExitCode {
        let sum = format!("{} checks right, {} wrong", self.right, self.wrong);
        let style = if self.wrong == 0 { GREEN } else { RED };
        println!("\n{}", self.in_style(style, sum));
        if self.wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
