//! Selectors as Kubernetes evaluates them.

use egret_domain::selector::{Labels, Selector};

use super::*;

fn given(yaml: &str) -> LabelSelector {
    serde_saphyr::from_str(yaml).unwrap()
}

fn parse(yaml: &str) -> Result<Selector, Vec<String>> {
    selector("s", &given(yaml)).map_err(|problems| {
        problems
            .as_slice()
            .iter()
            .map(ToString::to_string)
            .collect()
    })
}

fn selects(yaml: &str, labels: &[(&str, &str)]) -> bool {
    let labels: Labels = labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    parse(yaml).unwrap().matches(&labels)
}

#[test]
fn an_empty_selector_selects_everything() {
    assert!(selects("{}", &[]));
}

#[test]
fn every_label_must_match() {
    let yaml = "matchLabels: {app: web, env: prod}";
    assert!(selects(
        yaml,
        &[("app", "web"), ("env", "prod"), ("more", "")]
    ));
    assert!(!selects(yaml, &[("app", "web")]));
}

#[test]
fn every_operator_means_what_it_says() {
    for (operator, values, with_a, with_b, without) in [
        ("In", "[a]", true, false, false),
        ("NotIn", "[a]", false, true, true),
        ("Exists", "[]", true, true, false),
        ("DoesNotExist", "[]", false, false, true),
    ] {
        let yaml =
            format!("matchExpressions: [{{key: k, operator: {operator}, values: {values}}}]");
        let selected = [&[("k", "a")][..], &[("k", "b")], &[]].map(|labels| selects(&yaml, labels));
        assert_eq!(selected, [with_a, with_b, without], "{operator}");
    }
}

#[test]
fn labels_and_expressions_must_both_match() {
    let yaml = "{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: Exists}]}";
    assert!(selects(yaml, &[("app", "web"), ("tier", "x")]));
    assert!(!selects(yaml, &[("app", "web")]));
    assert!(!selects(yaml, &[("tier", "x")]));
}

#[test]
fn operators_without_the_values_they_need_are_refused() {
    for operator in ["In", "NotIn"] {
        assert_eq!(
            parse(&format!(
                "matchExpressions: [{{key: k, operator: {operator}}}]"
            )),
            Err(vec![format!(
                "s.matchExpressions[0].values: operator {operator} needs at least one value"
            )])
        );
    }
}

#[test]
fn operators_with_values_they_do_not_take_are_refused() {
    for operator in ["Exists", "DoesNotExist"] {
        assert_eq!(
            parse(&format!(
                "matchExpressions: [{{key: k, operator: {operator}, values: [a]}}]"
            )),
            Err(vec![format!(
                "s.matchExpressions[0].values: operator {operator} takes no values: remove them"
            )])
        );
    }
}

#[test]
fn every_bad_key_and_value_is_told_with_its_place() {
    let problems = parse(
        "matchLabels: {'-a': 'b c'}\n\
         matchExpressions: [{key: ok, operator: Exists}, {key: 'a b', operator: In, values: [ok, '-']}]",
    )
    .unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .map(|text| text.split(" is not").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "s.matchLabels: \"-a\"",
            "s.matchLabels[-a]: \"b c\"",
            "s.matchExpressions[1].key: \"a b\"",
            "s.matchExpressions[1].values[1]: \"-\"",
        ]
    );
}

#[test]
fn a_selector_of_pods_and_one_of_namespaces_are_kept_apart() {
    let given: AppliedTo = serde_saphyr::from_str(
        "{podSelector: {matchLabels: {app: web}}, namespaceSelector: {matchLabels: {env: prod}}}",
    )
    .unwrap();
    let parsed = applied_to("a", &given).unwrap();
    let labels = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    assert!(parsed.selects(&labels("app", "web"), Some(&labels("env", "prod"))));
    assert!(!parsed.selects(&labels("env", "prod"), Some(&labels("app", "web"))));
}

#[test]
fn no_selector_at_all_selects_nothing_and_an_empty_one_all() {
    let parse = |yaml: &str| applied_to("a", &serde_saphyr::from_str(yaml).unwrap()).unwrap();
    assert!(!parse("{}").selects(&Labels::new(), Some(&Labels::new())));
    assert!(parse("podSelector: {}").selects(&Labels::new(), Some(&Labels::new())));
}

#[test]
fn problems_of_both_selectors_are_told() {
    let given: AppliedTo = serde_saphyr::from_str(
        "{podSelector: {matchLabels: {app: '-'}}, namespaceSelector: {matchLabels: {env: '-'}}}",
    )
    .unwrap();
    let problems = applied_to("a", &given).unwrap_err();
    let paths: Vec<_> = problems
        .as_slice()
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "a.podSelector.matchLabels[app]",
            "a.namespaceSelector.matchLabels[env]"
        ]
    );
}
