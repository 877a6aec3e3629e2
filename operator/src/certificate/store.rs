//! What the certificates are kept in: two Secrets and two configurations.
//!
//! Owns how they are read and written. A Secret is written only if it is still as it was read, so of two operators one
//! reads anew. Never decides.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use egret_runtime::apply::{self, Error, How, Part, amend, apply, within_limit};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::issue::Pair;
use super::plan::{Registration, Root};
use super::read::{BUNDLE, CERTIFICATE, KEY, PREVIOUS, pem_of};
use super::registration::{self, Home, NAME, SERVICE};
use crate::write::MANAGER;

/// The Secret with the authority's key. Only the operator may read it.
pub const AUTHORITY: &str = "egret-ca";
/// The Secret with the webhook's certificate and key.
pub const LEAF: &str = "egret-webhook-tls";

/// Whatever somebody else has put there has to go: with another authority nobody could be asked. Not over a change
/// that has not been read, which may be the next authority.
const REGISTRATION: How = How {
    manager: MANAGER,
    part: Part::Object,
    force: true,
    if_unchanged: true,
};

/// Reads and writes.
#[derive(Debug, Clone)]
pub struct Store {
    namespace: String,
    secrets: Api<Secret>,
    slices: Api<EndpointSlice>,
    namespaces: Api<Namespace>,
    mutating: Api<MutatingWebhookConfiguration>,
    validating: Api<ValidatingWebhookConfiguration>,
}

/// Everything as it was read at one time.
#[derive(Debug, Clone)]
pub struct Stored {
    mutating: Option<MutatingWebhookConfiguration>,
    validating: Option<ValidatingWebhookConfiguration>,
    home: Option<Home>,
    /// The Secret of the webhook's certificate.
    pub leaf: Option<Secret>,
    /// The Secret of the authority.
    pub authority: Option<Secret>,
}

impl Store {
    /// For the webhook in this namespace.
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            secrets: Api::namespaced(client.clone(), namespace),
            slices: Api::namespaced(client.clone(), namespace),
            namespaces: Api::all(client.clone()),
            mutating: Api::all(client.clone()),
            validating: Api::all(client.clone()),
        }
    }

    /// Reads everything, the authority last. A configuration that another operator writes for a newer authority than the
    /// one read here has then changed since it was read, so writing an older bundle over it fails.
    pub async fn read(&self) -> Result<Stored, Error> {
        let mutating = within_limit(self.mutating.get_opt(NAME)).await?;
        let validating = within_limit(self.validating.get_opt(NAME)).await?;
        let home = within_limit(self.namespaces.get_opt(&self.namespace)).await?;
        let leaf = within_limit(self.secrets.get_opt(LEAF)).await?;
        Ok(Stored {
            mutating,
            validating,
            home: home.and_then(|namespace| self.home(namespace.metadata)),
            leaf,
            authority: within_limit(self.secrets.get_opt(AUTHORITY)).await?,
        })
    }

    /// A namespace that is going takes no new objects, and the registration is to go with it.
    fn home(&self, namespace: ObjectMeta) -> Option<Home> {
        let uid = namespace.uid?;
        namespace.deletion_timestamp.is_none().then(|| Home {
            namespace: self.namespace.clone(),
            uid,
        })
    }

    /// Stores an authority, with those before it that are still trusted.
    pub async fn write_authority(
        &self,
        current: Option<&Secret>,
        authority: &Pair,
        previous: &[Root],
    ) -> Result<(), Error> {
        let data = [
            (CERTIFICATE, authority.certificate.clone()),
            (KEY, authority.key.clone()),
            (PREVIOUS, pem_of(previous)),
        ];
        self.write(AUTHORITY, current, data).await
    }

    /// Stores the webhook's certificate, with what is trusted.
    pub async fn write_leaf(
        &self,
        current: Option<&Secret>,
        leaf: &Pair,
        bundle: &str,
    ) -> Result<(), Error> {
        let data = [
            (CERTIFICATE, leaf.certificate.clone()),
            (KEY, leaf.key.clone()),
            (BUNDLE, bundle.to_owned()),
        ];
        self.write(LEAF, current, data).await
    }

    /// Stores what is trusted beside the webhook's certificate, which stays.
    pub async fn write_bundle(&self, current: Option<&Secret>, bundle: &str) -> Result<(), Error> {
        self.write(LEAF, current, [(BUNDLE, bundle.to_owned())])
            .await
    }

    /// Puts these entries into a Secret; an empty one is taken out. Fails with a conflict if it is not as it was read.
    async fn write<const N: usize>(
        &self,
        name: &str,
        current: Option<&Secret>,
        entries: [(&str, String); N],
    ) -> Result<(), Error> {
        let mut secret = current.cloned().unwrap_or_else(|| new_secret(name));
        let data = secret.data.get_or_insert_default();
        for (entry, text) in entries {
            if text.is_empty() {
                data.remove(entry);
            } else {
                data.insert(entry.to_owned(), ByteString(text.into_bytes()));
            }
        }
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        if current.is_some() {
            within_limit(self.secrets.replace(name, &params, &secret)).await?;
        } else {
            within_limit(self.secrets.create(&params, &secret)).await?;
        }
        Ok(())
    }

    /// Brings both configurations to what they should be.
    pub async fn register(&self, stored: &Stored, bundle: &str) -> Result<(), Error> {
        // Without its namespace the webhook is gone, or going.
        let Some(home) = &stored.home else {
            return Ok(());
        };
        let wanted = registration::mutating(home, bundle);
        bring(&self.mutating, stored.mutating.as_ref(), &wanted).await?;
        let wanted = registration::validating(home, bundle);
        bring(&self.validating, stored.validating.as_ref(), &wanted).await
    }

    /// Where the webhook's replicas are, ready or not.
    pub async fn replicas(&self) -> Result<Vec<SocketAddr>, Error> {
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={SERVICE}"));
        let slices = within_limit(self.slices.list(&params)).await?;
        Ok(slices.items.iter().flat_map(addresses).collect())
    }
}

