//! What is logged, as people write it: on the command line, and while the process runs.
//!
//! Owns the syntax and the levels that apply now. Never writes a line.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Registry, reload};

const NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const RIGHT: &str = "write a level (off, error, warn, info, debug, trace), and after a comma others for modules, such as \
                     info,kube=debug";

/// A text that says no levels.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Neither a level nor `MODULE=LEVEL`.
    #[error("{0:?} is no level: {RIGHT}")]
    NoLevel(String),
    /// Nothing is said of the modules that are not named.
    #[error("there is no level for everything else: {RIGHT}")]
    NoDefault,
    /// More than one level for everything.
    #[error("there are two levels for everything: {RIGHT}")]
    TwoDefaults,
}

/// Reads `LEVEL,MODULE=LEVEL,…`: one level for everything, and others for modules, in any order.
pub fn parse(text: &str) -> Result<Targets, Malformed> {
    let mut targets = Targets::new();
    let mut default = None;
    for part in text.trim().split(',').map(str::trim) {
        match part.split_once('=') {
            Some((module, name)) if is_module(module) => {
                targets = targets.with_target(module, level(name, part)?);
            }
            Some(_) => return Err(Malformed::NoLevel(part.to_owned())),
            None if default.is_some() => {
                level(part, part)?;
                return Err(Malformed::TwoDefaults);
            }
            None => default = Some(level(part, part)?),
        }
    }
    match default {
        Some(default) => Ok(targets.with_default(default)),
        None => Err(Malformed::NoDefault),
    }
}

fn is_module(text: &str) -> bool {
    let is_part_of_name = |c: char| c.is_ascii_alphanumeric() || "_:-.".contains(c);
    !text.is_empty() && text.chars().all(is_part_of_name)
}

/// The library takes any word for a module of which everything is logged: a slip would silence all others.
fn level(name: &str, part: &str) -> Result<LevelFilter, Malformed> {
    let is_known = NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    let level = LevelFilter::from_str(name).ok().filter(|_| is_known);
    level.ok_or_else(|| Malformed::NoLevel(part.to_owned()))
}

/// What is logged now. Clones share it.
#[derive(Debug, Clone)]
pub struct Levels(reload::Handle<Targets, Registry>);

impl Levels {
    pub(crate) fn new(handle: reload::Handle<Targets, Registry>) -> Self {
        Self(handle)
    }

    /// Logs this from now on.
    pub fn set(&self, targets: Targets) -> Result<(), reload::Error> {
        self.0.reload(targets)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.with_current(ToString::to_string) {
            Ok(levels) => f.write_str(&levels),
            Err(error) => write!(f, "unknown ({error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn one_level_for_everything_and_others_for_modules() {
        let targets = parse(" info, kube=debug,egret_agent::kernel=TRACE\n").unwrap();
        assert!(targets.would_enable("egret_operator", &Level::INFO));
        assert!(!targets.would_enable("egret_operator", &Level::DEBUG));
        assert!(targets.would_enable("kube", &Level::DEBUG));
        assert!(targets.would_enable("egret_agent::kernel", &Level::TRACE));
    }

    #[test]
    fn a_slip_is_told_and_silences_nothing() {
        let no_level = |text: &str| Err(Malformed::NoLevel(text.to_owned()));
        for (text, wrong) in [
            ("inof", no_level("inof")),
            ("", no_level("")),
            ("3", no_level("3")),
            ("info,", no_level("")),
            ("info,kube=loud", no_level("kube=loud")),
            ("info,=debug", no_level("=debug")),
            ("info,a=b=debug", no_level("a=b=debug")),
            ("info,a[{b}]=debug", no_level("a[{b}]=debug")),
            ("kube=debug", Err(Malformed::NoDefault)),
            ("info,debug", Err(Malformed::TwoDefaults)),
        ] {
            assert_eq!(parse(text).map(|_| ()), wrong, "{text}");
        }
        let told = parse("inof").unwrap_err().to_string();
        assert!(told.contains("info,kube=debug"), "{told}");
    }
}
