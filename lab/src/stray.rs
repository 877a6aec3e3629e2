//! Processes of a network namespace that nobody keeps: commands that users run in Pods and nodes.
//!
//! Owns finding and ending them when their Pod goes or their node loses its power.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns::FOLDER;

/// Ends every process of the lab in these namespaces at once. Never this process itself: it lives
/// in the root namespace, which has no name.
pub fn kill_in(names: impl Iterator<Item = String>) {
    let files = names.filter_map(|name| fs::metadata(Path::new(FOLDER).join(name)).ok());
    let namespaces: BTreeSet<(u64, u64)> = files.map(|file| (file.dev(), file.ino())).collect();
    for pid in processes().filter(|pid| is_in(*pid, &namespaces)) {
        // One that has just ended is what was wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// The lab has its own /proc, which shows its own processes only.
fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_in(pid: i32, namespaces: &BTreeSet<(u64, u64)>) -> bool {
    fs::metadata(format!("/proc/{pid}/ns/net"))
        .is_ok_and(|file| namespaces.contains(&(file.dev(), file.ino())))
}
