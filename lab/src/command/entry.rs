//! Commands that run inside the lab: `exec`, `kubectl`, `curl`, `stream`, `seen`.
//!
//! Each enters the lab's namespaces first, and ends with the lab: other programs by getting its PIDs,
//! requests, which this process makes itself, by holding a connection to the supervisor.

use std::io::{IsTerminal, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use egret_lab::control::Control;
use egret_lab::control_plane;
use egret_lab::credentials::ADMIN;
use egret_lab::family;
use egret_lab::home::Home;
use egret_lab::isolation::exit_code;
use egret_lab::namespace::{Depth, enter};
use egret_lab::offers::Offers;
use egret_lab::request::{self, Family};
use egret_lab::stream::Stream;
use egret_lab::topology::{PodKey, Target, ext_url};
use egret_lab::underlay::SEEN_TABLE;
use http::Uri;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments;

const CURL_LIMIT: Duration = Duration::from_secs(3);

/// Enters the lab; the connection to its supervisor.
fn go_in(home: &Home, target: &Target, depth: Depth) -> Result<Control> {
    let control = Control::connect(home)?;
    enter(control.supervisor()?, target, depth)?;
    Ok(control)
}

/// Does something for as long as the lab lives.
fn do_while_up<T>(lab: Control, work: impl Future<Output = T>) -> Result<T> {
    runtime()?.block_on(async {
        tokio::select! {
            result = work => Ok(result),
            end = lab.ended() => {
                end?;
                bail!("the lab has ended meanwhile")
            }
        }
    })
}

/// One thread only: a process that has entered other PIDs cannot have more.
fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Runs a command at a target with this process's input and output.
pub(crate) fn exec(home: &Home, target: &Target, line: &[String]) -> Result<i32> {
    go_in(home, target, Depth::All)?;
    runtime()?.block_on(attend(command(home, line)))
}

/// Runs kubectl in the lab.
pub(crate) fn kubectl(home: &Home, args: &[String]) -> Result<i32> {
    let spec = home
        .read_spec()
        .or_else(|_| bail!(egret_lab::control::ControlError::NotUp))?;
    let program = spec.kubectl.display().to_string();
    let line: Vec<String> = std::iter::once(&program).chain(args).cloned().collect();
    exec(home, &Target::Lab, &line)
}

/// A command that dies with this process, whatever ends that.
fn command(home: &Home, line: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(line)
        .env("KUBECONFIG", home.kubeconfig(ADMIN))
        .env("KUBECACHEDIR", home.folder().join("kube-cache"));
    command
}

/// Waits for a command's end and passes on the signals that this process gets meanwhile.
async fn attend(mut command: Command) -> Result<i32> {
    let mut child = command.spawn().context("setpriv could not be started")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let is_interactive = std::io::stdin().is_terminal();
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            // A terminal sends it to both of us.
            _ = interrupt.recv() => if !is_interactive { pass(&child, Signal::SIGINT) },
            _ = terminate.recv() => pass(&child, Signal::SIGTERM),
            _ = hangup.recv() => pass(&child, Signal::SIGHUP),
        }
    }
}

fn pass(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended just now.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Requests a URL from a Pod.
pub(crate) fn curl(home: &Home, curl: &arguments::Curl) -> Result<i32> {
    let (family, wanted) = match (curl.four, curl.six) {
        (true, _) => (Family::V4, Some(family::Family::V4)),
        (_, true) => (Family::V6, Some(family::Family::V6)),
        _ => (Family::Any, None),
    };
    let url = url(home, curl.url.as_deref(), wanted)?;
    let lab = go_in(home, &Target::Pod(curl.pod.clone()), Depth::Network)?;
    let body = do_while_up(lab, request::get(&url, family, CURL_LIMIT))?;
    let body = body.with_context(|| format!("{} got nothing from {url}", curl.pod))?;
    std::io::stdout().write_all(&body)?;
    Ok(0)
}

/// What to request: the external host, unless a URL was given.
fn url(home: &Home, given: Option<&str>, wanted: Option<family::Family>) -> Result<Uri> {
    let families = home.read_spec()?.families;
    let family = wanted.unwrap_or(families.first());
    if !families.has(family) {
        bail!("this lab has no addresses of that family: `hack/lab up --family dual` has both");
    }
    let url = given.map_or_else(|| ext_url(family), str::to_owned);
    url.parse().with_context(|| format!("{url:?} is not a URL"))
}

/// Sends a stream of requests from a Pod.
pub(crate) fn stream(home: &Home, stream: &arguments::Stream) -> Result<i32> {
    let wanted = stream.six.then_some(family::Family::V6);
    let url = url(home, stream.url.as_deref(), wanted)?;
    let length = Duration::from_secs(stream.seconds.into());
    let pod: PodKey = stream.pod.clone();
    let lab = go_in(home, &Target::Pod(pod), Depth::Network)?;
    let stream = Stream {
        url,
        rate: stream.rate,
        length,
        live: stream.live,
    };
    let summary = do_while_up(lab, stream.run())?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(0)
}

/// Offers an Egress again and again.
pub(crate) fn offer(home: &Home, offer: &arguments::Offer) -> Result<i32> {
    let egress = serde_json::from_reader(std::io::stdin());
    let offers = Offers {
        egress: egress.context("standard input is no JSON")?,
        rate: offer.rate,
        length: Duration::from_secs(offer.seconds.into()),
    };
    let lab = go_in(home, &Target::Lab, Depth::Network)?;
    let run = async {
        let client = control_plane::client(home).await?;
        anyhow::Ok(offers.run(&client).await)
    };
    println!("{}", serde_json::to_string(&do_while_up(lab, run)??)?);
    Ok(0)
}

/// Prints or forgets the source addresses that the external host has seen.
pub(crate) fn seen(home: &Home, reset: bool) -> Result<i32> {
    go_in(home, &Target::Ext, Depth::All)?;
    for header in ["ip", "ip6"] {
        let set = ["set", header, SEEN_TABLE, "seen"];
        let command: &[&str] = if reset { &["flush"] } else { &["-j", "list"] };
        let (status, text) = output(&[command, &set[..]].concat())?;
        if !status.success() {
            return Ok(exit_code(status));
        }
        if reset {
            continue;
        }
        for (address, packets) in sources(&serde_json::from_slice(&text)?) {
            println!("{address} {packets}");
        }
    }
    Ok(0)
}

fn output(args: &[&str]) -> Result<(ExitStatus, Vec<u8>)> {
    let mut command = std::process::Command::new("nft");
    let output = command.args(args).stderr(Stdio::inherit()).output();
    let output = output.context("nft could not be started; is it installed?")?;
    Ok((output.status, output.stdout))
}

/// The elements of the set in nft's JSON.
fn sources(listing: &Value) -> Vec<(String, u64)> {
    let objects = listing
        .get("nftables")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let sets = objects.filter_map(|object| object.pointer("/set/elem")?.as_array());
    let source = |element: &Value| {
        let address = element.pointer("/elem/val")?.as_str()?.to_owned();
        Some((address, element.pointer("/elem/counter/packets")?.as_u64()?))
    };
    sets.flatten().filter_map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_from_nfts_listing() {
        let listing = serde_json::json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"set": {"name": "seen", "elem": [
                {"elem": {"val": "10.10.0.101", "counter": {"packets": 3, "bytes": 180}}},
            ]}},
        ]});
        assert_eq!(sources(&listing), [("10.10.0.101".to_owned(), 3)]);
    }
}
