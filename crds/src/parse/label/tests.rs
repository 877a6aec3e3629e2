//! Keys and values, as the API server takes or refuses them.

use proptest::prelude::*;

use super::*;

#[test]
fn keys_are_names_with_or_without_a_dns_prefix() {
    let long = "a".repeat(63);
    let prefixed = format!("{}/x", "a.".repeat(126) + "a");
    for text in [
        "app",
        "A_b-C.d",
        "0",
        "kubernetes.io/metadata.name",
        "a-b.c/d",
        &long,
        &prefixed,
    ] {
        assert_eq!(key(text), Ok(text));
    }
}

#[test]
fn keys_that_the_api_server_would_refuse_are_refused() {
    let long = "a".repeat(64);
    let prefixed = format!("{}/x", "a.".repeat(126) + "aa");
    for text in [
        "", "/", "a/", "/a", "a/b/c", "-a", "a-", "a b", "ä", "A.com/a", "a..b/c", "a_b/c", "-a/b",
        &long, &prefixed,
    ] {
        assert_eq!(key(text), Err(BadLabel::Key), "{text:?}");
    }
}

#[test]
fn a_value_may_be_empty() {
    assert_eq!(value(""), Ok(""));
    assert_eq!(value("v1.2_3-x"), Ok("v1.2_3-x"));
}

#[test]
fn values_that_the_api_server_would_refuse_are_refused() {
    for text in ["a/b", ".a", "a_", "a b", &"a".repeat(64)] {
        assert_eq!(value(text), Err(BadLabel::Value), "{text:?}");
    }
}

#[test]
fn an_object_name_is_a_dns_name() {
    assert_eq!(object_name("prod-pool.v2"), Ok("prod-pool.v2"));
    for text in ["", "Prod", "a_b", "a/b", "-a", "a.", &"a".repeat(254)] {
        assert_eq!(object_name(text), Err(BadLabel::ObjectName), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = (key(&text), value(&text), object_name(&text));
    }
}
