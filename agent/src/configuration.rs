//! The configuration, as it lies in a folder that the operator's `ConfigMap` is mounted at.
//!
//! Owns the reading of its files, once: a change starts the agent anew. What the keys mean is in
//! [`egret_crds::settings`]. Never guesses: what is wrong stops the agent, all of it in one message.

use std::io;
use std::path::{Path, PathBuf};

use egret_crds::settings::{AGENT, CONTROLLER, Documents, Reading, read};
use egret_domain::problem::{Problem, Problems};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Of a file, more is not read: it is refused by its length.
const MOST_BYTES: u64 = (1 << 20) + 1;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum Error {
    /// A file is there and cannot be read.
    #[error(
        "cannot read the configuration in {path}: it is in the ConfigMap that the operator makes"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// It is not understood.
    #[error("the configuration in {folder} is wrong: {}", all(problems))]
    Invalid {
        /// The folder.
        folder: PathBuf,
        /// Everything that is wrong.
        problems: Problems,
    },
}

fn all(problems: &Problems) -> String {
    let told = problems.as_slice().iter().map(Problem::to_string);
    told.collect::<Vec<_>>().join("; ")
}

/// Reads both documents; where there is none, the defaults apply.
pub async fn from(folder: &Path) -> Result<Reading, Error> {
    let mut documents = Documents::new();
    for name in [CONTROLLER, AGENT] {
        let path = folder.join(name);
        match text(&path).await {
            Ok(Some(text)) => {
                documents.insert(name.to_owned(), text);
            }
            Ok(None) => {}
            Err(source) => return Err(Error::Unreadable { path, source }),
        }
    }
    read(&documents).map_err(|problems| Error::Invalid {
        folder: folder.to_owned(),
        problems,
    })
}

async fn text(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).await?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_files_the_defaults_apply() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(from(folder.path()).await.unwrap(), Reading::default());
        let absent = folder.path().join("absent");
        assert_eq!(from(&absent).await.unwrap(), Reading::default());
    }

    #[tokio::test]
    async fn what_the_operator_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let settings = egret_crds::settings::Settings {
            enabled: false,
            max_egress_ips_per_node: 7,
            ..Default::default()
        };
        for (name, text) in settings.documents() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(from(folder.path()).await.unwrap().settings, settings);
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_in_the_message() {
        let folder = tempfile::tempdir().unwrap();
        let cidrs: Vec<_> = (0..30).map(|number| format!("wrong-{number}")).collect();
        let text = format!("egress: {{exceptCIDRs: [{}]}}", cidrs.join(", "));
        std::fs::write(folder.path().join(AGENT), text).unwrap();
        std::fs::write(folder.path().join(CONTROLLER), "featureGate: {}").unwrap();
        let told = from(folder.path()).await.unwrap_err().to_string();
        let expected = [
            "wrong-0\"",
            "wrong-29\"",
            "antrea-controller.conf: featureGate: is not known",
        ];
        for part in expected {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_not_taken_for_an_absent_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(AGENT)).unwrap();
        let error = from(folder.path()).await.unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
    }
}
