//! nftables: elements to text for `nft`, and what `nft` lists back to elements.
//!
//! Owns the running of `nft`. Everything goes through one `nft -f -` and so is one transaction of the kernel. Text in,
//! for frame and elements alike; JSON out (ADR 0002). Never handles names or texts of users, only addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};
use std::net::IpAddr;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use egret_domain::datapath::{Change, Element};
use egret_domain::net::{Cidr, Family, Mac};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Error;
use super::frame::{self, Chain, TableFamily};
use super::settings::{Settings, TABLE};

/// Loading the largest table takes well under a second; a hanging nft must not stop the agent.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Runs one transaction.
pub(super) async fn run(commands: &str) -> Result<(), Error> {
    nft(&["-f", "-"], commands).await.map(drop)
}

/// Asks the kernel whether it could load these commands, and loads nothing.
pub(super) async fn check(commands: &str) -> Result<(), Error> {
    match nft(&["-c", "-f", "-"], commands).await {
        Err(Error::Nft(why)) => Err(Error::NoNftables(why)),
        result => result.map(drop),
    }
}

/// The chains and elements that stand in Egret's tables for these families; `None` if one of the tables is missing.
pub(super) async fn list(families: &'static [Family]) -> Result<Option<Listing>, Error> {
    let mut listing = Listing::of(families);
    for family in TableFamily::of(families) {
        match nft(&["-j", "list", "table", family.as_str(), TABLE], "").await {
            Ok(json) => listing.read(family, &json)?,
            Err(Error::Nft(why)) if why.contains("No such file or directory") => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(listing))
}

async fn nft(arguments: &[&str], input: &str) -> Result<Vec<u8>, Error> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::NoNft)?;
    let stdin = child.stdin.take();
    let exchange = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, exchange)
        .await
        .map_err(|_| Error::NftTimedOut(LIMIT.as_secs()))?
        .map_err(Error::NoNft)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(Error::Nft(
            errors.lines().take(3).collect::<Vec<_>>().join(" "),
        ))
    }
}

/// The commands for a list of changes, one per set and direction, in the order of the list.
pub(super) fn commands(changes: &[Change], settings: &Settings) -> String {
    let mut removed = BTreeMap::<Place, Vec<String>>::new();
    let mut added = BTreeMap::<Place, Vec<String>>::new();
    for change in changes {
        match change {
            Change::Remove(element) => {
                for (place, key, _) in entries(element, settings) {
                    removed.entry(place).or_default().push(key);
                }
            }
            Change::Add(element) => {
                for (place, key, value) in entries(element, settings) {
                    let value = value.map(|value| format!(" : {value}")).unwrap_or_default();
                    added
                        .entry(place)
                        .or_default()
                        .push(format!("{key}{value}"));
                }
            }
        }
    }
    let mut text = String::new();
    for (verb, places) in [("delete", removed), ("add", added)] {
        for ((family, name), entries) in places {
            let family = family.as_str();
            let entries = entries.join(", ");
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{verb} element {family} {TABLE} {name} {{ {entries} }}"
            );
        }
    }
    text
}

