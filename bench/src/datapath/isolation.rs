//! Where the measurement runs: namespaces of its own, with which all that it makes goes.
//!
//! Owns the way in, for root and ordinary users alike. Never touches the machine's own network.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const MARK: &str = "EGRET_BENCH_INSIDE";
/// `ip netns` keeps its names in /run.
const SCRIPT: &str = "mount -t tmpfs run /run; exec \"$@\"";

/// Continues inside: the program is run again in its own place, with the same arguments.
pub fn enter() -> anyhow::Result<()> {
    if env::var_os(MARK).is_some() {
        return Ok(());
    }
    let refused = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .args(["sh", "-ec", SCRIPT, "sh"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, "1")
        .exec();
    Err(refused).context("unshare is needed (package util-linux)")
}

/// Keeps this process, and all that it starts, on one processor: so what a packet costs shows in every figure, and not where
/// the scheduler has put whom.
pub fn stay_on_one_processor() -> anyhow::Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count()).rfind(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.context("this process may run on no processor")?)?;
    sched_setaffinity(this, &one)?;
    Ok(())
}
