//! Who may have a lab.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use super::driver::{Lab, assets, text};

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

/// A user cannot reach into another's home: give a file that everybody may read.
fn lend(from: &Path, to: &Path) {
    if from.is_file() && fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}
