//! What a lab might leave behind on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::driver::text;

/// Links and rules outside of any lab; counters left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    links: String,
    rules: String,
    namespaces: String,
    mounts: String,
}

impl Outside {
    pub(crate) fn now() -> Self {
        Self {
            links: said("ip", &["-o", "link"]),
            rules: said("nft", &["--stateless", "list", "ruleset"]),
            namespaces: said("ip", &["netns", "list"]),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
        }
    }
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

/// The processes whose command line names this folder.
pub(crate) fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.display().to_string();
    let mentions = |pid: &u32| command_line(*pid).contains(&folder);
    all_processes().filter(mentions).collect()
}

/// A process's command line, its words separated by NUL; empty when it has ended.
pub(crate) fn command_line(pid: u32) -> String {
    text(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
}

/// The namespaces that these processes are in and this one is not.
pub(crate) fn namespaces_of(processes: &[u32]) -> BTreeSet<String> {
    let own = in_namespaces(std::process::id());
    processes
        .iter()
        .flat_map(|pid| in_namespaces(*pid))
        .filter(|one| !own.contains(one))
        .collect()
}

/// Whether any process is in one of these namespaces.
pub(crate) fn is_anybody_in(namespaces: &BTreeSet<String>) -> bool {
    all_processes().any(|pid| {
        in_namespaces(pid)
            .iter()
            .any(|one| namespaces.contains(one))
    })
}

fn all_processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn in_namespaces(pid: u32) -> Vec<String> {
    let link = |kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let kinds = ["user", "pid", "mnt", "net"].into_iter();
    kinds
        .filter_map(link)
        .map(|link| link.display().to_string())
        .collect()
}
