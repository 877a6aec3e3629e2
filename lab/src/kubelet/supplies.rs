//! The volumes of one Pod: filled before it starts, kept up to date while it lives.
//!
//! Owns their folders and tokens. What is in them is decided by [`volume`](super::volume).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::Client;
use tokio::time::Instant;

use super::field::Fields;
use super::folder::Folder;
use super::sources::Sources;
use super::token::{self, Issued};
use super::volume::{self, Tokens, Unfilled, Wish};

/// The API server may be away on purpose.
const LIMIT: Duration = Duration::from_secs(3);

/// Why the volumes are not as they should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum SupplyError {
    /// Something is missing.
    #[error(transparent)]
    Unfilled(#[from] Unfilled),
    /// No token.
    #[error("its service account's token was not issued: {0}")]
    Token(#[from] kube::Error),
    /// No token in time.
    #[error("its service account's token was not issued within {LIMIT:?}")]
    TooSlow,
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A Pod's volumes.
#[derive(Debug, Default)]
pub(super) struct Supplies {
    tokens: BTreeMap<Wish, Issued>,
    folders: BTreeMap<String, Folder>,
}

/// Where a volume is.
pub(super) fn place(home: &Path, volume: &str) -> PathBuf {
    home.join("volumes").join(volume)
}

impl Supplies {
    /// Makes all volumes of a Pod what they should be now, in its folder.
    pub(super) async fn refresh(
        &mut self,
        client: &Client,
        home: &Path,
        sources: &Sources,
        fields: Fields<'_>,
    ) -> Result<(), SupplyError> {
        self.renew(client, fields.pod).await?;
        let volumes = fields
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.volumes.as_ref());
        volumes
            .into_iter()
            .flatten()
            .try_for_each(|volume| self.fill(volume, home, sources, &fields))
    }

    /// When they have to be looked at again whatever happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.tokens.values().map(|issued| issued.renew_at).min()
    }

    async fn renew(&mut self, client: &Client, pod: &Pod) -> Result<(), SupplyError> {
        let now = Instant::now();
        for wish in pod.spec.iter().flat_map(volume::wishes) {
            let held = self.tokens.get(&wish);
            if held.is_some_and(|issued| issued.renew_at > now) {
                continue;
            }
            let issued = tokio::time::timeout(LIMIT, token::issue(client, pod, &wish)).await;
            let issued = issued.map_err(|_| SupplyError::TooSlow)??;
            // Without one, the volume is not filled, and says so.
            self.tokens.extend(issued.map(|issued| (wish, issued)));
        }
        Ok(())
    }

    fn fill(
        &mut self,
        volume: &Volume,
        home: &Path,
        sources: &Sources,
        fields: &Fields<'_>,
    ) -> Result<(), SupplyError> {
        let tokens = self.tokens.iter();
        let tokens: Tokens = tokens
            .map(|(wish, issued)| (wish.clone(), issued.token.clone()))
            .collect();
        let files = volume::files(volume, sources, &tokens, fields)?;
        let path = place(home, &volume.name);
        let written = self.folder(volume, &path).and_then(|folder| match &files {
            Some(files) => folder.write(files),
            None => Ok(()),
        });
        written.map_err(|source| SupplyError::Io { path, source })
    }

    fn folder(&mut self, volume: &Volume, path: &Path) -> io::Result<&mut Folder> {
        use std::collections::btree_map::Entry;
        Ok(match self.folders.entry(volume.name.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Folder::at(path.to_owned())?),
        })
    }
}
