//! Which labels a selector takes.

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn values(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn is_in(key: &str, allowed: &[&str]) -> Requirement {
    Requirement::In(key.to_owned(), values(allowed))
}

fn not_in(key: &str, refused: &[&str]) -> Requirement {
    Requirement::NotIn(key.to_owned(), values(refused))
}

fn app(name: &str) -> Selector {
    Selector::new([is_in("app", &[name])])
}

#[test]
fn a_requirement_is_met_by_the_labels_that_kubernetes_says() {
    let absent = labels(&[("other", "x")]);
    let empty = labels(&[("app", "")]);
    let web = labels(&[("app", "web")]);
    let db = labels(&[("app", "db")]);
    let exists = Requirement::Exists("app".to_owned());
    let missing = Requirement::DoesNotExist("app".to_owned());
    for (requirement, met_by) in [
        (is_in("app", &["web", "api"]), [false, false, true, false]),
        (not_in("app", &["web", "api"]), [true, true, false, true]),
        (is_in("app", &[""]), [false, true, false, false]),
        (is_in("app", &[]), [false, false, false, false]),
        (not_in("app", &[]), [true, true, true, true]),
        (exists, [false, true, true, true]),
        (missing, [true, false, false, false]),
    ] {
        let met = [&absent, &empty, &web, &db].map(|labels| requirement.matches(labels));
        assert_eq!(met, met_by, "{requirement:?}");
    }
}

#[test]
fn labels_are_compared_in_full_and_by_case() {
    assert!(!app("web").matches(&labels(&[("app", "Web")])));
    assert!(!app("web").matches(&labels(&[("app", "web-2")])));
    assert!(!app("web").matches(&labels(&[("example.com/app", "web")])));
}

#[test]
fn a_selector_without_requirements_selects_everything() {
    assert!(Selector::default().matches(&labels(&[])));
    assert!(Selector::default().matches(&labels(&[("app", "web")])));
}

#[test]
fn a_selector_needs_every_requirement() {
    let selector = Selector::new([is_in("app", &["web"]), not_in("env", &["test"])]);
    assert!(selector.matches(&labels(&[("app", "web"), ("env", "prod")])));
    assert!(!selector.matches(&labels(&[("app", "web"), ("env", "test")])));
    assert!(!selector.matches(&labels(&[("env", "prod")])));
}

#[test]
fn two_requirements_that_contradict_each_other_select_nothing() {
    let selector = Selector::new([is_in("app", &["web"]), is_in("app", &["db"])]);
    assert!(!selector.matches(&labels(&[("app", "web")])));
    assert!(!selector.matches(&labels(&[("app", "db")])));
}

/// Whether these selectors select: a matching Pod in a matching namespace, a matching Pod in another namespace, another
/// Pod in a matching namespace, another Pod in another namespace.
fn selected(pods: Option<Selector>, namespaces: Option<Selector>) -> [bool; 4] {
    let applied_to = AppliedTo { pods, namespaces };
    let (web, db) = (labels(&[("app", "web")]), labels(&[("app", "db")]));
    [(&web, &web), (&web, &db), (&db, &web), (&db, &db)]
        .map(|(pod, namespace)| applied_to.selects(pod, Some(namespace)))
}

#[test]
fn applied_to_nothing_selects_no_pod() {
    assert_eq!(selected(None, None), [false; 4]);
}

#[test]
fn a_pod_selector_alone_selects_in_every_namespace() {
    assert_eq!(selected(Some(app("web")), None), [true, true, false, false]);
}

#[test]
fn a_namespace_selector_alone_selects_whole_namespaces() {
    assert_eq!(selected(None, Some(app("web"))), [true, false, true, false]);
}

#[test]
fn both_selectors_must_match() {
    assert_eq!(
        selected(Some(app("web")), Some(app("web"))),
        [true, false, false, false]
    );
}

#[test]
fn an_empty_selector_is_not_an_absent_one() {
    let everything = || Some(Selector::default());
    assert_eq!(selected(everything(), None), [true; 4]);
    assert_eq!(selected(None, everything()), [true; 4]);
    assert_eq!(
        selected(everything(), Some(app("web"))),
        [true, false, true, false]
    );
    assert_eq!(
        selected(Some(app("web")), everything()),
        [true, true, false, false]
    );
}
