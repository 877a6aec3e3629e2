//! `pod` and `pods`.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use egret_lab::control::{Control, PodRequest, Reply, Request};
use egret_lab::home::Home;
use egret_lab::topology::PodKey;

use super::ask;
use crate::arguments::{Pod, PodCommand, Pods};

/// Makes one Pod, or removes one.
pub(crate) fn pod(home: &Home, pod: Pod) -> Result<i32> {
    if let Some(PodCommand::Rm { name, namespace }) = pod.remove {
        return ask(home, &Request::RemovePod(PodKey { namespace, name }));
    }
    let request = PodRequest {
        name: pod.name.context("say the Pod's name")?,
        namespace: pod.namespace,
        node: pod.node.context("say the Pod's node")?,
        labels: pod.labels.into_iter().collect(),
    };
    run(home, vec![request])
}

/// Makes the Pods of a file.
pub(crate) fn pods(home: &Home, pods: &Pods) -> Result<i32> {
    let Pods::Apply { file } = pods;
    let text = read(file).with_context(|| file.display().to_string())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let requests = lines.map(|line| {
        serde_json::from_str::<PodRequest>(line).with_context(|| format!("not a Pod: {line}"))
    });
    run(home, requests.collect::<Result<_>>()?)
}

fn read(file: &Path) -> std::io::Result<String> {
    if file != Path::new("-") {
        return fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn run(home: &Home, pods: Vec<PodRequest>) -> Result<i32> {
    match Control::connect(home)?.ask(&Request::RunPods(pods))? {
        Reply::Addresses(addresses) => {
            for address in addresses {
                println!("{address}");
            }
            Ok(0)
        }
        other => bail!("the lab's supervisor answered something else: {other:?}"),
    }
}
