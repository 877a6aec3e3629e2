//! `config/crd`: the definitions of Egret's kinds as YAML files.
//!
//! Owns file names and layout. Never edits what it did not generate.

use std::io;
use std::path::{Path, PathBuf};

use egret_crds::manifest;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use thiserror::Error;

const HEADER: &str = "# Generated from crds/ by `cargo xtask generate`: edit the types there.\n";

/// Why the files are not as they should be.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be written or read.
    #[error("cannot access {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A definition could not be printed.
    #[error("cannot print a definition as YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// Files are missing or differ from the code.
    #[error("out of date, run `cargo xtask generate` and commit: {}", .0.join(", "))]
    OutOfDate(Vec<String>),
}

/// A file and what belongs into it.
struct Generated {
    path: PathBuf,
    text: String,
}

/// Where the committed definitions are.
pub fn folder() -> PathBuf {
    crate::root().join("config/crd")
}

/// Writes all files into the folder.
pub fn write(folder: &Path) -> Result<(), Error> {
    for Generated { path, text } in files(folder)? {
        std::fs::write(&path, text).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// Fails unless the folder holds all files as they would be written.
pub fn check(folder: &Path) -> Result<(), Error> {
    let mut stale = Vec::new();
    for file in files(folder)? {
        if !is_current(&file)? {
            stale.push(file.path.display().to_string());
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(Error::OutOfDate(stale))
    }
}

fn is_current(file: &Generated) -> Result<bool, Error> {
    match std::fs::read_to_string(&file.path) {
        Ok(text) => Ok(text == file.text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::File {
            path: file.path.clone(),
            source,
        }),
    }
}

fn files(folder: &Path) -> Result<Vec<Generated>, Error> {
    manifest::definitions()
        .iter()
        .map(|crd| file(folder, crd))
        .collect()
}

fn file(folder: &Path, crd: &CustomResourceDefinition) -> Result<Generated, Error> {
    let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
    let text = format!("{HEADER}{}", serde_saphyr::to_string(crd)?);
    Ok(Generated {
        path: folder.join(name),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_definitions_are_those_of_the_types() {
        check(&folder()).unwrap();
    }

    #[test]
    fn kustomize_applies_every_definition() {
        let text = std::fs::read_to_string(folder().join("kustomization.yaml")).unwrap();
        for file in files(&folder()).unwrap() {
            let name = file.path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                text.contains(&format!("- {name}\n")),
                "{name} is not in kustomization.yaml"
            );
        }
    }

    #[test]
    fn a_file_that_was_edited_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        check(folder.path()).unwrap();
        let edited = folder.path().join("crd.antrea.io_egresses.yaml");
        std::fs::write(&edited, "kind: CustomResourceDefinition\n").unwrap();
        let Err(Error::OutOfDate(stale)) = check(folder.path()) else {
            panic!("not noticed")
        };
        assert_eq!(stale, [edited.display().to_string()]);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let Err(Error::OutOfDate(stale)) = check(folder.path()) else {
            panic!("not noticed")
        };
        assert_eq!(stale.len(), 3);
    }
}
