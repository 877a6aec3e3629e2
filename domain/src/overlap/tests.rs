//! Which of several Egresses wins.

use super::*;
use crate::egress::{Mode, WhenUnavailable};
use crate::selector::AppliedTo;

fn egress(name: &str, priority: i32, created: i64) -> Egress {
    Egress {
        name: name.into(),
        uid: name.to_owned(),
        generation: 1,
        created,
        deleting: false,
        applied_to: AppliedTo::default(),
        mode: Mode::Static {
            ip: [10, 10, 0, 11].into(),
        },
        priority,
        when_unavailable: WhenUnavailable::Drop,
        except: Vec::new(),
        bandwidth: None,
    }
}

fn winner(egresses: &[Egress]) -> String {
    egresses
        .iter()
        .map(Precedence::of)
        .min()
        .unwrap()
        .egress()
        .to_string()
}

#[test]
fn the_highest_priority_wins_even_over_an_older_egress() {
    assert_eq!(
        winner(&[egress("old", 0, 1), egress("important", 5, 9)]),
        "important"
    );
}

#[test]
fn of_equal_priority_the_oldest_wins() {
    assert_eq!(
        winner(&[egress("a-young", 0, 9), egress("z-old", 0, 1)]),
        "z-old"
    );
}

#[test]
fn of_equal_age_the_first_by_name_wins() {
    assert_eq!(winner(&[egress("b", 0, 1), egress("a", 0, 1)]), "a");
}

#[test]
fn a_negative_priority_loses_to_the_default() {
    assert_eq!(
        winner(&[egress("low", -1, 1), egress("default", 0, 9)]),
        "default"
    );
}
