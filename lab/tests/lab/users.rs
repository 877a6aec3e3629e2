//! Who may have a lab.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use super::driver::{Lab, agents, assets, deployment, eventually, text};

/// A lab of a user without any privilege; when the tests have none themselves, of theirs. It ends with this value.
struct Ordinary {
    lab: Lab,
    is_root: bool,
}

impl Ordinary {
    /// Not up yet, with all programs where that user can read them.
    fn new() -> Self {
        let lab = Lab::new();
        let folder = lab.folder();
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        lend(
            Path::new(env!("CARGO_BIN_EXE_egret-lab")),
            &folder.join("egret-lab"),
        );
        fs::create_dir(folder.join("assets")).unwrap();
        for file in fs::read_dir(assets()).unwrap().flatten() {
            lend(&file.path(), &folder.join("assets").join(file.file_name()));
        }
        if is_root {
            std::os::unix::fs::chown(folder, Some(65534), Some(65534)).unwrap();
        }
        Self { lab, is_root }
    }

    fn run(&self, args: &[&str]) -> Output {
        let folder = self.lab.folder();
        let drop = [
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
        ];
        let shown = |name: &str, path: &Path| format!("{name}={}", path.display());
        let mut command = Command::new("env");
        command.args(["-u", "XDG_RUNTIME_DIR", "-u", "EGRET_LAB"]);
        command
            .arg(shown("HOME", folder))
            .arg(shown("TMPDIR", folder));
        command.arg(shown("KUBEBUILDER_ASSETS", &folder.join("assets")));
        command
            .args(drop.iter().filter(|_| self.is_root))
            .arg(folder.join("egret-lab"))
            .args(args);
        command.current_dir("/").output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

#[test]
fn an_ordinary_user_has_a_lab() {
    let user = Ordinary::new();
    user.ok(&["up", "--without-egret", "--nodes", "2"]);
    assert_eq!(user.ok(&["pod", "a", "--node", "node-2"]), "10.244.2.2\n");
    assert_eq!(user.ok(&["curl", "default/a"]), "10.10.0.102\n");
    assert!(
        user.ok(&["exec", "default/a", "--", "ip", "addr"])
            .contains("10.244.2.2/32")
    );
    user.ok(&["net", "cut", "node-2"]);
    user.ok(&["node", "off", "node-1"]);
    user.ok(&["down"]);
}

/// Says that it has begun, which account it has, and what it may do.
const SCRIPT: &str = r#"echo "begun on $NODE_NAME"
[ -s /var/run/secrets/kubernetes.io/serviceaccount/token ] && echo credentials
grep CapEff /proc/self/status
sleep 1000"#;

const LIMITED: &str = "        securityContext: {capabilities: {drop: [ALL], add: [NET_ADMIN]}}\n";

#[test]
fn an_ordinary_user_runs_egrets_pods() {
    let user = Ordinary::new();
    let manifests = deployment("operator", 1, LIMITED) + &agents(LIMITED);
    user.lab.install(SCRIPT, &manifests);
    let folder = user.lab.folder().display().to_string();
    let config = format!("{folder}/config");
    user.ok(&[
        "up",
        "--nodes",
        "2",
        "--binaries",
        &folder,
        "--config",
        &config,
    ]);
    for (process, node) in [("operator/1", "node-1"), ("agent/node-2", "node-2")] {
        eventually("it has spoken", || {
            user.ok(&["logs", process]).contains("CapEff")
        });
        let log = user.ok(&["logs", process]);
        // NET_ADMIN is the 13th.
        for part in [
            &format!("begun on {node}"),
            "credentials",
            "0000000000001000",
        ] {
            assert!(log.contains(part), "{part} is not in {log}");
        }
    }
    user.ok(&["node", "off", "node-1"]);
    user.ok(&["node", "on", "node-1"]);
    user.ok(&["down"]);
}

/// A user cannot reach into another's home: give a file that everybody may read.
fn lend(from: &Path, to: &Path) {
    if from.is_file() && fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}
