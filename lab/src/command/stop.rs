//! `down`: end the lab, wait until nothing of it is left, remove its folder.

use std::time::Duration;

use anyhow::{Result, bail};
use egret_lab::control::{Control, Request};
use egret_lab::home::{Home, Lock};
use egret_lab::spec::LabName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ends the lab. A lab that is not there is what was wanted.
pub(crate) fn down(lab: &LabName, home: &Home) -> Result<i32> {
    if !home.folder().exists() {
        eprintln!("lab {lab} is not up");
        return Ok(0);
    }
    let lock = match home.try_lock()? {
        Some(lock) => lock,
        None => end(home)?,
    };
    home.remove(lock)?;
    Ok(0)
}

/// Asks the supervisor to end; ends it by force when it does not.
fn end(home: &Home) -> Result<Lock> {
    let supervisor = Control::connect(home)
        .and_then(|control| control.supervisor())
        .ok();
    if let Ok(control) = Control::connect(home) {
        // Whatever it answers, the lock tells whether it ended.
        let _ = control.ask(&Request::Down);
    }
    if let Some(lock) = home.lock_within(Duration::from_secs(10))? {
        return Ok(lock);
    }
    if let Some(pid) = supervisor {
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    }
    match home.lock_within(Duration::from_secs(10))? {
        Some(lock) => Ok(lock),
        None => {
            bail!("the lab does not end: another command may be starting or ending it just now")
        }
    }
}
