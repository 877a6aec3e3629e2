//! The configuration: two documents as Antrea has them, read strictly.
//!
//! Owns their keys, values and defaults, for operator and agent alike. Everything that is wrong is told at once, with what
//! to write instead; what only concerns Antrea is accepted and listed. Never reads a file or an object.

mod known;

use std::collections::{BTreeMap, BTreeSet};

use egret_domain::net::Cidr;
use egret_domain::problem::{Problem, Problems};
use serde_json::{Map, Value};

use self::known::{Key, Known};
use crate::digest;

/// The document of Antrea's controller.
pub const CONTROLLER: &str = "antrea-controller.conf";
/// The document of Antrea's agent.
pub const AGENT: &str = "antrea-agent.conf";

/// How many egress IPs of pools a node may hold where nothing is said.
const USUAL_MAX_EGRESS_IPS: u16 = 255;
const MOST_EGRESS_IPS: u16 = 10_000;
/// Of excepted networks, no more than this many.
const MOST_EXCEPT_CIDRS: usize = 1000;
/// A document is not larger than a `ConfigMap` may be.
const MOST_BYTES: usize = 1 << 20;

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether Egret does anything at all.
    pub enabled: bool,
    /// Destinations to which no Pod's traffic gets an egress IP: sorted, each once.
    pub except_cidrs: BTreeSet<Cidr>,
    /// How many egress IPs of pools a node may hold, unless its annotation says otherwise.
    pub max_egress_ips_per_node: u16,
    /// Whether source ports are chosen at random instead of kept where they are free.
    pub snat_fully_random_ports: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            except_cidrs: BTreeSet::new(),
            max_egress_ips_per_node: USUAL_MAX_EGRESS_IPS,
            snat_fully_random_ports: false,
        }
    }
}

/// Settings, and what of the documents has no part in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is configured.
    pub settings: Settings,
    /// Keys of Antrea that do not concern Egret, with their document.
    pub ignored: Vec<String>,
}

/// The documents, by their names.
pub type Documents = BTreeMap<String, String>;

impl Settings {
    /// What tells these settings from others, in few characters.
    pub fn digest(&self) -> String {
        let documents = self.documents();
        let text: String = documents.into_values().collect();
        digest::short(text.as_bytes())
    }

    /// Documents that are read as these settings.
    pub fn documents(&self) -> Documents {
        let networks = self.except_cidrs.iter();
        let networks: Vec<_> = networks.map(|cidr| format!("\"{cidr}\"")).collect();
        let Self {
            enabled,
            max_egress_ips_per_node,
            snat_fully_random_ports,
            ..
        } = self;
        let text = format!(
            "featureGates:\n  Egress: {enabled}\negress:\n  exceptCIDRs: [{}]\n  maxEgressIPsPerNode: {max_egress_ips_per_node}\n  \
             snatFullyRandomPorts: {snat_fully_random_ports}\n",
            networks.join(", ")
        );
        Documents::from([(AGENT.to_owned(), text)])
    }
}

/// Reads all documents, or tells everything that is wrong with any of them.
pub fn read(documents: &Documents) -> Result<Reading, Problems> {
    let mut reader = Reader::default();
    for (name, text) in documents {
        match known::DOCUMENTS.iter().find(|known| known.name == name) {
            Some(document) => reader.document(document.name, document.keys, text),
            None if known::OTHER_DOCUMENTS.contains(&name.as_str()) => {
                reader.ignored.push(name.clone());
            }
            None => {
                let names = known::DOCUMENTS.iter().map(|document| document.name);
                let reason = format!("is not known{}", hint(name, names));
                reader.problems.push(Problem::at(name, reason));
            }
        }
    }
    let Reader {
        found,
        ignored,
        problems,
    } = reader;
    match Problems::new(problems) {
        Some(problems) => Err(problems),
        None => Ok(Reading {
            settings: found.settings(),
            ignored,
        }),
    }
}

/// What the documents say, where they say anything.
#[derive(Debug, Default)]
struct Found {
    gates: Vec<bool>,
    except_cidrs: BTreeSet<Cidr>,
    max_egress_ips: Option<u16>,
    random_ports: Option<bool>,
    /// The same for all of Antrea's translations: what says nothing of Egress' own inherits it.
    all_random_ports: Option<bool>,
}

impl Found {
    fn settings(self) -> Settings {
        let random_ports = self.random_ports.or(self.all_random_ports);
        Settings {
            // Antrea has the gate in both documents, and one process without it is enough for nothing to work.
            enabled: self.gates.iter().all(|gate| *gate),
            except_cidrs: self.except_cidrs,
            max_egress_ips_per_node: self.max_egress_ips.unwrap_or(USUAL_MAX_EGRESS_IPS),
            snat_fully_random_ports: random_ports.unwrap_or_default(),
        }
    }
}

#[derive(Debug, Default)]
struct Reader {
    found: Found,
    ignored: Vec<String>,
    problems: Vec<Problem>,
}

/// A place in a document.
#[derive(Debug, Clone)]
struct Place {
    document: &'static str,
    path: String,
}

impl Place {
    fn below(&self, key: &str) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self { path, ..*self }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            ..*self
        }
    }

    fn told(&self) -> String {
        if self.path.is_empty() {
            return self.document.to_owned();
        }
        format!("{}: {}", self.document, self.path)
    }
}

