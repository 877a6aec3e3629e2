//! Manifests as a user writes them, in YAML's short form.
//!
//! Owns the frame around what a suite is about. Several of them may be joined into one text.

/// A pool of these ranges, each `start: A, end: B` or `cidr: N`, on all nodes.
pub fn pool(name: &str, ranges: &[&str]) -> String {
    let ranges: Vec<_> = ranges.iter().map(|range| format!("{{{range}}}")).collect();
    object(
        "ExternalIPPool",
        name,
        &format!("ipRanges: [{}], nodeSelector: {{}}", ranges.join(", ")),
    )
}

/// An Egress for what `applied_to` selects (`podSelector: …`); `address` is `egressIP: A`, `externalIPPool: P` or both.
pub fn egress(name: &str, applied_to: &str, address: &str) -> String {
    object(
        "Egress",
        name,
        &format!("appliedTo: {{{applied_to}}}, {address}"),
    )
}

/// What selects the Pods with this label in all namespaces.
pub fn pods_with(key: &str, value: &str) -> String {
    format!("podSelector: {{matchLabels: {{{key}: \"{value}\"}}}}")
}

/// Egret's configuration, with this document for the agents.
pub fn configuration(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {line}\n"));
    let lines: String = lines.collect();
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: egret-config, namespace: egret-system}}\n\
         data:\n  antrea-agent.conf: |\n{lines}"
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: crd.antrea.io/v1beta1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}
