//! Who may have a lab.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::driver::{Lab, assets, text};

/// Runs as a user without any privilege; when the tests have none themselves, as they are.
#[test]
fn an_ordinary_user_has_a_lab() {
    let lab = Lab::new();
    let folder = lab.folder().to_owned();
    let program = env!("CARGO_BIN_EXE_egret-lab");
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    let run = |args: &[&str]| {
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
        command.args(["-u", "XDG_RUNTIME_DIR"]);
        command
            .arg(shown("HOME", &folder))
            .arg(shown("TMPDIR", &folder));
        command.arg(shown("KUBEBUILDER_ASSETS", &folder.join("assets")));
        command
            .args(drop.iter().filter(|_| is_root))
            .arg(folder.join("egret-lab"))
            .args(args);
        command.current_dir("/").output().unwrap()
    };
    lend(Path::new(program), &folder.join("egret-lab"));
    fs::create_dir(folder.join("assets")).unwrap();
    for file in fs::read_dir(assets()).unwrap().flatten() {
        lend(&file.path(), &folder.join("assets").join(file.file_name()));
    }
    if is_root {
        std::os::unix::fs::chown(&folder, Some(65534), Some(65534)).unwrap();
    }
    let ok = |args: &[&str]| {
        let output = run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };

    ok(&["up", "--without-egret", "--nodes", "2"]);
    assert_eq!(ok(&["pod", "a", "--node", "node-2"]), "10.244.2.2\n");
    assert_eq!(ok(&["curl", "default/a"]), "10.10.0.102\n");
    assert!(ok(&["exec", "default/a", "--", "ip", "addr"]).contains("10.244.2.2/32"));
    ok(&["net", "cut", "node-2"]);
    ok(&["node", "off", "node-1"]);
    ok(&["down"]);
}

/// A user cannot reach into another's home: give a file that everybody may read.
fn lend(from: &Path, to: &Path) {
    if from.is_file() && fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}
