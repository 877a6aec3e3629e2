//! `up`: find everything, record it, start the first process, tell its progress.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use egret_lab::home::{Home, Lock};
use egret_lab::isolation;
use egret_lab::kubelet::container::IMAGES;
use egret_lab::spec::{Egret, LabName, LabSpec};
use egret_lab::supervisor::Progress;

use crate::arguments::{Cni, Up};

const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];
const VERSION_FOLDER: &str = "egret/kube-v1.37.0";

/// Starts the lab and waits until it is ready.
pub(crate) fn up(lab: &LabName, home: &Home, up: &Up) -> Result<i32> {
    refuse_unsupported(up)?;
    let spec = spec(lab, up)?;
    home.create()?;
    // A lab that is just ending holds it a little longer.
    let Some(lock) = home.lock_within(Duration::from_secs(5))? else {
        bail!(
            "lab {lab} is up already: `hack/lab status`, or EGRET_LAB=NAME for another beside it"
        );
    };
    home.prepare(&lock)?;
    home.write_spec(&spec)?;
    let started = Instant::now();
    let child = first_process(&spec, home, lock)?;
    match follow(child, started) {
        Ok(()) => Ok(0),
        Err(error) => Err(give_up(home, error)),
    }
}

fn refuse_unsupported(up: &Up) -> Result<()> {
    refuse_other("cni", up.cni, Cni::Routed)?;
    if let Some(kind) = up.kube_proxy {
        bail!(
            "--kube-proxy {} is not supported by this lab: leave it out",
            word(&kind)
        );
    }
    if let Some(lease) = &up.lease {
        bail!("--lease {lease} is not supported by this lab: agents use their default of 5s");
    }
    Ok(())
}

fn refuse_other<T: ValueEnum + PartialEq + Copy>(option: &str, asked: T, known: T) -> Result<()> {
    if asked == known {
        return Ok(());
    }
    let (asked, known) = (word(&asked), word(&known));
    bail!("--{option} {asked} is not supported by this lab: only {known} is")
}

fn word(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

fn spec(lab: &LabName, up: &Up) -> Result<LabSpec> {
    let program = std::env::current_exe()?;
    let assets = assets(up.assets.as_deref())?;
    let kubectl = kubectl(&assets)?;
    Ok(LabSpec {
        name: lab.clone(),
        nodes: up.nodes,
        families: up.family,
        masquerade: up.masquerade,
        mtu: up.mtu,
        kubectl,
        assets,
        egret: if up.without_egret {
            None
        } else {
            Some(egret(up, &program)?)
        },
        program,
    })
}

fn egret(up: &Up, program: &Path) -> Result<Egret> {
    let beside = program.parent().map(Path::to_owned).unwrap_or_default();
    let programs = up.binaries.clone().unwrap_or(beside);
    for image in IMAGES {
        let file = programs.join(image);
        if !file.is_file() {
            bail!(
                "{} is missing: build it, or say --binaries or --without-egret",
                file.display()
            );
        }
    }
    let manifests = up.config.join("default");
    if !manifests.join("kustomization.yaml").is_file() {
        bail!(
            "{} has no kustomization.yaml: --config is the folder around it",
            manifests.display()
        );
    }
    Ok(Egret {
        programs: fs::canonicalize(programs)?,
        manifests: fs::canonicalize(manifests)?,
        has_webhook: !up.without_webhook,
    })
}

fn assets(given: Option<&Path>) -> Result<PathBuf> {
    let folder = match given {
        Some(folder) => folder.to_owned(),
        None => cache()
            .context("neither HOME nor XDG_CACHE_HOME is set")?
            .join(VERSION_FOLDER),
    };
    if CONTROL_PLANE.iter().all(|name| folder.join(name).is_file()) {
        return Ok(fs::canonicalize(folder)?);
    }
    bail!(
        "{} lacks one of {CONTROL_PLANE:?}: hack/tools/build makes them",
        folder.display()
    )
}

fn cache() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
}

fn kubectl(assets: &Path) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(assets.to_owned()).chain(std::env::split_paths(&path));
    let mut candidates = folders.map(|folder| folder.join("kubectl"));
    candidates
        .find(|file| file.is_file())
        .context("no kubectl: hack/tools/build makes one")
}

fn first_process(spec: &LabSpec, home: &Home, lock: Lock) -> Result<Child> {
    let log = home.log("lab");
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)?;
    isolation::first_process(&spec.program, home, lock, log)
        .spawn()
        .context("setsid could not be started; it is part of util-linux")
}

/// Tells each step until the lab is ready.
fn follow(mut child: Child, started: Instant) -> Result<()> {
    let steps = child
        .stdout
        .take()
        .context("the first process has no output")?;
    for line in BufReader::new(steps).lines() {
        match serde_json::from_str(&line?)? {
            Progress::Step(step) => eprintln!("{:5.1} s  {step}", started.elapsed().as_secs_f32()),
            Progress::Ready => {
                eprintln!("{:5.1} s  ready", started.elapsed().as_secs_f32());
                return Ok(());
            }
            Progress::Failed(reason) => bail!(reason),
        }
    }
    bail!("the lab's first process ended early; user namespaces may be forbidden here")
}

/// Waits for the end of a lab that did not come up, shows its log, removes its folder.
fn give_up(home: &Home, error: anyhow::Error) -> anyhow::Error {
    let log = fs::read_to_string(home.log("lab")).unwrap_or_default();
    eprint!("{log}");
    let kept = home.lock_within(Duration::from_secs(10));
    if !matches!(kept, Ok(Some(_))) {
        return error.context("the lab did not come up and does not end: run `hack/lab down`");
    }
    error.context(format!(
        "the lab did not come up; its logs are in {}",
        home.folder().display()
    ))
}
