//! The machine that was measured on.
//!
//! Owns what has to be known of it to make sense of the figures. Never says which machine it is.

use std::fmt;
use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Context;

const UNKNOWN: &str = "unknown";

/// What it is, and how the code was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    compiler: String,
    profile: &'static str,
    load: String,
}

impl Machine {
    /// This one, now.
    pub fn this() -> Self {
        let load = text("/proc/loadavg");
        Self {
            cpu: cpu(&text("/proc/cpuinfo")).to_owned(),
            cores: available_parallelism().map_or(1, NonZero::get),
            kernel: release(&text("/proc/sys/kernel/osrelease")).to_owned(),
            compiler: compiler(),
            profile: if cfg!(debug_assertions) {
                "dev (not optimised: the figures say nothing)"
            } else {
                "release"
            },
            load: load.split(' ').next().unwrap_or(UNKNOWN).to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cores,
            kernel,
            compiler,
            profile,
            load,
        } = self;
        write!(
            f,
            "{cpu}, {cores} cores, Linux {kernel}; {compiler}, profile {profile}; load average before the run {load}"
        )
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn cpu(cpuinfo: &str) -> &str {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':'));
    model.map_or(UNKNOWN, |(_, model)| model.trim())
}

/// The version without what a distribution or a cloud has put behind it.
fn release(osrelease: &str) -> &str {
    let version = osrelease.trim().split('-').next();
    version.filter(|text| !text.is_empty()).unwrap_or(UNKNOWN)
}

/// Two words, for the rest of the line is a date.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let said = output.map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let words: Vec<_> = said.split_whitespace().take(2).collect();
    if words.is_empty() {
        return "rustc of unknown version".to_owned();
    }
    words.join(" ")
}

/// The memory of a process that is in RAM, and the most that ever was, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resident {
    /// Now.
    pub now_kib: u64,
    /// At its height.
    pub most_kib: u64,
}

impl Resident {
    /// What the kernel says of this process.
    pub fn read() -> anyhow::Result<Self> {
        Self::of("self")
    }

    /// What the kernel says of a process, by its number.
    pub fn of(process: &str) -> anyhow::Result<Self> {
        let path = format!("/proc/{process}/status");
        Self::parse(&fs::read_to_string(&path).context(path)?)
    }

    fn parse(status: &str) -> anyhow::Result<Self> {
        let field = |name: &str| -> anyhow::Result<u64> {
            let mut lines = status.lines();
            let rest = lines.find_map(|line| line.strip_prefix(name));
            let number = rest.and_then(|rest| rest.split_whitespace().next());
            let number = number.with_context(|| format!("no {name} in a process's status"))?;
            Ok(number.parse()?)
        };
        Ok(Self {
            now_kib: field("VmRSS:")?,
            most_kib: field("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_called_by_its_model() {
        assert_eq!(
            cpu("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n"),
            "A CPU @ 2 GHz"
        );
        assert_eq!(cpu(""), UNKNOWN);
    }

    #[test]
    fn of_a_kernel_only_the_version_is_told() {
        assert_eq!(release("6.1.0-18-cloud-amd64\n"), "6.1.0");
        assert_eq!(release("6.12.7\n"), "6.12.7");
        assert_eq!(release(""), UNKNOWN);
    }

    #[test]
    fn resident_memory_is_read_with_its_height() {
        let status = "Name:\tx\nVmHWM:\t    3000 kB\nVmRSS:\t    2048 kB\n";
        let resident = Resident {
            now_kib: 2048,
            most_kib: 3000,
        };
        assert_eq!(Resident::parse(status).unwrap(), resident);
        assert!(Resident::parse("Name:\tx\n").is_err());
    }
}
