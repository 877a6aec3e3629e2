//! What is in a Pod's volumes: a pure function of their description and of what there is to put into them.
//!
//! Never touches a file and never asks for a token: which tokens are wanted is an answer, too.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, DownwardAPIProjection, HostPathVolumeSource,
    KeyToPath, PodSpec, ProjectedVolumeSource, SecretProjection, SecretVolumeSource, Volume,
    VolumeProjection,
};

use super::field::Fields;
use super::sources::{Entries, Sources};

#[cfg(test)]
mod tests;

/// How long a token lives unless somebody says how long.
const TOKEN_LIFE_S: i64 = 3600;

/// A token that a volume has in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish {
    /// Whom it is for; the API server if nobody is named.
    pub audience: Option<String>,
    /// How long it shall live.
    pub life_s: i64,
}

/// The tokens that there are.
pub type Tokens = BTreeMap<Wish, String>;

/// Why a volume cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// Something is not there yet.
    #[error("volume {volume:?} waits for {what}")]
    Missing {
        /// Which volume.
        volume: String,
        /// What.
        what: String,
    },
    /// The lab does not know this kind.
    #[error(
        "volume {0:?} is of a kind that this lab does not have: only projected, configMap, secret, emptyDir, and /proc/sys/net of the host"
    )]
    Unknown(String),
}

/// All tokens that a Pod's volumes have.
pub fn wishes(spec: &PodSpec) -> Vec<Wish> {
    let volumes = spec.volumes.iter().flatten();
    let projected = volumes.filter_map(|volume| volume.projected.as_ref());
    let projections = projected.flat_map(|projected| projected.sources.iter().flatten());
    projections.filter_map(wish).collect()
}

fn wish(projection: &VolumeProjection) -> Option<Wish> {
    let token = projection.service_account_token.as_ref()?;
    Some(Wish {
        audience: token.audience.clone(),
        life_s: token.expiration_seconds.unwrap_or(TOKEN_LIFE_S),
    })
}

/// The files of a volume; none for one that the Pod itself fills.
pub fn files(
    volume: &Volume,
    sources: &Sources,
    tokens: &Tokens,
    fields: &Fields,
) -> Result<Option<Entries>, Unfilled> {
    let found = match volume {
        Volume {
            empty_dir: Some(_), ..
        } => return Ok(None),
        // A process of the lab has its node's settings where they always are.
        Volume {
            host_path: Some(HostPathVolumeSource { path, .. }),
            ..
        } if path == "/proc/sys/net" => return Ok(None),
        Volume {
            config_map: Some(source),
            ..
        } => config_map(source, sources),
        Volume {
            secret: Some(source),
            ..
        } => secret(source, sources),
        Volume {
            projected: Some(source),
            ..
        } => projected(source, sources, tokens, fields),
        _ => return Err(Unfilled::Unknown(volume.name.clone())),
    };
    found.map(Some).map_err(|what| Unfilled::Missing {
        volume: volume.name.clone(),
        what,
    })
}

type Found = Result<Entries, String>;

/// One that is wanted, or may be missing.
struct Chosen<'a> {
    kind: &'static str,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    is_optional: bool,
}

impl Chosen<'_> {
    fn from(&self, all: Option<&BTreeMap<String, Entries>>) -> Found {
        let found = all.and_then(|all| all.get(self.name));
        match (found, self.items) {
            // What may be missing is waited for until it is known that it is.
            (None, _) if self.is_optional && all.is_some() => Ok(Entries::new()),
            (None, _) => Err(format!("{} {}", self.kind, self.name)),
            (Some(entries), None) => Ok(entries.clone()),
            (Some(entries), Some(items)) => self.choose(entries, items),
        }
    }

    fn choose(&self, entries: &Entries, items: &[KeyToPath]) -> Found {
        let mut chosen = Entries::new();
        for item in items {
            match entries.get(&item.key) {
                Some(content) => _ = chosen.insert(item.path.clone(), content.clone()),
                None if self.is_optional => {}
                None => return Err(format!("key {} of {} {}", item.key, self.kind, self.name)),
            }
        }
        Ok(chosen)
    }
}

fn config_map(source: &ConfigMapVolumeSource, sources: &Sources) -> Found {
    let chosen = Chosen {
        kind: "ConfigMap",
        name: &source.name,
        items: source.items.as_deref(),
        is_optional: source.optional.unwrap_or_default(),
    };
    chosen.from(sources.config_maps.as_ref())
}

fn secret(source: &SecretVolumeSource, sources: &Sources) -> Found {
    let chosen = Chosen {
        kind: "Secret",
        name: source.secret_name.as_deref().unwrap_or_default(),
        items: source.items.as_deref(),
        is_optional: source.optional.unwrap_or_default(),
    };
    chosen.from(sources.secrets.as_ref())
}

fn projected(
    source: &ProjectedVolumeSource,
    sources: &Sources,
    tokens: &Tokens,
    fields: &Fields,
) -> Found {
    let mut all = Entries::new();
    for projection in source.sources.iter().flatten() {
        all.extend(projection_of(projection, sources, tokens, fields)?);
    }
    Ok(all)
}

fn projection_of(
    projection: &VolumeProjection,
    sources: &Sources,
    tokens: &Tokens,
    fields: &Fields,
) -> Found {
    if let Some(ConfigMapProjection {
        name,
        items,
        optional,
    }) = &projection.config_map
    {
        let chosen = Chosen {
            kind: "ConfigMap",
            name,
            items: items.as_deref(),
            is_optional: optional.unwrap_or_default(),
        };
        return chosen.from(sources.config_maps.as_ref());
    }
    if let Some(SecretProjection {
        name,
        items,
        optional,
    }) = &projection.secret
    {
        let chosen = Chosen {
            kind: "Secret",
            name,
            items: items.as_deref(),
            is_optional: optional.unwrap_or_default(),
        };
        return chosen.from(sources.secrets.as_ref());
    }
    if let Some(token) = &projection.service_account_token {
        let found = wish(projection).and_then(|wish| tokens.get(&wish));
        let found = found.ok_or("a token of its service account")?;
        return Ok([(token.path.clone(), found.clone().into_bytes())].into());
    }
    if let Some(DownwardAPIProjection { items: Some(items) }) = &projection.downward_api {
        let file = |path: &str, field: &str| {
            let value = fields.get(field).map_err(|error| error.to_string())?;
            Ok((path.to_owned(), value.into_bytes()))
        };
        let items = items.iter().filter_map(|item| {
            let field = item.field_ref.as_ref()?;
            Some(file(&item.path, &field.field_path))
        });
        return items.collect();
    }
    Err("a projection that this lab does not have".to_owned())
}
