//! A test in namespaces of its own.

use std::net::IpAddr;
use std::process::Command;

const MARK: &str = "EGRET_TEST_INSIDE";

/// Runs a test's body in a new user and network namespace: the test's own process runs itself again in there.
pub(crate) fn inside(test: &str, body: impl Future<Output = ()>) {
    inside_shell(test, "exec", body);
}

/// The same, after a set-up, without the capability to change the network any more.
pub(crate) fn inside_without_net_admin(test: &str, set_up: &str, body: impl Future<Output = ()>) {
    let without = "exec setpriv --bounding-set -net_admin --inh-caps -net_admin";
    inside_shell(test, &format!("{set_up}; {without}"), body);
}

/// `script` ends with what runs the command that follows it.
fn inside_shell(test: &str, script: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(MARK).is_some() {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(body);
        return;
    }
    let this = std::env::current_exe().unwrap();
    let result = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .args(["sh", "-ec", &format!("{script} \"$@\""), "sh"])
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("unshare is needed (package util-linux)");
    let said = String::from_utf8_lossy(&result.stdout) + String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{said}");
    assert!(
        said.contains("1 passed"),
        "the test did not run inside: {said}"
    );
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &str) {
    output(&format!("set -e; {command}"));
}

/// What a command prints.
pub(crate) fn output(command: &str) -> String {
    let result = Command::new("sh").args(["-c", command]).output().unwrap();
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(
        result.status.success() && errors.is_empty(),
        "{command}: {errors}"
    );
    String::from_utf8(result.stdout).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
