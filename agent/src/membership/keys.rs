//! The gossip's keys, as they lie in a folder that the operator's Secret is mounted at.
//!
//! Owns when they are read: at the start, then every second. What cannot be read later leaves the keys as they were.
//! Never logs a key.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use egret_crds::keyring::{BadKeyring, ENTRY, Keyring, MOST_BYTES};
use egret_runtime::live::Pulse;
use thiserror::Error;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

/// The folder is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(
        "cannot read the gossip keys from {path}: they are in the Secret that the operator makes"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// It is not understood.
    #[error(
        "{path} has no gossip keys: delete the Secret egret-gossip, and the operator makes it anew"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadKeyring,
    },
}

/// Reads the keys.
pub async fn from(folder: &Path) -> Result<Keyring, Error> {
    let path = folder.join(ENTRY);
    let read = async {
        let limit = u64::try_from(MOST_BYTES)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut entry = Vec::new();
        let file = File::open(&path).await?;
        file.take(limit).read_to_end(&mut entry).await?;
        Ok(entry)
    };
    match read.await {
        Ok(entry) => Keyring::read(&entry).map_err(|source| Error::Invalid { path, source }),
        Err(source) => Err(Error::Unreadable { path, source }),
    }
}

/// Tells the keys whenever they change, for ever.
pub async fn follow(folder: PathBuf, keys: watch::Sender<Keyring>, pulse: Pulse) {
    let mut is_broken = false;
    loop {
        pulse.beat();
        sleep(LOOK_EVERY).await;
        match from(&folder).await {
            Ok(now) => {
                is_broken = false;
                keys.send_if_modified(|keys| {
                    let is_news = *keys != now;
                    if is_news {
                        info!(keys = ?now.digests(), "gossip keys changed");
                    }
                    *keys = now;
                    is_news
                });
            }
            Err(error) if !is_broken => {
                is_broken = true;
                warn!(
                    error = egret_runtime::describe(&error),
                    "the former gossip keys stay in use"
                );
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use egret_crds::keyring::Key;
    use egret_runtime::live::Liveness;

    use super::*;

    fn ring(byte: u8) -> Keyring {
        Keyring::of(Key::new([byte; 32]))
    }

    #[tokio::test]
    async fn keys_that_change_are_told_and_broken_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(ENTRY);
        std::fs::write(&file, ring(1).text()).unwrap();
        let (sender, mut keys) = watch::channel(from(folder.path()).await.unwrap());
        let pulse = Liveness::default().pulse("gossip keys");
        let task = tokio::spawn(follow(folder.path().to_owned(), sender, pulse));
        let mut hold = async |ring: Keyring| {
            let wait = keys.wait_for(|keys| *keys == ring);
            tokio::time::timeout(Duration::from_secs(20), wait)
                .await
                .map(drop)
        };
        std::fs::write(&file, ring(2).text()).unwrap();
        hold(ring(2)).await.unwrap();
        std::fs::write(&file, "rubbish").unwrap();
        sleep(LOOK_EVERY * 2).await;
        hold(ring(2)).await.unwrap();
        std::fs::remove_file(&file).unwrap();
        sleep(LOOK_EVERY * 2).await;
        hold(ring(2)).await.unwrap();
        std::fs::write(&file, ring(3).text()).unwrap();
        hold(ring(3)).await.unwrap();
        task.abort();
    }

    #[tokio::test]
    async fn an_agent_does_not_start_without_keys_and_says_where_they_come_from() {
        let folder = tempfile::tempdir().unwrap();
        let error = from(folder.path()).await.unwrap_err();
        assert!(error.to_string().contains("the operator makes"), "{error}");
        std::fs::write(folder.path().join(ENTRY), vec![b'x'; 1 << 20]).unwrap();
        let error = from(folder.path()).await.unwrap_err();
        assert!(matches!(
            error,
            Error::Invalid {
                source: BadKeyring::TooLong,
                ..
            }
        ));
    }
}
