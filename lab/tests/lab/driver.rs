//! Runs `egret-lab` for a test and takes the lab down at its end.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A lab of one test.
pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    /// Not up yet.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("lab")
                .tempdir_in("/tmp")
                .unwrap(),
        }
    }

    /// Up, without Egret.
    pub(crate) fn up(args: &[&str]) -> Self {
        let lab = Self::new();
        lab.ok(&[&["up", "--without-egret"], args].concat());
        lab
    }

    /// Up, with scripts in place of the operator, the webhook and the agent.
    pub(crate) fn with_programs(script: &str, args: &[&str]) -> Self {
        let lab = Self::new();
        for name in ["egret-operator", "egret-webhook", "egret-agent"] {
            write_program(&lab.folder.path().join(name), script);
        }
        let programs = lab.folder.path().display().to_string();
        let nothing = lab.folder.path().join("config").display().to_string();
        lab.ok(&[&["up", "--binaries", &programs, "--config", &nothing], args].concat());
        lab
    }

    /// The folder that all of the lab's files are in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command for the lab, not started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret-lab"));
        command
            .args(args)
            .env("KUBEBUILDER_ASSETS", assets())
            .env("TMPDIR", self.folder())
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("EGRET_LAB")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output without the last line end.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout).trim_end().to_owned()
    }

    /// What a process has said so far: nothing while it has not been started.
    pub(crate) fn said(&self, process: &str) -> String {
        text(&self.run(&["logs", process]).stdout)
    }

    /// A request of a Pod to the external host that must get nothing: neither an answer nor a refusal. What the lab
    /// itself refuses is something else.
    pub(crate) fn is_unheard(&self, pod: &str) {
        let message = self.fails(&["curl", pod]);
        let nothing = ["no answer within", "No route to host", "unreachable"];
        assert!(
            message.contains("got nothing from")
                && nothing.iter().any(|words| message.contains(words)),
            "{message}"
        );
    }

    /// Runs a command that must fail; its standard error.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            !output.status.success(),
            "{args:?} succeeded: {}",
            text(&output.stdout)
        );
        assert_eq!(
            text(&output.stdout),
            "",
            "{args:?} wrote to standard output"
        );
        text(&output.stderr)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).stderr(Stdio::null()).status();
    }
}

/// Makes a program of a shell script.
pub(crate) fn write_program(file: &Path, script: &str) {
    fs::write(file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the Kubernetes binaries are.
pub(crate) fn assets() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let folder = set("KUBEBUILDER_ASSETS")
        .or_else(|| cache().map(|cache| cache.join("egret/kube-v1.37.0")))
        .unwrap();
    let found = folder.join("kube-apiserver").is_file();
    assert!(
        found,
        "no Kubernetes binaries in {}: run hack/tools/build",
        folder.display()
    );
    folder
}

/// Waits until `ready`, which must come true.
pub(crate) fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !ready() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
