//! The page that documents the metrics, docs/metrics.md, as tests hold it against the code.
//!
//! Owns the form of its tables. For tests only (feature `page`): never read by a process.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, fs, io};

use prometheus_client::registry::Registry;
use thiserror::Error;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

/// Why page and code cannot be compared.
#[derive(Debug, Error)]
pub enum Error {
    /// The page cannot be read.
    #[error("cannot read {PAGE}")]
    Page(#[from] io::Error),
    /// The metrics cannot be read.
    #[error("cannot read the metrics")]
    Metrics(#[from] fmt::Error),
    /// A metric without a label has to be registered, one with labels counted at least once: else it is not shown.
    #[error(
        "{registered} metrics are registered, but only {shown} are shown: count each of them once in this test"
    )]
    Hidden {
        /// Metrics in the registry.
        registered: usize,
        /// Metrics in the text.
        shown: usize,
    },
}

/// Rows of the table below this heading, in any order.
pub fn documented(heading: &str) -> Result<BTreeSet<String>, Error> {
    let page = fs::read_to_string(PAGE)?;
    let heading = format!("## {heading}");
    let below = page.lines().skip_while(|line| *line != heading).skip(1);
    let section = below.take_while(|line| !line.starts_with("## "));
    let rows = section.filter(|line| line.starts_with("| `"));
    Ok(rows.map(str::to_owned).collect())
}

/// The rows that belong there: one for each metric of the registry.
pub fn registered(registry: &Registry) -> Result<BTreeSet<String>, Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    let metrics = metrics(&text);
    let registered = format!("{registry:?}").matches("Descriptor {").count();
    if registered != metrics.len() {
        return Err(Error::Hidden {
            registered,
            shown: metrics.len(),
        });
    }
    Ok(metrics.iter().map(ToString::to_string).collect())
}

#[derive(Debug, Default)]
struct Metric {
    name: String,
    kind: String,
    labels: Vec<String>,
    meaning: String,
}

fn metrics(text: &str) -> Vec<Metric> {
    let mut metrics = BTreeMap::<String, Metric>::new();
    let mut current = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(meaning)) => {
                name.clone_into(&mut current);
                let metric = metrics.entry(current.clone()).or_default();
                name.clone_into(&mut metric.name);
                meaning
                    .trim_end_matches('.')
                    .clone_into(&mut metric.meaning);
            }
            (Some("#"), Some("TYPE"), _, Some(kind)) => {
                let metric = metrics.entry(current.clone()).or_default();
                kind.clone_into(&mut metric.kind);
            }
            (Some("#"), ..) => {}
            _ => {
                let metric = metrics.entry(current.clone()).or_default();
                metric.labels = labels(line);
            }
        }
    }
    metrics.into_values().collect()
}

fn labels(sample: &str) -> Vec<String> {
    let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
    let names = labels
        .split("\",")
        .filter_map(|label| label.split_once('='));
    let names = names.map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            labels,
            meaning,
        } = self;
        let end = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        write!(f, "| `{name}{end}` | {kind} | {labels} | {meaning} |")
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::EncodeLabelSet;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Labels {
        verb: &'static str,
        result: &'static str,
    }

    #[test]
    fn a_row_has_name_type_labels_and_meaning_and_no_metric_is_overlooked() {
        let mut registry = Registry::default();
        let requests: Family<Labels, Counter> = Family::default();
        registry.register("requests", "What was asked", requests.clone());
        let hidden = registered(&registry).unwrap_err().to_string();
        assert!(
            hidden.contains("1 metrics are registered, but only 0"),
            "{hidden}"
        );
        let labels = Labels {
            verb: "get",
            result: "ok",
        };
        requests.get_or_create(&labels).inc();
        let row = "| `requests_total` | counter | `verb`, `result` | What was asked |";
        assert_eq!(
            registered(&registry).unwrap(),
            BTreeSet::from([row.to_owned()])
        );
    }
}
