//! Conditions of the domain as the API has them, and back.
//!
//! Owns the spelling. Never decides what is so.

use egret_domain::condition::{self, Recorded, Type};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The conditions whose types are known.
pub(crate) fn recorded(conditions: &[Condition]) -> Vec<Recorded> {
    conditions.iter().filter_map(read).collect()
}

fn read(condition: &Condition) -> Option<Recorded> {
    Some(Recorded {
        kind: Type::ALL
            .into_iter()
            .find(|kind| kind.as_str() == condition.type_)?,
        is_true: condition.status == "True",
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        observed_generation: condition.observed_generation.unwrap_or_default(),
        since: condition.last_transition_time.0.as_second(),
    })
}

/// What stands in the status once `new` has been decided, in place of what of it is in `old`.
pub(crate) fn written(
    old: &[Condition],
    new: &[condition::Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let old = recorded(old);
    let merged = new
        .iter()
        .map(|new| condition::merge(&old, new.clone(), now.as_second()));
    merged.map(|recorded| spell(recorded, now)).collect()
}

fn spell(recorded: Recorded, now: Timestamp) -> Condition {
    // Out of range only if the object had a time that no calendar has.
    let since = Timestamp::from_second(recorded.since).unwrap_or(now);
    Condition {
        type_: recorded.kind.as_str().to_owned(),
        status: if recorded.is_true { "True" } else { "False" }.to_owned(),
        reason: recorded.reason,
        message: recorded.message,
        observed_generation: Some(recorded.observed_generation),
        last_transition_time: Time(since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(is_true: bool, message: &str) -> condition::Condition {
        condition::Condition {
            kind: Type::Ready,
            is_true,
            reason: "Assigned",
            message: message.to_owned(),
            observed_generation: 7,
        }
    }

    #[test]
    fn the_time_changes_with_the_truth_and_with_nothing_else() {
        let (then, now) = (
            Timestamp::from_second(100).unwrap(),
            Timestamp::from_second(200).unwrap(),
        );
        let old = written(&[], &[ready(true, "old")], then);
        let same = written(&old, &[ready(true, "new")], now);
        assert_eq!(
            (same[0].last_transition_time.0, same[0].message.as_str()),
            (then, "new")
        );
        let other = written(&old, &[ready(false, "old")], now);
        assert_eq!(
            (other[0].last_transition_time.0, other[0].status.as_str()),
            (now, "False")
        );
    }

    #[test]
    fn what_was_written_reads_as_what_was_decided() {
        let read = recorded(&written(&[], &[ready(true, "m")], Timestamp::UNIX_EPOCH));
        let [read] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(
            (read.kind, read.is_true, read.observed_generation),
            (Type::Ready, true, 7)
        );
    }

    #[test]
    fn a_condition_of_every_type_is_read_back() {
        for kind in Type::ALL {
            let condition = condition::Condition {
                kind,
                ..ready(true, "m")
            };
            let read = recorded(&written(&[], &[condition], Timestamp::UNIX_EPOCH));
            assert_eq!(read.first().map(|read| read.kind), Some(kind));
        }
    }

    #[test]
    fn conditions_of_unknown_types_are_left_to_their_owners() {
        let mut foreign = written(&[], &[ready(true, "m")], Timestamp::UNIX_EPOCH);
        foreign[0].type_ = "Blessed".to_owned();
        assert!(recorded(&foreign).is_empty());
    }
}
