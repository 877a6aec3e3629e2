//! The programs that a lab consists of, built and found once per process.
//!
//! Owns where they are. Never starts a lab.
//!
//! `EGRET_LAB_BIN` names another `egret-lab`, `EGRET_LAB_CONFIG` other manifests; with `EGRET_E2E_PREBUILT=1` nothing
//! is built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// What `egret-lab` needs to be started.
#[derive(Debug)]
pub struct Binaries {
    /// The program itself; Egret's processes lie next to it.
    pub lab: PathBuf,
    /// The folder of the control plane's programs; unless given, the lab looks in its usual place.
    pub assets: Option<PathBuf>,
    /// The folder of Egret's manifests.
    pub config: PathBuf,
}

/// Builds what is out of date and finds everything; the same answer for the whole life of the process.
pub fn binaries() -> Result<&'static Binaries> {
    static ONCE: OnceLock<Result<Binaries, String>> = OnceLock::new();
    let found = ONCE.get_or_init(|| prepare().map_err(|error| format!("{error:#}")));
    found.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// The repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

fn prepare() -> Result<Binaries> {
    let given = |name| std::env::var_os(name).map(PathBuf::from);
    let folder = folder()?;
    let lab = given("EGRET_LAB_BIN").unwrap_or_else(|| folder.join("egret-lab"));
    let assets = if given("EGRET_E2E_PREBUILT").is_some_and(|value| value == Path::new("1")) {
        None
    } else {
        build(&folder)?;
        let assets = output(&mut Command::new(root().join("hack/tools/build")))?;
        Some(PathBuf::from(assets.trim()))
    };
    ensure!(lab.is_file(), "{} is missing", lab.display());
    let config = given("EGRET_LAB_CONFIG").unwrap_or_else(|| root().join("config"));
    Ok(Binaries {
        lab,
        assets,
        config,
    })
}

/// The folder into which cargo has put this very program: `deps/` below it is for tests.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("this program has no folder")?;
    let is_test = folder.ends_with("deps");
    let folder = if is_test {
        folder.parent()
    } else {
        Some(folder)
    };
    Ok(folder.context("this program has no folder")?.to_owned())
}

/// Cargo holds a lock of its own, so test processes that do this at once wait for each other.
fn build(folder: &Path) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .args(["build", "--quiet", "--bins"]);
    for package in [
        "egret-lab",
        "egret-operator",
        "egret-webhook",
        "egret-agent",
    ] {
        cargo.args(["--package", package]);
    }
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    output(&mut cargo).map(drop)
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("{name} could not be started"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
