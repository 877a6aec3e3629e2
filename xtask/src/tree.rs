//! The repository's files, as the checks see them.
//!
//! Owns which files belong to the project: all but what is built and what git keeps. Never changes any.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Folders that hold nothing of the project's own.
const FOREIGN: [&str; 2] = ["target", ".git"];

/// A file that cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}", path.display())]
pub struct Error {
    /// The file or folder.
    path: PathBuf,
    /// What the system says.
    source: io::Error,
}

/// One file of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path from the root, with `/` between the parts.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Whether anybody may run it.
    pub is_executable: bool,
}

impl File {
    /// The path's last part.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|end| end == "rs")
    }

    /// Whether all of it is tests: `tests.rs`, or anything below a folder `tests`.
    pub fn is_test(&self) -> bool {
        self.name() == "tests.rs" || self.path.split('/').any(|part| part == "tests")
    }
}

/// One that nobody may run, for tests.
#[cfg(test)]
pub(crate) fn file(path: &str, text: impl Into<String>) -> File {
    File {
        path: path.to_owned(),
        text: text.into(),
        is_executable: false,
    }
}

/// All files of text below a folder, in the order of their paths.
pub fn read(root: &Path) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, inside) = (entry.path(), format!("{prefix}{name}"));
        if path.is_symlink() || FOREIGN.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{inside}/"), files)?;
        } else {
            files.extend(read_file(&path, inside)?);
        }
    }
    Ok(())
}

/// `None` for what is not text.
fn read_file(path: &Path, inside: String) -> Result<Option<File>, Error> {
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode();
    let content = fs::read(path).map_err(at(path))?;
    Ok(String::from_utf8(content).ok().map(|text| File {
        path: inside,
        text,
        is_executable: mode & 0o111 != 0,
    }))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_or_not_text_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", "target"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("lib.rs"), "//! x\n").unwrap();
        }
        fs::write(root.path().join("plot.png"), [0x89, 0xff]).unwrap();
        let files = read(root.path()).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["src/lib.rs"]);
        assert!(!files[0].is_executable);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/at/all");
    }
}