/// A set or map: family and name.
pub(super) type Place = (TableFamily, &'static str);

/// The entries that make up an element: where, key and value.
pub(super) fn entries(
    element: &Element,
    settings: &Settings,
) -> Vec<(Place, String, Option<String>)> {
    let table = TableFamily::from(element.family());
    let entry = |name, key: &dyn ToString| ((table, name), key.to_string(), None);
    let pair = |name, key: &dyn ToString, value: &dyn ToString| {
        ((table, name), key.to_string(), Some(value.to_string()))
    };
    let of_link =
        |name, key: &dyn ToString, value| ((TableFamily::Netdev, name), key.to_string(), value);
    match element {
        Element::Except(cidr) => vec![entry("except", cidr)],
        Element::Peer(ip) => vec![entry("peers", ip)],
        Element::Remote { pod, identity } => {
            let map = frame::identities(element.family());
            let identity = identity.map(|identity| of_link(map, pod, Some(identity.to_string())));
            [entry("remote", pod)].into_iter().chain(identity).collect()
        }
        Element::Local { pod, egress_ip } => vec![
            entry("here", pod),
            pair("local", pod, egress_ip),
            pair("local_zone", pod, &settings.zone_of(*egress_ip)),
            entry("local_pair", &concatenated(pod, egress_ip)),
        ],
        Element::Gateway {
            identity,
            egress_ip,
        } => vec![
            pair("gateway", identity, egress_ip),
            pair("zone", identity, &settings.zone_of(*egress_ip)),
            entry("pair", &concatenated(identity, egress_ip)),
            of_link("held", identity, None),
        ],
        Element::Guard(ip) => vec![entry("guarded", ip)],
        Element::Elsewhere(ip) => vec![entry("elsewhere", ip)],
        // Not in nftables.
        Element::Forward { .. } | Element::Address(_) => Vec::new(),
    }
}

fn concatenated(first: &dyn Display, second: &dyn Display) -> String {
    format!("{first} . {second}")
}

/// A key, and the value in a map.
type Entry = (String, Option<String>);

/// What stands in Egret's tables.
#[derive(Debug)]
pub(super) struct Listing {
    /// The families whose tables were read.
    families: &'static [Family],
    /// The comments of the rules of each chain.
    rules: BTreeMap<(TableFamily, String), Vec<String>>,
    /// The entries of each set: key, and value in a map.
    sets: BTreeMap<(TableFamily, String), BTreeMap<String, Option<String>>>,
    /// Whether there is an entry that none of Egret's looks like: it cannot be named, and so not be removed alone.
    has_strangers: bool,
}

#[derive(Deserialize)]
struct Listed {
    nftables: Vec<Value>,
}

impl Listing {
    /// One without anything in it.
    pub(super) fn of(families: &'static [Family]) -> Self {
        Self {
            families,
            rules: BTreeMap::new(),
            sets: BTreeMap::new(),
            has_strangers: false,
        }
    }

    fn read(&mut self, family: TableFamily, json: &[u8]) -> Result<(), Error> {
        let listed: Listed = serde_json::from_slice(json).map_err(Error::Listing)?;
        for object in &listed.nftables {
            let text = |object: &Value, field| {
                object
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            if let Some(chain) = object.get("chain") {
                self.rules.entry((family, text(chain, "name"))).or_default();
            } else if let Some(rule) = object.get("rule") {
                let chain = self.rules.entry((family, text(rule, "chain"))).or_default();
                chain.push(text(rule, "comment"));
            } else if let Some(set) = object.get("set").or_else(|| object.get("map")) {
                self.read_set(family, text(set, "name"), set);
            }
        }
        Ok(())
    }

    fn read_set(&mut self, family: TableFamily, name: String, set: &Value) {
        let listed = set.get("elem").and_then(Value::as_array);
        let mut entries = BTreeMap::new();
        for entry in listed.into_iter().flatten() {
            let Some((key, value)) = entry_of(entry) else {
                self.has_strangers = true;
                continue;
            };
            let key = if name == "except" {
                as_network(key)
            } else {
                key
            };
            entries.insert(key, value);
        }
        self.sets.insert((family, name), entries);
    }

    /// Whether these chains and all sets stand as they should, and nothing else.
    pub(super) fn is_frame(&self, chains: &[Chain]) -> bool {
        let should: BTreeMap<_, Vec<_>> = chains
            .iter()
            .map(|chain| {
                let rules = chain
                    .rules
                    .iter()
                    .map(|rule| chain.fingerprint(rule))
                    .collect();
                ((chain.family, chain.name.to_owned()), rules)
            })
            .collect();
        let sets: BTreeSet<_> = frame::sets(self.families)
            .into_iter()
            .map(|set| (set.family, set.name.to_owned()))
            .collect();
        !self.has_strangers
            && self.rules == should
            && self.sets.keys().cloned().collect::<BTreeSet<_>>() == sets
    }

    /// The elements that stand whole. Halves of elements (somebody has removed the rest) are in [`Self::debris`].
    pub(super) fn elements(&self, settings: &Settings) -> BTreeSet<Element> {
        let families = self.families.iter();
        families
            .flat_map(|family| self.elements_of(*family))
            .filter(|element| self.is_whole(element, settings))
            .collect()
    }

    fn elements_of(&self, family: Family) -> Vec<Element> {
        let table = TableFamily::from(family);
        let identities = self.pairs::<IpAddr, Mac>(TableFamily::Netdev, frame::identities(family));
        let remotes = self.keys::<IpAddr>(table, "remote").into_iter();
        let elsewhere = self.keys(table, "elsewhere").into_iter();
        let local = self.pairs(table, "local").into_iter();
        let gateway = self.pairs(table, "gateway").into_iter();
        remotes
            .map(|pod| Element::Remote {
                pod,
                identity: identities.get(&pod).copied(),
            })
            .chain(self.keys(table, "except").into_iter().map(Element::Except))
            .chain(self.keys(table, "peers").into_iter().map(Element::Peer))
            .chain(self.keys(table, "guarded").into_iter().map(Element::Guard))
            .chain(elsewhere.map(Element::Elsewhere))
            .chain(local.map(|(pod, egress_ip)| Element::Local { pod, egress_ip }))
            .chain(gateway.map(|(identity, egress_ip)| Element::Gateway {
                identity,
                egress_ip,
            }))
            .collect()
    }

    fn is_whole(&self, element: &Element, settings: &Settings) -> bool {
        let mut entries = entries(element, settings).into_iter();
        entries.all(|((family, name), key, value)| {
            let set = self.sets.get(&(family, name.to_owned()));
            set.and_then(|set| set.get(&key)) == Some(&value)
        })
    }

    /// The commands that remove every entry that belongs to no whole element.
    pub(super) fn debris(&self, settings: &Settings) -> String {
        let elements = self.elements(settings);
        let whole: BTreeSet<_> = elements
            .iter()
            .flat_map(|element| entries(element, settings))
            .map(|((family, name), key, _)| (family, name.to_owned(), key))
            .collect();
        let mut text = String::new();
        for ((family, name), entries) in &self.sets {
            let is_loose =
                |key: &&str| !whole.contains(&(*family, name.clone(), (*key).to_owned()));
            let keys = entries.keys().map(String::as_str);
            let loose: Vec<_> = keys.filter(is_loose).collect();
            if !loose.is_empty() {
                let (family, loose) = (family.as_str(), loose.join(", "));
                // Writing to a string cannot fail.
                let _ = writeln!(text, "delete element {family} {TABLE} {name} {{ {loose} }}");
            }
        }
        text
    }

    fn entries(
        &self,
        family: TableFamily,
        name: &str,
    ) -> impl Iterator<Item = (&str, Option<&str>)> {
        let set = self.sets.get(&(family, name.to_owned()));
        let entries = set.into_iter().flatten();
        entries.map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    fn keys<K: FromStr + Ord>(&self, family: TableFamily, name: &str) -> BTreeSet<K> {
        self.entries(family, name)
            .filter_map(|(key, _)| key.parse().ok())
            .collect()
    }

    fn pairs<K: FromStr + Ord, V: FromStr>(
        &self,
        family: TableFamily,
        name: &str,
    ) -> BTreeMap<K, V> {
        self.entries(family, name)
            .filter_map(|(key, value)| Some((key.parse().ok()?, value?.parse().ok()?)))
            .collect()
    }
}

/// An entry as `nft -j` lists it: a key, or `[key, value]`. A key or value is a text, a number, a prefix or a concatenation.
fn entry_of(entry: &Value) -> Option<Entry> {
    match entry {
        Value::Array(pair) => {
            let [key, value] = pair.as_slice() else {
                return None;
            };
            Some((key_of(key)?, Some(key_of(value)?)))
        }
        key => Some((key_of(key)?, None)),
    }
}

fn key_of(key: &Value) -> Option<String> {
    if let Some(text) = key.as_str() {
        // IPv6 addresses have several spellings.
        let address = text.parse::<IpAddr>().map(|address| address.to_string());
        return Some(address.unwrap_or_else(|_| text.to_owned()));
    }
    if let Some(number) = key.as_u64() {
        return Some(number.to_string());
    }
    if let Some(parts) = key.get("concat") {
        let parts: Option<Vec<_>> = parts.as_array()?.iter().map(key_of).collect();
        return Some(parts?.join(" . "));
    }
    if let Some(prefix) = key.get("prefix") {
        let address: IpAddr = prefix.get("addr")?.as_str()?.parse().ok()?;
        let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        return Cidr::new(address, length).map(|cidr| cidr.to_string());
    }
    key.get("elem").and_then(|elem| key_of(elem.get("val")?))
}

/// Of a network of one address `nft` lists the address alone.
fn as_network(key: String) -> String {
    let address = key.parse().map(Cidr::host);
    address.map_or(key, |network| network.to_string())
}

#[cfg(test)]
mod tests;
