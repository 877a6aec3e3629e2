//! Which Pods an Egress applies to.

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{egress, pool};
use egret_e2e::patience::wait_until;

const IP: &str = "10.10.0.31";
const NODE: &str = "node-2";
const PODS: [(&str, &str); 5] = [
    ("shop/web", "app=web,tier=front"),
    ("shop/db", "app=db"),
    ("yard/web", "app=web"),
    ("yard/cache", "app=cache,tier=back"),
    ("yard/plain", ""),
];
const WEB: &str = "podSelector: {matchLabels: {app: web}}";
const SHOP: &str = "namespaceSelector: {matchLabels: {team: shop}}";

fn with_pods(test: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    Lab::run(2, |lab| {
        for (pod, labels) in PODS {
            lab.pod(pod, NODE, labels)?;
        }
        lab.kubectl(&["label", "namespace", "shop", "team=shop"])?;
        lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.31"]))?;
        test(lab)
    })
}

fn apply_to(lab: &Lab, applied_to: &str) -> Result<()> {
    lab.apply(&egress("web", applied_to, "externalIPPool: pool"))
}

/// Waits until these Pods leave with the egress IP, and all others with their node's.
fn wait_for_selection(lab: &Lab, why: &str, selected: &[&str]) -> Result<()> {
    let node = lab.address_of(NODE)?.to_string();
    let look = || {
        PODS.iter()
            .map(|(pod, _)| Ok((*pod, lab.source_of(pod)?)))
            .collect::<Result<Vec<_>>>()
    };
    let is_so = |seen: &Vec<(&str, String)>| {
        seen.iter().all(|(pod, source)| {
            let wanted = if selected.contains(pod) { IP } else { &node };
            source == wanted
        })
    };
    wait_until(&format!("{why} selects {selected:?}"), look, is_so).map(drop)
}

#[test]
fn selectors_of_pods_and_namespaces_select_alone_and_together() -> Result<()> {
    let all = PODS.map(|(pod, _)| pod);
    let cases: [(&str, &[&str]); 6] = [
        ("podSelector: {}", &all),
        ("", &[]),
        (WEB, &["shop/web", "yard/web"]),
        (SHOP, &["shop/web", "shop/db"]),
        (&format!("{SHOP}, {WEB}"), &["shop/web"]),
        (
            "namespaceSelector: {}, podSelector: {matchLabels: {tier: back}}",
            &["yard/cache"],
        ),
    ];
    with_pods(|lab| check_all(lab, &cases))
}

#[test]
fn every_operator_of_an_expression_selects_by_its_meaning() -> Result<()> {
    let cases: [(&str, &[&str]); 6] = [
        (
            "podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}",
            &["shop/web", "shop/db", "yard/web"],
        ),
        // A Pod without the label is not in it either.
        (
            "podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web, db]}]}",
            &["yard/cache", "yard/plain"],
        ),
        (
            "podSelector: {matchExpressions: [{key: tier, operator: Exists}]}",
            &["shop/web", "yard/cache"],
        ),
        (
            "podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}",
            &["shop/db", "yard/web", "yard/plain"],
        ),
        (
            "podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Exists}]}",
            &["shop/web"],
        ),
        (
            "namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [shop]}]}, \
             podSelector: {matchExpressions: [{key: app, operator: Exists}]}",
            &["yard/web", "yard/cache"],
        ),
    ];
    with_pods(|lab| check_all(lab, &cases))
}

/// Each case must differ from the one before: else its Pods could be right by having been so.
fn check_all(lab: &Lab, cases: &[(&str, &[&str])]) -> Result<()> {
    let mut before: &[&str] = &[];
    for (applied_to, selected) in cases {
        ensure!(before != *selected, "{applied_to} would prove nothing");
        apply_to(lab, applied_to)?;
        wait_for_selection(lab, applied_to, selected)?;
        before = selected;
    }
    Ok(())
}

#[test]
fn pods_follow_changes_of_their_own_and_of_their_namespaces_labels() -> Result<()> {
    with_pods(|lab| {
        let label = |args: &[&str]| lab.kubectl(&[&["label", "--overwrite"], args].concat());
        apply_to(lab, &format!("{SHOP}, {WEB}"))?;
        wait_for_selection(lab, "the beginning", &["shop/web"])?;
        label(&["pod", "-n", "shop", "db", "app=web"])?;
        wait_for_selection(lab, "a label changed", &["shop/web", "shop/db"])?;
        label(&["pod", "-n", "shop", "web", "app-"])?;
        wait_for_selection(lab, "a label removed", &["shop/db"])?;
        label(&["namespace", "yard", "team=shop"])?;
        wait_for_selection(lab, "a namespace joined", &["shop/db", "yard/web"])?;
        label(&["namespace", "shop", "team=none"])?;
        wait_for_selection(lab, "a namespace left", &["yard/web"])?;
        lab.delete_egresses(&["web"])?;
        wait_for_selection(lab, "the Egress deleted", &[])
    })
}
