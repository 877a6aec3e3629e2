//! Reading secrets, right and damaged ones.

use jiff::SignedDuration;
use k8s_openapi::ByteString;

use super::super::issue;
use super::super::registration::server_names;
use super::*;

const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// An authority's certificate. `name` only tells two apart in a test's text.
pub(crate) fn root(name: &str) -> Root {
    assert!(!name.is_empty());
    let pair = issue::authority(now(), LIFETIME).unwrap();
    roots(pair.certificate.as_bytes()).remove(0)
}

fn secret(entries: &[(&str, &str)]) -> Secret {
    let entries = entries
        .iter()
        .map(|(name, text)| ((*name).to_owned(), ByteString(text.as_bytes().to_vec())));
    Secret {
        data: Some(entries.collect()),
        ..Secret::default()
    }
}

fn secret_of(pair: &Pair) -> Secret {
    secret(&[(CERTIFICATE, &pair.certificate), (KEY, &pair.key)])
}

fn names() -> Vec<String> {
    server_names("egret-system")
}

/// An authority, and a certificate that it has signed.
fn issued() -> (Pair, Pair) {
    let authority = issue::authority(now(), LIFETIME).unwrap();
    let leaf = issue::leaf(now(), LIFETIME, &names(), &authority).unwrap();
    (authority, leaf)
}

#[test]
fn what_was_issued_is_read_as_it_was_meant() {
    let (ca, leaf) = issued();
    let (authority, pair) = authority(Some(&secret_of(&ca))).unwrap();
    assert_eq!((pair, authority.previous.len()), (ca, 0));
    let read = super::leaf(Some(&secret_of(&leaf)), &authority, &names()).unwrap();
    assert_eq!(read.signed_by, authority.root.der);
    assert_eq!(read.validity.until, now() + LIFETIME);
    assert_eq!(authority.root.validity.until, now() + LIFETIME * 3);
    assert!(
        read.validity.from < now(),
        "the clocks of others may be behind"
    );
}

#[test]
fn a_certificate_of_a_former_authority_says_which() {
    let (old, leaf) = issued();
    let new = issue::authority(now(), LIFETIME).unwrap();
    let entries = [
        (CERTIFICATE, new.certificate.as_str()),
        (KEY, &new.key),
        (PREVIOUS, &old.certificate),
    ];
    let (authority, _) = authority(Some(&secret(&entries))).unwrap();
    let read = super::leaf(Some(&secret_of(&leaf)), &authority, &names()).unwrap();
    assert_eq!(read.signed_by, authority.previous[0].der);
}

#[test]
fn a_key_of_another_pair_is_not_used() {
    let ((ca, leaf), (other_ca, other)) = (issued(), issued());
    let mixed = secret(&[(CERTIFICATE, &ca.certificate), (KEY, &other_ca.key)]);
    assert!(matches!(authority(Some(&mixed)), Err(Unusable::OtherKey)));
    let (authority, _) = authority(Some(&secret_of(&ca))).unwrap();
    let mixed = secret(&[(CERTIFICATE, &leaf.certificate), (KEY, &other.key)]);
    assert!(matches!(
        super::leaf(Some(&mixed), &authority, &names()),
        Err(Unusable::OtherKey)
    ));
}

#[test]
fn a_certificate_that_clients_would_refuse_is_not_used() {
    let ((ca, leaf), (stranger, _)) = (issued(), issued());
    let (other, _) = authority(Some(&secret_of(&stranger))).unwrap();
    let refused = super::leaf(Some(&secret_of(&leaf)), &other, &names());
    assert!(
        matches!(refused, Err(Unusable::Refused { .. })),
        "{refused:?}"
    );
    let (right, _) = authority(Some(&secret_of(&ca))).unwrap();
    let refused = super::leaf(Some(&secret_of(&leaf)), &right, &server_names("elsewhere"));
    assert!(
        matches!(refused, Err(Unusable::Refused { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_servers_certificate_is_no_authority() {
    let (_, leaf) = issued();
    assert!(matches!(
        authority(Some(&secret_of(&leaf))),
        Err(Unusable::NotAuthority(CERTIFICATE))
    ));
    assert_eq!(roots(leaf.certificate.as_bytes()), []);
}

#[test]
fn rubbish_is_named_and_never_used() {
    let (ca, _) = issued();
    let cases = [
        (vec![], "no tls.crt"),
        (vec![(CERTIFICATE, ca.certificate.as_str())], "no tls.key"),
        (vec![(CERTIFICATE, ""), (KEY, &ca.key)], "no tls.crt"),
        (vec![(CERTIFICATE, "x"), (KEY, &ca.key)], "not in PEM"),
        (
            vec![(CERTIFICATE, &ca.certificate), (KEY, "x")],
            "cannot be read",
        ),
    ];
    for (entries, word) in cases {
        let error = authority(Some(&secret(&entries))).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(matches!(authority(None), Err(Unusable::Missing)));
}

#[test]
fn a_bundle_reads_as_it_was_written() {
    let all = [root("one"), root("two")];
    assert_eq!(roots(pem_of(&all).as_bytes()), all);
    assert_eq!(pem_of(&[]), "");
}
