//! The scripts of `hack/` tell what they do without doing it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failure here is a failed test"
)]

use std::process::Command;

use egret_xtask::root;

#[test]
fn who_asks_a_script_for_help_waits_for_no_build() {
    let scripts = [
        vec!["demo", "--help"],
        vec!["chaos", "--help"],
        vec!["lab", "--help"],
        vec!["bench", "--help"],
        vec!["bench", "admission", "--help"],
    ];
    for arguments in scripts {
        let mut script = Command::new(root().join("hack").join(arguments[0]));
        // There is neither a program nor anything to build one with.
        let script = script
            .args(&arguments[1..])
            .env(
                "CARGO_TARGET_DIR",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/none"),
            )
            .env("PATH", "/usr/bin:/bin");
        let output = script.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
