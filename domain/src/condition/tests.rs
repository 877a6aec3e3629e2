//! Merging conditions, and what of them is news.

use super::*;

const BEFORE: i64 = 1_000;
const NOW: i64 = 2_000;

fn decided(is_true: bool) -> Condition {
    Condition {
        kind: Type::IpAssigned,
        is_true,
        reason: "Assigned",
        message: "held by node-1".to_owned(),
        observed_generation: 1,
    }
}

fn recorded(is_true: bool) -> Recorded {
    merge(&[], decided(is_true), BEFORE)
}

/// The compiler refuses the match where `ALL` leaves one out.
#[test]
fn all_types_are_listed() {
    const A: Type = Type::ALL[0];
    const B: Type = Type::ALL[1];
    const C: Type = Type::ALL[2];
    const D: Type = Type::ALL[3];
    const E: Type = Type::ALL[4];
    for kind in Type::ALL {
        match kind {
            A | B | C | D | E => {}
        }
    }
}

#[test]
fn a_condition_seen_for_the_first_time_begins_now() {
    let expected = Recorded {
        kind: Type::IpAssigned,
        is_true: true,
        reason: "Assigned".to_owned(),
        message: "held by node-1".to_owned(),
        observed_generation: 1,
        since: NOW,
    };
    assert_eq!(merge(&[], decided(true), NOW), expected);
}

#[test]
fn nothing_new_gives_what_is_there_already() {
    for is_true in [true, false] {
        let old = recorded(is_true);
        assert_eq!(
            merge(std::slice::from_ref(&old), decided(is_true), NOW),
            old
        );
    }
}

#[test]
fn the_time_changes_when_the_condition_does_in_either_direction() {
    assert_eq!(merge(&[recorded(false)], decided(true), NOW).since, NOW);
    assert_eq!(merge(&[recorded(true)], decided(false), NOW).since, NOW);
}

#[test]
fn a_new_reason_is_news_but_does_not_change_the_time() {
    let new = Condition {
        reason: "Moved",
        ..decided(true)
    };
    let expected = Recorded {
        reason: "Moved".to_owned(),
        ..recorded(true)
    };
    assert_eq!(merge(&[recorded(true)], new, NOW), expected);
}

#[test]
fn a_new_message_is_news_but_does_not_change_the_time() {
    let message = "held by node-2".to_owned();
    let new = Condition {
        message: message.clone(),
        ..decided(true)
    };
    let expected = Recorded {
        message,
        ..recorded(true)
    };
    assert_eq!(merge(&[recorded(true)], new, NOW), expected);
}

#[test]
fn a_new_generation_is_news_but_does_not_change_the_time() {
    let new = Condition {
        observed_generation: 2,
        ..decided(true)
    };
    let expected = Recorded {
        observed_generation: 2,
        ..recorded(true)
    };
    assert_eq!(merge(&[recorded(true)], new, NOW), expected);
}

#[test]
fn only_a_condition_of_the_same_type_lends_its_time() {
    let other = Recorded {
        kind: Type::Ready,
        since: 1,
        ..recorded(true)
    };
    let old = [other.clone(), recorded(true)];
    assert_eq!(merge(&old, decided(true), NOW).since, BEFORE);
    assert_eq!(merge(&[other], decided(true), NOW).since, NOW);
}

#[test]
fn types_are_spelt_as_users_know_them() {
    let spelt = [
        Type::IpAllocated,
        Type::IpAssigned,
        Type::Overlapped,
        Type::Ready,
        Type::Exhausted,
    ]
    .map(|kind| kind.to_string());
    assert_eq!(
        spelt,
        [
            "IPAllocated",
            "IPAssigned",
            "Overlapped",
            "Ready",
            "Exhausted"
        ]
    );
}

fn condition(kind: Type, is_true: bool, reason: &'static str, message: &str) -> Condition {
    Condition {
        kind,
        is_true,
        reason,
        message: message.to_owned(),
        observed_generation: 1,
    }
}

/// The reasons that people hear of when `new` takes the place of `old`.
fn heard(old: &[Condition], new: &[Condition]) -> Vec<&'static str> {
    let old: Vec<_> = old.iter().map(|old| merge(&[], old.clone(), 0)).collect();
    news(&old, new).iter().map(|news| news.reason).collect()
}

#[test]
fn each_transition_is_heard_of_once_and_what_stays_is_not() {
    let waits = condition(Type::Ready, false, "NotAssigned", "waiting");
    let allocated = condition(Type::IpAllocated, true, "Allocated", "10.0.0.1 of p");
    let assigned = condition(Type::Ready, true, "Assigned", "held");
    let refused = [Type::IpAllocated, Type::Ready]
        .map(|kind| condition(kind, false, "PoolExhausted", "no address"));
    assert_eq!(
        heard(&[], &[allocated.clone(), waits.clone()]),
        ["Allocated"]
    );
    let now = [allocated.clone(), assigned.clone()];
    assert_eq!(heard(&[allocated.clone(), waits], &now), ["Assigned"]);
    assert_eq!(heard(&now, &now), [""; 0]);
    assert_eq!(heard(&now, &refused), ["PoolExhausted"]);
    let other = condition(Type::IpAllocated, true, "Allocated", "10.0.0.2 of p");
    assert_eq!(heard(&now, &[other, assigned]), ["Allocated"]);
}

#[test]
fn words_alone_are_no_transition() {
    let in_use = |by: &str| condition(Type::Ready, false, "InUse", by);
    assert_eq!(heard(&[in_use("a, b")], &[in_use("b")]), [""; 0]);
}

#[test]
fn an_exhausted_pool_is_bad_news_and_free_addresses_are_good() {
    assert!(!condition(Type::Exhausted, true, "NoFreeAddress", "").is_good());
    assert!(condition(Type::Exhausted, false, "FreeAddresses", "").is_good());
    assert!(condition(Type::Ready, true, "Assigned", "").is_good());
    assert!(!condition(Type::IpAllocated, false, "PoolNotFound", "").is_good());
}
