//! A container without an image: a program in a Pod's network, with the Pod's volumes below a /run of its own.
//!
//! Owns what a process becomes before it is that program, in this order: network, mounts, capabilities, environment. The
//! process number stays the same throughout, so whoever started it can signal the program. Decides nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use serde::{Deserialize, Serialize};

use crate::netns;

/// Where volumes can be: the one folder that every program gets anew.
pub const RUN: &str = "/run";

/// All that there is to know about a contained program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containment {
    /// The name of its network namespace.
    pub netns: String,
    /// An empty folder of the program's own.
    pub stage: PathBuf,
    /// The folders that it gets, by where it gets them below [`RUN`].
    pub mounts: BTreeMap<PathBuf, PathBuf>,
    /// The only capabilities that it may have; unless given, all that the lab has.
    pub capabilities: Option<Vec<String>>,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside that of the lab.
    pub env: BTreeMap<String, String>,
}

/// Why the program was not started.
#[derive(Debug, thiserror::Error)]
pub enum ContainmentError {
    /// The description cannot be read.
    #[error("{path} does not describe a container: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its network or mounts could not be made.
    #[error("{what} could not be done: {source}")]
    Refused {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("{program} could not be started: {source}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Becomes the program that a file describes. Only a process with a single thread can.
pub fn become_contained(file: &Path) -> Result<Infallible, ContainmentError> {
    let text = fs::read(file).map_err(|source| ContainmentError::Unreadable {
        path: file.to_owned(),
        source,
    })?;
    let containment: Containment =
        serde_json::from_slice(&text).map_err(|source| ContainmentError::Unreadable {
            path: file.to_owned(),
            source: source.into(),
        })?;
    // The names of networks are below the /run that is hidden next.
    enter_network(&containment.netns)?;
    hide_run(&containment)?;
    let source = command(&containment).exec();
    Err(ContainmentError::Start {
        program: containment.program,
        source,
    })
}

fn refused<E: Into<io::Error>>(what: String) -> impl FnOnce(E) -> ContainmentError {
    |source| ContainmentError::Refused {
        what,
        source: source.into(),
    }
}

fn enter_network(name: &str) -> Result<(), ContainmentError> {
    let path = Path::new(netns::FOLDER).join(name);
    let what = || format!("entering {}", path.display());
    let door = File::open(&path).map_err(refused(what()))?;
    setns(door, CloneFlags::CLONE_NEWNET).map_err(refused(what()))
}

/// Puts an empty folder with the volumes in the place of /run.
fn hide_run(containment: &Containment) -> Result<(), ContainmentError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(refused("making mounts of its own".to_owned()))?;
    attach(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    let stage = &containment.stage;
    make_folder(stage)?;
    mount(
        Some("tmpfs"),
        stage,
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(refused(format!("mounting {}", stage.display())))?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    let visible = (containment.mounts.iter()).map(|(to, from)| (to.clone(), from.clone()));
    for (to, from) in visible.chain(kept(&containment.program)) {
        let inside = stage.join(to.strip_prefix(RUN).unwrap_or(&to));
        make_folder(&inside)?;
        attach(Some(&from), &inside, bind)?;
    }
    let run = Path::new(RUN);
    attach(Some(stage), run, bind)?;
    let old_name = Path::new("/var/run");
    if fs::canonicalize(old_name).is_ok_and(|path| path != run) {
        attach(Some(run), old_name, bind)?;
    }
    Ok(())
}

/// The part of the old /run that the program is in.
fn kept(program: &Path) -> Option<(PathBuf, PathBuf)> {
    let first = program.strip_prefix(RUN).ok()?.components().next()?;
    let path = Path::new(RUN).join(first);
    Some((path.clone(), path))
}

fn attach(from: Option<&Path>, to: &Path, flags: MsFlags) -> Result<(), ContainmentError> {
    let done = mount(from, to, None::<&str>, flags, None::<&str>);
    done.map_err(refused(format!("mounting {}", to.display())))
}

fn make_folder(path: &Path) -> Result<(), ContainmentError> {
    let done = fs::create_dir_all(path);
    done.map_err(refused(format!("making {}", path.display())))
}

/// The lab's user is root inside: what the bounding set lacks, no program started from here can have.
fn command(containment: &Containment) -> Command {
    let mut command = match &containment.capabilities {
        None => Command::new(&containment.program),
        Some(capabilities) => {
            let mut limited = Command::new("setpriv");
            limited.arg(bounding_set(capabilities));
            limited.arg("--").arg(&containment.program);
            limited
        }
    };
    command
        .args(&containment.args)
        // Nobody's credentials but the Pod's own.
        .env_remove("KUBECONFIG")
        .env("HOME", RUN)
        .envs(&containment.env);
    command
}

fn bounding_set(capabilities: &[String]) -> String {
    let added = capabilities.iter().map(|name| format!(",+{name}"));
    format!("--bounding-set=-all{}", added.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containment() -> Containment {
        Containment {
            netns: "node-1".to_owned(),
            stage: "/home/stage".into(),
            mounts: BTreeMap::new(),
            capabilities: None,
            program: "/bin/egret-agent".into(),
            args: vec!["--log-format".to_owned(), "json".to_owned()],
            env: BTreeMap::new(),
        }
    }

    #[test]
    fn a_program_is_started_with_the_capabilities_that_are_left_to_it() {
        let limited = Containment {
            capabilities: Some(vec!["net_admin".to_owned()]),
            ..containment()
        };
        let line = command(&limited);
        let args: Vec<_> = line.get_args().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(
            args,
            [
                "--bounding-set=-all,+net_admin",
                "--",
                "/bin/egret-agent",
                "--log-format",
                "json"
            ]
        );
        assert_eq!(command(&containment()).get_program(), "/bin/egret-agent");
    }

    #[test]
    fn a_users_own_cluster_is_out_of_reach() {
        let line = command(&containment());
        let set: BTreeMap<_, _> = line.get_envs().collect();
        assert_eq!(
            set.get("KUBECONFIG".as_ref() as &std::ffi::OsStr),
            Some(&None)
        );
        assert_eq!(
            set.get("HOME".as_ref() as &std::ffi::OsStr),
            Some(&Some(RUN.as_ref()))
        );
    }

    #[test]
    fn a_program_below_run_stays_visible() {
        let path = PathBuf::from("/run/user");
        assert_eq!(
            kept(Path::new("/run/user/1000/egret-agent")),
            Some((path.clone(), path))
        );
        assert_eq!(kept(Path::new("/bin/sh")), None);
    }
}
