//! The walls of a lab: its first process in namespaces of its own, and what that process is for.
//!
//! `unshare` makes user, mount, PID and network namespaces. The first process inside (`init`) gives
//! the lab a private /run, starts the supervisor and reaps orphans. When it ends, the kernel ends
//! everything else: processes, namespaces, links, rules. Nothing here needs root.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::home::{Home, Lock};
use crate::netns;

/// Why the walls could not be built.
#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    /// A program of the system is missing.
    #[error("{program} could not be started: {source}; it is part of util-linux")]
    Start {
        /// Which program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A mount was refused.
    #[error("{path} could not be mounted in the lab: {source}")]
    Mount {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The supervisor could not be started or waited for.
    #[error("the lab's supervisor could not be run: {0}")]
    Supervisor(#[source] io::Error),
}

/// A command that runs `program init HOME` as first process of new namespaces, apart from the
/// caller's terminal. It inherits the lock, and holds it until all is gone.
pub fn first_process(program: &Path, home: &Home, lock: Lock, log: fs::File) -> Command {
    let mut command = Command::new("setsid");
    command
        .args([
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--net",
        ])
        .args(["--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .arg("init")
        .arg(home.folder())
        .stdin(Stdio::from(lock.into_file()))
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log));
    command
}

/// The life of the first process: mounts, the supervisor, orphans, the supervisor's end.
pub fn init(program: &Path, home: &Home) -> Result<(), IsolationError> {
    private_run(home.folder())?;
    let supervisor = Command::new(program)
        .arg("supervise")
        .arg(home.folder())
        .spawn()
        .map_err(IsolationError::Supervisor)?;
    let pid = i32::try_from(supervisor.id()).unwrap_or(i32::MAX);
    reap_until(Pid::from_raw(pid)).map_err(|errno| IsolationError::Supervisor(errno.into()))
}

fn reap_until(supervisor: Pid) -> Result<(), Errno> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))
                if pid == supervisor =>
            {
                return Ok(());
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// An empty /run, so that names of namespaces and the lock of iptables are the lab's own. When the
/// lab's folder is itself below /run, that part of the old one stays visible.
fn private_run(home: &Path) -> Result<(), IsolationError> {
    let fresh = home.join("run");
    make_folder(&fresh)?;
    attach(Some("tmpfs"), &fresh, Some("tmpfs"), MsFlags::empty())?;
    let kept = home
        .strip_prefix("/run")
        .ok()
        .and_then(|rest| rest.components().next());
    if let Some(kept) = kept {
        let inside = fresh.join(kept);
        make_folder(&inside)?;
        let outside = Path::new("/run").join(kept);
        attach(
            Some(&outside),
            &inside,
            None::<&str>,
            MsFlags::MS_BIND | MsFlags::MS_REC,
        )?;
    }
    attach(
        Some(&fresh),
        Path::new("/run"),
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
    )?;
    make_folder(Path::new(netns::FOLDER))
}

fn attach<S: ?Sized + nix::NixPath, T: ?Sized + nix::NixPath>(
    source: Option<&S>,
    path: &Path,
    kind: Option<&T>,
    flags: MsFlags,
) -> Result<(), IsolationError> {
    mount(source, path, kind, flags, None::<&str>).map_err(|errno| IsolationError::Mount {
        path: path.display().to_string(),
        source: errno.into(),
    })
}

fn make_folder(path: &Path) -> Result<(), IsolationError> {
    fs::create_dir_all(path).map_err(|source| IsolationError::Mount {
        path: path.display().to_string(),
        source,
    })
}

/// The exit code that a shell would report for this end.
pub fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1)
}