impl Reader {
    fn document(&mut self, document: &'static str, keys: &[Key], text: &str) {
        let place = Place {
            document,
            path: String::new(),
        };
        match parse(text) {
            Ok(value) => self.section(&place, keys, &value),
            Err(problem) => self.wrong(&place, "", problem),
        }
    }

    fn wrong(&mut self, place: &Place, value: &str, reason: impl std::fmt::Display) {
        self.problems
            .push(Problem::of(&place.told(), value, reason));
    }

    fn section(&mut self, place: &Place, keys: &[Key], value: &Value) {
        let Some(entries) = self.entries(place, value) else {
            return;
        };
        for (name, value) in entries {
            let below = place.below(name);
            match keys.iter().find(|key| key.name == name) {
                Some(key) => self.known(&below, key.known, value),
                None => self.unknown(&below, name, keys),
            }
        }
    }

    /// A key without a value is as good as absent, as in a file where all below it is commented out.
    fn entries<'a>(&mut self, place: &Place, value: &'a Value) -> Option<&'a Map<String, Value>> {
        match value {
            Value::Object(entries) => return Some(entries),
            Value::Null => {}
            other => self.wrong(place, &shown(other), "is no mapping: write KEY: VALUE"),
        }
        None
    }

    fn unknown(&mut self, place: &Place, name: &str, keys: &[Key]) {
        let others = known::DOCUMENTS.iter();
        let mut others = others.filter(|other| other.name != place.document);
        let is_of = |key: &Key| key.name == name && !matches!(key.known, Known::Ignored);
        let elsewhere = others
            .find(|other| place.path == name && other.keys.iter().any(is_of))
            .map(|other| format!(": it belongs into {}", other.name));
        let names = keys.iter().map(|key| key.name);
        let hint = elsewhere.unwrap_or_else(|| hint(name, names));
        self.wrong(place, "", format!("is not known{hint}"));
    }

    fn known(&mut self, place: &Place, known: Known, value: &Value) {
        match known {
            Known::Ignored => self.ignored.push(place.told()),
            Known::Section(keys) => self.section(place, keys, value),
            Known::Gate => {
                let gate = self.boolean(place, value);
                self.found.gates.extend(gate);
            }
            Known::ExceptCidrs => self.except_cidrs(place, value),
            Known::MaxEgressIps => {
                let limit = self.limit(place, value);
                self.found.max_egress_ips = limit;
            }
            Known::RandomPorts => self.found.random_ports = self.boolean(place, value),
            Known::AllRandomPorts => self.found.all_random_ports = self.boolean(place, value),
        }
    }

    fn boolean(&mut self, place: &Place, value: &Value) -> Option<bool> {
        match value {
            Value::Bool(value) => return Some(*value),
            Value::Null => {}
            other => self.wrong(
                place,
                &shown(other),
                "is no truth value: write true or false",
            ),
        }
        None
    }

    fn limit(&mut self, place: &Place, value: &Value) -> Option<u16> {
        if value.is_null() {
            return None;
        }
        let limit = value.as_u64().and_then(|limit| u16::try_from(limit).ok());
        match limit {
            // So it is with Antrea.
            Some(0) => Some(USUAL_MAX_EGRESS_IPS),
            Some(limit @ 1..=MOST_EGRESS_IPS) => Some(limit),
            _ => {
                let reason = format!(
                    "is not possible: write a number from 1 to {MOST_EGRESS_IPS}, or 0 for {USUAL_MAX_EGRESS_IPS}"
                );
                self.wrong(place, &shown(value), reason);
                None
            }
        }
    }

    fn except_cidrs(&mut self, place: &Place, value: &Value) {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => return,
            other => {
                let reason = "is no list: write [10.0.0.0/8], or each network on a line of its own after a dash";
                return self.wrong(place, &shown(other), reason);
            }
        };
        if items.len() > MOST_EXCEPT_CIDRS {
            let reason =
                format!("are too many: write {MOST_EXCEPT_CIDRS} or fewer, joining neighbours");
            return self.wrong(place, &items.len().to_string(), reason);
        }
        for (index, item) in items.iter().enumerate() {
            match item.as_str().map(str::parse::<Cidr>) {
                Some(Ok(cidr)) => {
                    self.found.except_cidrs.insert(cidr);
                }
                _ => self.wrong(
                    &place.item(index),
                    &shown(item),
                    "is not a network: write ADDRESS/PREFIX, such as 10.0.0.0/8 or fd00::/8",
                ),
            }
        }
    }
}

/// Everything of a document, or where it ceases to be YAML.
fn parse(text: &str) -> Result<Value, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("is larger than {MOST_BYTES} bytes"));
    }
    let parsed = serde_saphyr::from_str::<Option<Value>>(text);
    parsed.map(Option::unwrap_or_default).map_err(|error| {
        let error = error.to_string();
        // What follows is a picture of the place, over several lines.
        let first = error.lines().find(|line| !line.trim().is_empty());
        format!("is not YAML: {}", first.unwrap_or_default().trim())
    })
}

/// A value as it was written, as nearly as matters.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What was probably meant.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let lower = name.to_lowercase();
    let distance = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let nearest = known
        .map(|other| (distance(other), other))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, nearest)) => format!(": the nearest known one is {nearest}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
