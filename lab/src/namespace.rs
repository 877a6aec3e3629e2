//! Entering a running lab from outside: its user, mount, PID and network namespaces.
//!
//! Owns the order in which they are entered. Only a process with a single thread may do it, so
//! commands call this before anything else starts a runtime.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::topology::Target;

/// Why a lab cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// There is no such place in the lab.
    #[error("{target} has no network in this lab: `hack/lab status` shows what runs")]
    NoSuchTarget {
        /// What was asked for.
        target: String,
    },
    /// The kernel refused.
    #[error("{path} could not be entered: {source}")]
    Refused {
        /// Which namespace.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How far to go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// User and network: for requests that this process makes itself.
    Network,
    /// Also mounts, and PIDs for the processes that this one starts: for other programs.
    All,
}

/// Moves this process into the lab whose supervisor has this process number.
pub fn enter(supervisor: i32, target: &Target, depth: Depth) -> Result<(), EnterError> {
    let process = PathBuf::from(format!("/proc/{supervisor}"));
    let net = match target.netns() {
        None => process.join("ns/net"),
        Some(name) => process.join("root/run/netns").join(name),
    };
    if !net.exists() {
        return Err(EnterError::NoSuchTarget {
            target: target.to_string(),
        });
    }
    let mut doors = vec![
        (process.join("ns/user"), CloneFlags::CLONE_NEWUSER),
        (net, CloneFlags::CLONE_NEWNET),
    ];
    if depth == Depth::All {
        doors.push((process.join("ns/pid"), CloneFlags::CLONE_NEWPID));
        doors.push((process.join("ns/mnt"), CloneFlags::CLONE_NEWNS));
    }
    let open = doors.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let folder = std::env::current_dir();
    for (path, file, kind) in open {
        pass(&path, &file, kind)?;
    }
    // A folder that the lab hides leaves the command at the root.
    let _ = folder.and_then(std::env::set_current_dir);
    Ok(())
}

fn open((path, kind): (PathBuf, CloneFlags)) -> Result<(PathBuf, File, CloneFlags), EnterError> {
    match File::open(&path) {
        Ok(file) => Ok((path, file, kind)),
        Err(source) => Err(EnterError::Refused { path, source }),
    }
}

fn pass(path: &Path, file: &File, kind: CloneFlags) -> Result<(), EnterError> {
    if kind == CloneFlags::CLONE_NEWUSER && is_own(path) {
        return Ok(());
    }
    setns(file, kind).map_err(|errno| EnterError::Refused {
        path: path.to_owned(),
        source: errno.into(),
    })
}

/// Inside `hack/lab shell` the user namespace is entered already; the kernel refuses it twice.
fn is_own(path: &Path) -> bool {
    match (fs::read_link(path), fs::read_link("/proc/self/ns/user")) {
        (Ok(theirs), Ok(own)) => theirs == own,
        _ => false,
    }
}
