//! Alerts, dashboard and runbooks speak of what there is, and the components go with `config/default`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failure here is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;
use std::process::Command;

use egret_xtask::{root, tree};
use serde_json::Value;

const RULES: &str = "config/components/alerts/rules.yaml";
const DASHBOARD: &str = "config/components/dashboard/egret.json";
const RUNBOOKS: &str = "docs/runbooks/";
/// Labels that Prometheus adds when it reads a process's metrics: see config/components/monitoring.
const OF_SCRAPING: [&str; 4] = ["job", "namespace", "node", "pod"];
/// Names in Rust, which levels of logging have.
const CRATES: [&str; 4] = [
    "egret_agent",
    "egret_operator",
    "egret_runtime",
    "egret_webhook",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The series of every documented metric, with its labels.
fn documented() -> BTreeMap<String, Vec<String>> {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `egret_"));
    rows.flat_map(series).collect()
}

fn series(row: &str) -> Vec<(String, Vec<String>)> {
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    let name = cells[1].trim_matches('`');
    let labels = cells[3].split(", ").map(|label| label.trim_matches('`'));
    let labels: Vec<_> = labels.map(str::to_owned).collect();
    let ends: &[&str] = match cells[2] {
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    ends.iter()
        .map(|end| (format!("{name}{end}"), labels.clone()))
        .collect()
}

/// Names of Egret's metrics in a text, each with the names of labels in the braces behind it.
fn used(text: &str) -> Vec<(String, Vec<String>)> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut used = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("egret_") {
        let is_begin = !rest[..start].ends_with(is_of_name);
        let found = &rest[start..];
        let end = found.find(|c| !is_of_name(c)).unwrap_or(found.len());
        let (name, behind) = found.split_at(end);
        if is_begin && !CRATES.contains(&name) {
            used.push((name.to_owned(), labels(behind)));
        }
        rest = behind;
    }
    used
}

fn labels(behind: &str) -> Vec<String> {
    let Some((inside, _)) = behind
        .strip_prefix('{')
        .and_then(|text| text.split_once('}'))
    else {
        return Vec::new();
    };
    let parts = inside
        .split(',')
        .filter_map(|part| part.split_once(['=', '!']));
    parts.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Names in `by (…)`.
fn groupings(text: &str) -> BTreeSet<String> {
    let by = text.split("by (").skip(1);
    let inside = by.filter_map(|text| text.split_once(')'));
    inside
        .flat_map(|(names, _)| names.split(','))
        .map(|name| name.trim().to_owned())
        .collect()
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    let groups = rules["spec"]["groups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn every_metric_and_label_that_is_asked_for_is_documented() {
    let documented = documented();
    let files = tree::read(&root()).unwrap();
    let asking = files.iter().filter(|file| {
        [RULES, DASHBOARD, "docs/observability.md", "SECURITY.md"].contains(&file.path.as_str())
            || file.path.starts_with(RUNBOOKS)
    });
    for file in asking {
        // In JSON the quotes of an expression are escaped.
        let text = file.text.replace("\\\"", "\"");
        for (name, labels) in used(&text) {
            let Some(known) = documented.get(&name) else {
                panic!("{}: {name} is not in docs/metrics.md", file.path);
            };
            for label in labels {
                assert!(
                    known.contains(&label) || OF_SCRAPING.contains(&label.as_str()),
                    "{}: {name} has no label {label}",
                    file.path
                );
            }
        }
    }
}

#[test]
fn what_is_grouped_by_is_a_label() {
    let documented = documented();
    let mut known: BTreeSet<&str> = documented.values().flatten().map(String::as_str).collect();
    known.extend(OF_SCRAPING);
    // Of histograms, and of the metrics of Kubernetes.
    known.extend(["le", "container"]);
    let text = format!("{}{}", read(RULES), read(DASHBOARD));
    let groupings = groupings(&text);
    assert!(groupings.contains("reason"), "{groupings:?}");
    for label in groupings {
        assert!(
            known.contains(label.as_str()),
            "no metric has a label {label}"
        );
    }
}

#[test]
fn a_name_that_is_not_documented_or_a_wrong_label_is_noticed() {
    let text = r#"max by (kind) (egret_agent_redy{check="nft", node!="a"}) + egret_agent_ready"#;
    assert_eq!(
        used(text),
        [
            (
                "egret_agent_redy".to_owned(),
                vec!["check".to_owned(), "node".to_owned()]
            ),
            ("egret_agent_ready".to_owned(), vec![])
        ]
    );
    let documented = documented();
    assert!(!documented.contains_key("egret_agent_redy"));
    assert!(documented.contains_key("egret_agent_ready"));
    // Of a histogram there are only the parts.
    assert!(!documented.contains_key("egret_api_request_seconds"));
    assert!(documented.contains_key("egret_api_request_seconds_bucket"));
}

#[test]
fn every_alert_has_a_runbook_of_its_own_and_every_runbook_an_alert() {
    let mut pages = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let path = alert["annotations"]["runbook"].as_str().unwrap();
        let page = read(path);
        assert_eq!(page.lines().next(), Some(format!("# {name}").as_str()));
        for heading in ["## What it means", "## How to see", "## What to do"] {
            let body = page.split(&format!("{heading}\n\n")).nth(1);
            assert!(
                body.is_some_and(|body| !body.starts_with('#')),
                "{path}: nothing below {heading}"
            );
        }
        assert!(pages.insert(path.to_owned()), "{path} is of two alerts");
        let index = read("docs/runbooks/README.md");
        assert!(index.contains(&format!("| {name} |")), "{name}");
    }
    let files = tree::read(&root()).unwrap();
    let runbooks = files.iter().map(|file| file.path.clone());
    let runbooks: BTreeSet<_> = runbooks
        .filter(|path| path.starts_with(RUNBOOKS) && !path.ends_with("README.md"))
        .collect();
    assert_eq!(pages, runbooks);
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_is_the_matter() {
    let alerts = alerts();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{alert}");
        assert!(alert["annotations"]["summary"].is_string(), "{alert}");
    }
}

/// Kind, namespace (empty where there is none) and name.
type Key = (String, String, String);

fn key(kind: &str, namespace: &str, name: &str) -> Key {
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

/// All objects that kustomize makes of a folder.
fn rendered(folder: &str) -> BTreeMap<Key, Value> {
    let assets = env::var_os("KUBEBUILDER_ASSETS");
    let built = assets.map(|assets| Path::new(&assets).join("kubectl"));
    let kubectl = built.filter(|path| path.exists());
    let output = Command::new(kubectl.unwrap_or_else(|| "kubectl".into()))
        .arg("kustomize")
        .arg(root().join(folder))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{folder}: {error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut objects = BTreeMap::new();
    for object in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(object).unwrap();
        let (kind, meta) = (object["kind"].as_str().unwrap(), &object["metadata"]);
        let namespace = meta["namespace"].as_str().unwrap_or_default();
        let key = key(kind, namespace, meta["name"].as_str().unwrap());
        let before = objects.insert(key.clone(), object);
        assert!(before.is_none(), "{folder}: {key:?} twice");
    }
    objects
}

#[test]
fn the_components_add_to_the_default_installation_and_change_nothing_of_it() {
    let (default, monitored) = (rendered("config/default"), rendered("config/monitored"));
    for (key, object) in &default {
        assert_eq!(monitored.get(key), Some(object), "{key:?}");
    }
    let added: BTreeSet<_> = monitored
        .keys()
        .filter(|key| !default.contains_key(*key))
        .map(|(kind, _, name)| format!("{kind} {name}"))
        .collect();
    let expected = [
        "ConfigMap egret-dashboard",
        "PodMonitor egret-agent",
        "PodMonitor egret-operator",
        "PodMonitor egret-webhook",
        "PrometheusRule egret",
    ];
    assert_eq!(added, expected.map(str::to_owned).into());
    for (key, object) in monitored
        .iter()
        .filter(|(key, _)| !default.contains_key(*key))
    {
        assert_eq!(object["metadata"]["namespace"], "egret-system", "{key:?}");
    }
}

#[test]
fn what_is_monitored_is_a_port_of_the_pods_that_are_selected() {
    let monitored = rendered("config/monitored");
    for part in ["operator", "webhook"] {
        let name = format!("egret-{part}");
        let monitor = &monitored[&key("PodMonitor", "egret-system", &name)];
        let pods = &monitored[&key("Deployment", "egret-system", &name)]["spec"]["template"];
        let wanted = monitor["spec"]["selector"]["matchLabels"]
            .as_object()
            .unwrap();
        let labels = pods["metadata"]["labels"].as_object().unwrap();
        assert!(
            wanted
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
        );
        let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
        let ports = pods["spec"]["containers"][0]["ports"].as_array().unwrap();
        assert!(ports.iter().any(|one| one["name"] == *port), "{name}");
    }
}

#[test]
fn the_dashboard_has_a_query_in_every_panel() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].to_string()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let query = panel["targets"][0]["expr"].as_str();
        assert!(
            query.is_some_and(|query| query.contains("egret_")),
            "{panel}"
        );
    }
}
