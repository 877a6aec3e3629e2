//! What a container comes to: its program, arguments, environment and mounts, as a pure function of its Pod.
//!
//! Owns which manifests the lab can run; what it cannot is refused in words. Never starts anything.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Capabilities, Container, EnvVar, EnvVarSource};

use super::field::{Fields, UnknownField};
use crate::containment::RUN;
use crate::family::Families;
use crate::topology::api_address;

#[cfg(test)]
mod tests;

/// The images that the lab has, each as the program of its name.
pub const IMAGES: [&str; 3] = ["egret-operator", "egret-webhook", "egret-agent"];

/// Where the API server is for Pods: the lab has no Services without a kube-proxy.
fn api(families: Families) -> [(&'static str, String); 2] {
    let address = api_address(families.first());
    [
        ("KUBERNETES_SERVICE_HOST", address.to_string()),
        ("KUBERNETES_SERVICE_PORT", "6443".to_owned()),
    ]
}

/// Why a container cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrunnable {
    /// Its image is none of the lab's.
    #[error("this lab does not run image {0:?}: in Egret's namespace only {IMAGES:?}")]
    Image(String),
    /// It wants a volume elsewhere.
    #[error("{0} cannot be mounted in this lab: only what is below /run or /var/run")]
    MountPath(PathBuf),
    /// It wants a part of a volume.
    #[error("{0} cannot be mounted in this lab: subPath is not supported")]
    SubPath(PathBuf),
    /// Its environment comes from somewhere else.
    #[error("variable {0} cannot be set in this lab: only value and fieldRef are supported")]
    Variable(String),
    /// Its environment comes from whole objects.
    #[error("envFrom is not supported in this lab")]
    EnvFrom,
    /// It wants to know what the lab does not tell.
    #[error(transparent)]
    Field(#[from] UnknownField),
}

/// A container as the lab runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// The program's name in the lab's folder of programs, or a path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// The names of volumes, by where they are mounted.
    pub mounts: BTreeMap<PathBuf, String>,
    /// The only capabilities that it may have, if they are limited.
    pub capabilities: Option<Vec<String>>,
}

impl Runnable {
    /// What a container comes to.
    pub fn of(container: &Container, fields: &Fields) -> Result<Self, Unrunnable> {
        let image = container.image.as_deref().unwrap_or_default();
        let name = image_name(image);
        if !IMAGES.contains(&name) {
            return Err(Unrunnable::Image(image.to_owned()));
        }
        if container
            .env_from
            .as_ref()
            .is_some_and(|from| !from.is_empty())
        {
            return Err(Unrunnable::EnvFrom);
        }
        let env = environment(container.env.as_deref().unwrap_or_default(), fields)?;
        let words = |words: &Option<Vec<String>>| -> Vec<String> {
            let words = words.iter().flatten();
            words.map(|word| expand(word, &env)).collect()
        };
        let command = words(&container.command);
        let (program, first) = match command.split_first() {
            Some((program, rest)) => (PathBuf::from(program), rest.to_vec()),
            None => (PathBuf::from(name), Vec::new()),
        };
        Ok(Self {
            program: own_program(program),
            args: first.into_iter().chain(words(&container.args)).collect(),
            mounts: mounts(container)?,
            capabilities: capabilities(container),
            env,
        })
    }
}

/// The last word of an image, without registry, tag and digest.
fn image_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

/// In an image Egret's programs may be anywhere, here they are in one folder.
fn own_program(program: PathBuf) -> PathBuf {
    let name = program.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) if IMAGES.contains(&name) => PathBuf::from(name),
        _ => program,
    }
}

fn environment(list: &[EnvVar], fields: &Fields) -> Result<BTreeMap<String, String>, Unrunnable> {
    let api = api(fields.addresses.families()).map(|(name, value)| (name.to_owned(), value));
    let mut env = BTreeMap::from(api);
    for variable in list {
        let value = match &variable.value_from {
            None => expand(variable.value.as_deref().unwrap_or_default(), &env),
            Some(EnvVarSource {
                field_ref: Some(field),
                ..
            }) => fields.get(&field.field_path)?,
            Some(_) => return Err(Unrunnable::Variable(variable.name.clone())),
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

/// Puts values in the place of $(NAME). What names nothing stays, and $$ is a dollar.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut rest = text;
    let mut expanded = String::new();
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let name = after.strip_prefix('(').and_then(|it| it.split_once(')'));
        rest = match (name, after.strip_prefix('$')) {
            (Some((name, beyond)), _) if env.contains_key(name) => {
                expanded.push_str(env.get(name).map_or("", String::as_str));
                beyond
            }
            (_, Some(beyond)) => {
                expanded.push('$');
                beyond
            }
            _ => {
                expanded.push('$');
                after
            }
        };
    }
    expanded + rest
}

fn mounts(container: &Container) -> Result<BTreeMap<PathBuf, String>, Unrunnable> {
    let mounts = container.volume_mounts.iter().flatten();
    let mounts = mounts.map(|mount| {
        let path = PathBuf::from(&mount.mount_path);
        if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
            return Err(Unrunnable::SubPath(path));
        }
        let below = below_run(&path).ok_or(Unrunnable::MountPath(path))?;
        Ok((below, mount.name.clone()))
    });
    mounts.collect()
}

/// The same place below /run, which is also called /var/run.
fn below_run(path: &Path) -> Option<PathBuf> {
    let old_name = path.strip_prefix("/var/run");
    let inside = old_name.or_else(|_| path.strip_prefix(RUN)).ok()?;
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let is_inside = inside.components().next().is_some() && inside.components().all(is_plain);
    is_inside.then(|| Path::new(RUN).join(inside))
}

/// Only who drops all is limited to what it adds: what else an image has by default is up to its runtime.
fn capabilities(container: &Container) -> Option<Vec<String>> {
    let security = container.security_context.as_ref()?;
    let Capabilities { add, drop } = security.capabilities.as_ref()?;
    let drops_all = drop.iter().flatten().any(|name| name == "ALL");
    let added = add.iter().flatten();
    let plain = |name: &String| name.trim_start_matches("CAP_").to_ascii_lowercase();
    drops_all.then(|| added.map(plain).collect())
}
