//! What Egret's accounts may do is what they do: not less, and not more.
//!
//! The API server's audit log of a cluster at work says which verbs were used. One that is missing in a role is answered
//! with 403, and one that nobody uses stands in the role alone: each makes the test fail.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use egret_e2e::lab::Lab;
use egret_e2e::manifest::{configuration, egress, pods_with, pool};
use egret_e2e::object::{Egress, EgressNode};
use egret_e2e::patience::{wait_until, wait_until_within};
use serde_json::Value;

const ACCOUNTS: [&str; 3] = ["egret-agent", "egret-operator", "egret-webhook"];
const IP: &str = "10.10.0.31";

/// A verb on a kind of objects that an account has, or uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: String,
    verb: String,
    /// `resource.group`, or `resource/subresource.group`.
    on: String,
}

fn right(account: &str, verb: &str, group: &str, resource: &str) -> Right {
    Right {
        account: account.to_owned(),
        verb: verb.to_owned(),
        on: format!("{resource}.{group}"),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What the roles give: each account has those of its own name.
fn granted(lab: &Lab) -> Result<BTreeSet<Right>> {
    let roles = lab.kubectl(&["get", "clusterroles,roles", "-A", "-o", "json"])?;
    let roles: Value = serde_json::from_str(&roles)?;
    let mut granted = BTreeSet::new();
    for role in items(&roles, "/items") {
        let account = text(role, "/metadata/name");
        for rule in items(role, "/rules").filter(|_| ACCOUNTS.contains(&account)) {
            for group in items(rule, "/apiGroups") {
                for resource in items(rule, "/resources") {
                    let verbs = items(rule, "/verbs");
                    granted.extend(verbs.map(|verb| {
                        let group = text(group, "");
                        right(account, text(verb, ""), group, text(resource, ""))
                    }));
                }
            }
        }
    }
    Ok(granted)
}

/// What only an uninstall needs: see the test of one with a node without power, which does not end without these.
fn of_uninstall() -> BTreeSet<Right> {
    let verbs = ["list", "delete"].into_iter();
    verbs
        .map(|verb| right("egret-operator", verb, "", "pods"))
        .collect()
}

/// The requests in the audit log.
fn requests(lab: &Lab) -> Result<Vec<Value>> {
    let log = lab.ask(&["logs", "audit"])?;
    // The last line may be half written.
    Ok(log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

fn account(request: &Value) -> &str {
    let user = text(request, "/user/username");
    user.rsplit_once(':').map_or("", |(_, account)| account)
}

fn code(request: &Value) -> i64 {
    let code = request.pointer("/responseStatus/code");
    code.and_then(Value::as_i64).unwrap_or_default()
}

/// The rights that a request needs which has succeeded: who applies an object that is not there also creates it.
fn used(request: &Value) -> Vec<Right> {
    let verb = text(request, "/verb");
    let resource = text(request, "/objectRef/resource");
    let resource = match text(request, "/objectRef/subresource") {
        "" => resource.to_owned(),
        part => format!("{resource}/{part}"),
    };
    let verbs = match (verb, code(request)) {
        ("patch", 201) => vec!["patch", "create"],
        (_, 200..300) => vec![verb],
        _ => vec![],
    };
    let group = text(request, "/objectRef/apiGroup");
    let verbs = verbs.into_iter();
    verbs
        .map(|verb| right(account(request), verb, group, &resource))
        .collect()
}

/// All that Egret does.
fn work(lab: &Lab) -> Result<()> {
    let web = |address: &str| egress("web", &pods_with("app", "web"), address);
    lab.apply(&pool("pool", &["start: 10.10.0.31, end: 10.10.0.40"]))?;
    lab.apply(&web("externalIPPool: pool"))?;
    let gateway = lab.gateway_of("web", IP)?;
    let node = lab.node_except(&[&gateway])?;
    lab.pod("shop/web", &node, "app=web")?;
    lab.wait_for_source("shop/web", IP)?;
    // Before it refuses, the webhook looks again at what stands in the way.
    let taken = format!("egressIP: {IP}, externalIPPool: pool");
    ensure!(
        lab.apply(&egress("late", &pods_with("app", "late"), &taken))
            .is_err()
    );
    ensure!(lab.apply(&pool("late", &["cidr: 10.10.0.0/24"])).is_err());

    // Not the first node, where the operator is.
    lab.apply(&egress(
        "static",
        &pods_with("app", "db"),
        "egressIP: 10.10.0.103",
    ))?;
    lab.wait_for_gateway("static", "10.10.0.103", "node-3")?;
    lab.power_off("node-3")?;
    let is_cleared = |seen: &Egress| seen.held().is_none();
    wait_until("the holder is cleared", || lab.egress("static"), is_cleared)?;
    lab.power_on("node-3")?;
    lab.wait_for_gateway("static", "10.10.0.103", "node-3")?;

    lab.delete_egresses(&["web", "static"])?;
    lab.kubectl(&["delete", "externalippool", "pool"])?;
    reconfigure(lab)?;
    // It is made anew.
    lab.kubectl(&["delete", "lease", "egret-operator", "-n", "egret-system"])
        .map(drop)
}

/// A configuration that is wrong, one that ends all of Egret on the nodes, and the default one.
fn reconfigure(lab: &Lab) -> Result<()> {
    lab.apply(&configuration("featureGates: {Egresss: false}"))?;
    lab.apply(&configuration("featureGates: {Egress: false}"))?;
    let reports = || lab.list::<EgressNode>("egressnodes");
    wait_until("the agents are gone", reports, Vec::is_empty)?;
    lab.kubectl(&["delete", "configmap", "egret-config", "-n", "egret-system"])?;
    lab.wait_until_ready()
}

#[test]
fn every_right_is_used_and_none_is_missing() -> Result<()> {
    // With certificates that are renewed within the test.
    Lab::run_with_short_certificates(3, |lab| {
        work(lab)?;
        let granted = granted(lab)?;
        ensure!(
            ACCOUNTS
                .iter()
                .all(|account| granted.iter().any(|right| right.account == *account)),
            "there are not all roles: {granted:#?}"
        );
        let unused = || -> Result<BTreeSet<Right>> {
            let mut used: BTreeSet<_> = requests(lab)?.iter().flat_map(used).collect();
            used.extend(of_uninstall());
            Ok(granted.difference(&used).cloned().collect())
        };
        let limit = Duration::from_mins(1);
        wait_until_within("every right is used", limit, unused, BTreeSet::is_empty)?;
        let requests = requests(lab)?;
        let refused: Vec<_> = requests
            .iter()
            .filter(|request| code(request) == 403)
            .collect();
        ensure!(refused.is_empty(), "refused: {refused:#?}");
        Ok(())
    })
}
