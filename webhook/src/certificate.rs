//! The certificate that the webhook serves.
//!
//! Owns which one that is at any moment: the last that the operator has stored and that could be used. It comes by a watch
//! of its Secret, within milliseconds, and is taken for the next connection; those that are open go on. Never writes,
//! and never serves a certificate without its key.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use egret_runtime::ready::Awaited;
use egret_runtime::watch::{Event, Guarded, watch};
use egret_runtime::{Failure, describe};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tracing::{error, info, warn};

/// The Secret that the operator keeps the certificate in.
pub const SECRET: &str = "egret-webhook-tls";

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why a Secret holds no certificate that can be served.
#[derive(Debug, Error)]
pub enum Unusable {
    /// Something is not in it.
    #[error("it has no {0}")]
    Lacks(&'static str),
    /// Something in it is not PEM.
    #[error("{0} is not in PEM")]
    Pem(&'static str, #[source] PemError),
    /// The key cannot be used, or is another certificate's.
    #[error("{KEY} is not the key of {CERTIFICATE}")]
    Key(#[from] rustls::Error),
}

/// What is served now; nothing until the first certificate has come. Clones serve the same.
#[derive(Debug, Clone, Default)]
pub struct Served(Arc<ArcSwapOption<CertifiedKey>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl Served {
    /// The settings of a TLS server that serves this. Sessions are not resumed: a client that resumes one goes on with the
    /// certificate that it was begun with.
    pub fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    /// Serves what a Secret holds from now on; if that cannot be used, what was served before.
    pub fn take(&self, secret: &Secret) -> Result<(), Unusable> {
        let pair = pair(secret)?;
        self.0.store(Some(Arc::new(pair)));
        Ok(())
    }

    /// Whether anything is served yet.
    fn is_empty(&self) -> bool {
        self.0.load().is_none()
    }
}

fn pair(secret: &Secret) -> Result<CertifiedKey, Unusable> {
    let chain = CertificateDer::pem_slice_iter(entry(secret, CERTIFICATE)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Unusable::Pem(CERTIFICATE, error))?;
    if chain.is_empty() {
        return Err(Unusable::Pem(CERTIFICATE, PemError::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(entry(secret, KEY)?)
        .map_err(|error| Unusable::Pem(KEY, error))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

fn entry<'a>(secret: &'a Secret, name: &'static str) -> Result<&'a [u8], Unusable> {
    let found = secret.data.as_ref().and_then(|data| data.get(name));
    found
        .map(|bytes| bytes.0.as_slice())
        .ok_or(Unusable::Lacks(name))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Serves what the operator stores in this namespace, for ever; `ready` is done with the first certificate.
pub async fn follow(client: Client, namespace: &str, served: Served, ready: Awaited) {
    let api: Api<Guarded<Secret>> = Api::namespaced(client, namespace);
    let config = Config::default().fields(&format!("metadata.name={SECRET}"));
    take_all(watch::<Secret>(api, config), &served, ready).await;
}

async fn take_all(
    mut events: impl Stream<Item = Event<Secret>> + Unpin,
    served: &Served,
    ready: Awaited,
) {
    let mut ready = Some(ready);
    while let Some(event) = events.next().await {
        note(event, served);
        if !served.is_empty()
            && let Some(ready) = ready.take()
        {
            ready.done();
        }
    }
}

fn note(event: Event<Secret>, served: &Served) {
    match event {
        Event::Applied(secret) => match served.take(&secret) {
            Ok(()) => info!(
                secret = SECRET,
                version = secret.metadata.resource_version,
                "certificate taken"
            ),
            Err(unusable) => refused(&unusable.into()),
        },
        Event::Undecodable { error, .. } => refused(&error.into()),
        Event::Deleted(_) => warn!(
            secret = SECRET,
            "certificate deleted: the last one is served on"
        ),
        Event::Synced if served.is_empty() => {
            info!(secret = SECRET, "no certificate yet: the operator makes it");
        }
        Event::Synced => {}
    }
}

/// The operator looks at the same Secret and makes it anew.
fn refused(failure: &Failure) {
    let error = describe(failure.as_ref());
    error!(
        secret = SECRET,
        error, "certificate cannot be used: the last one is served on"
    );
}

#[cfg(test)]
mod tests;