impl Stored {
    /// Whether the webhook's namespace is there.
    pub fn has_home(&self) -> bool {
        self.home.is_some()
    }

    /// What the API server knows of the webhook, compared with what it should. Absent if it cannot be otherwise.
    pub fn registration(&self, bundle: Option<&str>) -> Result<Registration, Error> {
        let Some(home) = &self.home else {
            return Ok(Registration::Absent);
        };
        if self.mutating.is_none() && self.validating.is_none() {
            return Ok(Registration::Absent);
        }
        Ok(Registration::Present {
            trusted: registration::trusted(self.mutating.as_ref(), self.validating.as_ref()),
            is_right: match bundle {
                Some(bundle) => self.is_right(home, bundle)?,
                None => false,
            },
        })
    }

    fn is_right(&self, home: &Home, bundle: &str) -> Result<bool, Error> {
        let (mutating, validating) = (
            registration::mutating(home, bundle),
            registration::validating(home, bundle),
        );
        Ok(is_as(self.mutating.as_ref(), &mutating)?
            && is_as(self.validating.as_ref(), &validating)?)
    }
}

/// Applies what is owned, then takes away what others have put into it: in this order, for what a patch changes is not
/// owned any more by whoever has applied it.
async fn bring<K>(api: &Api<K>, current: Option<&K>, wanted: &Value) -> Result<(), Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let applied = apply(api, NAME, current, wanted, REGISTRATION).await?;
    let Some(now) = applied.as_ref().or(current) else {
        return Ok(());
    };
    if let Some(webhooks) = registration::mended(&serde_json::to_value(now)?, wanted) {
        let patch = json!({ "webhooks": webhooks });
        amend(api, now, &patch, MANAGER, Part::Object).await?;
    }
    Ok(())
}

fn is_as<K>(current: Option<&K>, wanted: &Value) -> Result<bool, Error>
where
    K: Resource + Serialize,
{
    let Some(current) = current else {
        return Ok(false);
    };
    Ok(apply::is_as_wanted(current, wanted, REGISTRATION)?
        && registration::mended(&serde_json::to_value(current)?, wanted).is_none())
}

fn new_secret(name: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    }
}

/// Every address of a slice, at the slice's port: the webhook's Service has one.
fn addresses(slice: &EndpointSlice) -> Vec<SocketAddr> {
    let mut ports = slice.ports.iter().flatten();
    let Some(port) = ports.find_map(|port| u16::try_from(port.port?).ok()) else {
        return Vec::new();
    };
    let all = slice
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.addresses);
    all.filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, port))
        .collect()
}
