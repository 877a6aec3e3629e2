//! The folder of one lab on the machine: control socket, logs, certificates, kubeconfigs.
//!
//! Owns its paths, its lock and its removal. The lock is an open file that the lab's first process
//! inherits: it is free exactly when the last process that holds the lab together is gone, however
//! it ended, so a stale folder is told from a live one without looking at process numbers.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::spec::{LabName, LabSpec};

/// The folder of one lab.
#[derive(Debug, Clone)]
pub struct Home {
    folder: PathBuf,
}

/// Held by whoever makes or removes a lab, and by the lab itself while it lives.
#[derive(Debug)]
pub struct Lock(File);

/// What can go wrong with a lab's folder.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else owns the folder for labs.
    #[error("{0} belongs to another user: set TMPDIR or XDG_RUNTIME_DIR to a folder of your own")]
    Foreign(PathBuf),
    /// The lab's own record cannot be read.
    #[error("{path} is not a lab's record ({source}): run `hack/lab down`")]
    Spec {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io { path, source }
}

impl Home {
    /// The folder for `lab` under the user's run-time folder (`XDG_RUNTIME_DIR`, `TMPDIR` or /tmp).
    pub fn of(lab: &LabName) -> Self {
        let folder = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
        let base = folder("XDG_RUNTIME_DIR")
            .or_else(|| folder("TMPDIR"))
            .unwrap_or("/tmp".into());
        let user = nix::unistd::geteuid();
        Self {
            folder: PathBuf::from(base)
                .join(format!("egret-lab-{user}"))
                .join(lab.to_string()),
        }
    }

    /// A lab's folder that is already known.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the supervisor listens.
    pub fn control_socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// The log of one process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.folder
            .join("logs")
            .join(format!("{}.log", process.replace('/', "-")))
    }

    /// What one of Egret's Pods has: its volumes, and how its containers are started.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.folder.join("pods").join(uid)
    }

    /// A certificate, key or token.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.folder.join("secrets").join(name)
    }

    /// The kubeconfig of one user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.secret(&format!("{user}.kubeconfig"))
    }

    /// Makes the folder, readable by its user alone.
    pub fn create(&self) -> Result<(), HomeError> {
        let base = self.folder.parent().unwrap_or(Path::new("/"));
        for folder in [base, &self.folder] {
            private_folder(folder).map_err(at(folder))?;
        }
        let owner = fs::metadata(base).map_err(at(base))?.uid();
        if owner == nix::unistd::geteuid().as_raw() {
            return Ok(());
        }
        Err(HomeError::Foreign(base.to_owned()))
    }

    /// Empties the folder of what a dead lab left and makes the parts that a new one needs.
    pub fn prepare(&self, _held: &Lock) -> Result<(), HomeError> {
        for entry in fs::read_dir(&self.folder)
            .map_err(at(&self.folder))?
            .flatten()
        {
            if entry.file_name() != "lock" {
                remove(&entry.path()).map_err(at(&entry.path()))?;
            }
        }
        for part in ["logs", "secrets", "pods"] {
            let folder = self.folder.join(part);
            private_folder(&folder).map_err(at(&folder))?;
        }
        Ok(())
    }

    /// Removes the folder, and the one for all labs when this was the last.
    pub fn remove(&self, held: Lock) -> Result<(), HomeError> {
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        drop(held);
        if let Some(base) = self.folder.parent() {
            // Another lab of the same user keeps it.
            let _ = fs::remove_dir(base);
        }
        Ok(())
    }

    /// The lock, unless a live lab or another command holds it. The folder must exist.
    pub fn try_lock(&self) -> Result<Option<Lock>, HomeError> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(at(&path)(source)),
            // Whoever removed the folder in between took the file away: it guards nothing now.
            Ok(()) if !is_still_there(&file, &path) => Ok(None),
            Ok(()) => Ok(Some(Lock(file))),
        }
    }

    /// The lock as soon as it is free, if that is within `limit`.
    pub fn lock_within(&self, limit: Duration) -> Result<Option<Lock>, HomeError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.try_lock()? {
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                result => return Ok(result),
            }
        }
    }

    /// Records what the lab is.
    pub fn write_spec(&self, spec: &LabSpec) -> Result<(), HomeError> {
        let path = self.spec_path();
        let text = serde_json::to_vec_pretty(spec).map_err(|source| HomeError::Spec {
            path: path.clone(),
            source,
        })?;
        fs::write(&path, text).map_err(at(&path))
    }

    /// What the lab is.
    pub fn read_spec(&self) -> Result<LabSpec, HomeError> {
        let path = self.spec_path();
        let text = fs::read(&path).map_err(at(&path))?;
        serde_json::from_slice(&text).map_err(|source| HomeError::Spec { path, source })
    }

    /// Writes a file that only the user may read.
    pub fn write_secret(&self, name: &str, content: &[u8]) -> Result<PathBuf, HomeError> {
        let path = self.secret(name);
        fs::write(&path, content).map_err(at(&path))?;
        Ok(path)
    }

    fn spec_path(&self) -> PathBuf {
        self.folder.join("lab.json")
    }
}

impl Lock {
    /// The open file, for a process that shall hold the lock from now on.
    pub fn into_file(self) -> File {
        self.0
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn is_still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => held.ino() == found.ino() && held.dev() == found.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_a_removed_folder_frees_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("base/one"));
        home.create().unwrap();
        let held = home.try_lock().unwrap().unwrap();
        assert!(home.try_lock().unwrap().is_none());
        home.remove(held).unwrap();
        assert!(!folder.path().join("base").exists());
        home.create().unwrap();
        assert!(home.try_lock().unwrap().is_some());
    }

    #[test]
    fn preparing_removes_what_a_dead_lab_left() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("base/one"));
        home.create().unwrap();
        fs::write(home.control_socket(), "").unwrap();
        let held = home.try_lock().unwrap().unwrap();
        home.prepare(&held).unwrap();
        assert!(!home.control_socket().exists());
        assert!(home.folder().join("logs").is_dir());
    }
}
