//! Label selectors: `matchLabels` and `matchExpressions` become requirements.
//!
//! Owns which operator takes how many values. Never says what a selector matches.

use std::collections::BTreeSet;

use egret_domain::selector as domain;

use super::label::{self, BadLabel};
use crate::egress::AppliedTo;
use crate::selector::{LabelRequirement, LabelSelector, Operator};
use egret_domain::problem::{Problems, all, both};

pub(super) fn applied_to(path: &str, given: &AppliedTo) -> Result<domain::AppliedTo, Problems> {
    let parse = |field: &str, given: Option<&LabelSelector>| {
        given
            .map(|given| selector(&format!("{path}.{field}"), given))
            .transpose()
    };
    let pods = parse("podSelector", given.pod_selector.as_ref());
    let namespaces = parse("namespaceSelector", given.namespace_selector.as_ref());
    both(pods, namespaces).map(|(pods, namespaces)| domain::AppliedTo { pods, namespaces })
}

pub(super) fn selector(path: &str, given: &LabelSelector) -> Result<domain::Selector, Problems> {
    let labels = given
        .match_labels
        .iter()
        .map(|(key, value)| label(&format!("{path}.matchLabels"), key, value));
    let expressions = given
        .match_expressions
        .iter()
        .enumerate()
        .map(|(index, given)| requirement(&format!("{path}.matchExpressions[{index}]"), given));
    all(labels.chain(expressions)).map(domain::Selector::new)
}

fn label(path: &str, key: &str, value: &str) -> Result<domain::Requirement, Problems> {
    let value = text(&format!("{path}[{key}]"), value, label::value);
    both(text(path, key, label::key), value)
        .map(|(key, value)| domain::Requirement::In(key, BTreeSet::from([value])))
}

fn requirement(path: &str, given: &LabelRequirement) -> Result<domain::Requirement, Problems> {
    let key = text(&format!("{path}.key"), &given.key, label::key);
    let values = values(&format!("{path}.values"), given);
    both(key, values).map(|(key, values)| match given.operator {
        Operator::In => domain::Requirement::In(key, values),
        Operator::NotIn => domain::Requirement::NotIn(key, values),
        Operator::Exists => domain::Requirement::Exists(key),
        Operator::DoesNotExist => domain::Requirement::DoesNotExist(key),
    })
}

fn values(path: &str, given: &LabelRequirement) -> Result<BTreeSet<String>, Problems> {
    let operator = given.operator;
    match (
        matches!(operator, Operator::In | Operator::NotIn),
        given.values.is_empty(),
    ) {
        (true, true) => Err(Problems::at(
            path,
            format!("operator {operator:?} needs at least one value"),
        )),
        (false, false) => Err(Problems::at(
            path,
            format!("operator {operator:?} takes no values: remove them"),
        )),
        _ => {
            let values = given.values.iter().enumerate();
            all(values.map(|(index, value)| text(&format!("{path}[{index}]"), value, label::value)))
                .map(BTreeSet::from_iter)
        }
    }
}

fn text(
    path: &str,
    given: &str,
    check: fn(&str) -> Result<&str, BadLabel>,
) -> Result<String, Problems> {
    check(given)
        .map(str::to_owned)
        .map_err(|bad| Problems::of(path, given, bad))
}

#[cfg(test)]
mod tests;
