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

    /// Up, with a script in place of the operator, the webhook and the agent, and manifests that run it: one operator,
    /// two replicas of the webhook, an agent on each node.
    pub(crate) fn with_programs(script: &str, args: &[&str]) -> Self {
        let lab = Self::new();
        lab.install(script, &workloads());
        lab.start(args);
        lab
    }

    /// Writes programs and manifests.
    pub(crate) fn install(&self, script: &str, manifests: &str) {
        for name in ["egret-operator", "egret-webhook", "egret-agent"] {
            write_program(&self.folder().join(name), script);
        }
        let folder = self.folder().join("config/default");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("all.yaml"), manifests).unwrap();
        let kustomization = "namespace: egret-system\nresources: [all.yaml]\n";
        fs::write(folder.join("kustomization.yaml"), kustomization).unwrap();
    }

    /// Up, with what is installed.
    pub(crate) fn start(&self, args: &[&str]) {
        let programs = self.folder().display().to_string();
        let config = self.folder().join("config").display().to_string();
        self.ok(&[&["up", "--binaries", &programs, "--config", &config], args].concat());
    }

    /// Applies a manifest in Egret's namespace.
    pub(crate) fn apply(&self, manifest: &str) {
        let file = self.folder().join("applied.yaml");
        // What begins with a brace would be read as JSON.
        fs::write(&file, format!("---\n{manifest}")).unwrap();
        let file = file.to_str().unwrap();
        self.ok(&["kubectl", "-n", "egret-system", "apply", "-f", file]);
    }

    /// Runs kubectl in Egret's namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.ok(&[&["kubectl", "-n", "egret-system"], args].concat())
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

/// The beginning of a manifest of Egret's that runs the program of this image.
fn workload(kind: &str, component: &str, rest: &str) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: {kind}
metadata: {{name: egret-{component}}}
spec:
  selector: {{matchLabels: {{app.kubernetes.io/component: {component}}}}}
  {rest}
  template:
    metadata: {{labels: {{app.kubernetes.io/component: {component}}}}}
    spec:
      terminationGracePeriodSeconds: 10
"
    )
}

/// A Deployment that runs the program of its component.
pub(crate) fn deployment(component: &str, replicas: u8, pod: &str) -> String {
    let rest = format!("replicas: {replicas}");
    workload("Deployment", component, &rest) + &containers(component, pod)
}

/// A `DaemonSet` that runs the agent in the network of each node.
pub(crate) fn agents(pod: &str) -> String {
    let host = "      hostNetwork: true\n";
    workload("DaemonSet", "agent", "") + host + &containers("agent", pod)
}

/// One container with arguments, and what else the Pod has, already indented.
fn containers(component: &str, pod: &str) -> String {
    format!(
        "      containers:
      - name: main
        image: example.org/egret-{component}:0.1.0
        args: [--node, $(NODE_NAME)]
        env:
        - {{name: NODE_NAME, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
        - {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
        - {{name: POD_IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
        - {{name: HOST_IP, valueFrom: {{fieldRef: {{fieldPath: status.hostIP}}}}}}
{pod}"
    )
}

/// One operator, two replicas of the webhook, an agent on each node.
fn workloads() -> String {
    deployment("operator", 1, "") + &deployment("webhook", 2, "") + &agents("")
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
