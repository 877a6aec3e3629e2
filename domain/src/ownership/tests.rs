//! Who holds an egress IP, as seen from each side of a failure.

use super::*;

fn names(text: &str) -> Vec<NodeName> {
    text.split_whitespace().map(NodeName::from).collect()
}

/// Six nodes, seen from `me`; those in `alive` answer.
fn seen_from(me: &str, alive: &str) -> Membership {
    Membership {
        me: me.into(),
        alive: names(alive).into_iter().collect(),
        known: 6,
        settled: true,
    }
}

fn holder_of(candidates: &str, last: &str, membership: &Membership) -> String {
    let last = names(last).into_iter().next();
    holder(&names(candidates), last.as_ref(), membership, || {
        names("a b c d e f")
    })
    .map_or_else(|| "nobody".to_owned(), |node| node.to_string())
}

#[test]
fn the_last_holder_keeps_the_ip_while_it_is_alive_even_if_it_is_not_the_first_candidate() {
    assert_eq!(holder_of("a b c", "b", &seen_from("d", "a b c d e f")), "b");
}

#[test]
fn the_first_candidate_alive_follows_a_dead_holder() {
    assert_eq!(holder_of("a b c", "a", &seen_from("d", "c d e f")), "c");
}

#[test]
fn every_node_names_the_same_successor() {
    for me in ["b", "c", "d", "e", "f"] {
        assert_eq!(holder_of("a b c", "a", &seen_from(me, "b c d e f")), "b");
    }
}

#[test]
fn an_ip_that_nobody_held_goes_to_the_first_candidate_alive() {
    assert_eq!(holder_of("a b c", "", &seen_from("a", "a b c d e f")), "a");
}

#[test]
fn a_holder_that_is_no_candidate_any_more_loses_the_ip_to_the_first_candidate() {
    assert_eq!(holder_of("b c", "a", &seen_from("a", "a b c d e f")), "b");
}

#[test]
fn when_all_candidates_are_dead_the_ranking_of_eligible_nodes_goes_on() {
    assert_eq!(
        holder_of("a b c", "a", &seen_from("d", "d e f b x").without("b")),
        "d"
    );
}

#[test]
fn who_took_over_by_the_ranking_keeps_the_ip_until_a_candidate_is_alive() {
    assert_eq!(holder_of("a b c", "e", &seen_from("d", "d e f")), "e");
    assert_eq!(holder_of("a b c", "e", &seen_from("d", "c d e f")), "c");
}

#[test]
fn without_candidates_nobody_holds_it_and_a_holder_lets_go() {
    assert_eq!(holder_of("", "a", &seen_from("a", "a b c d e f")), "nobody");
}

#[test]
fn a_minority_takes_nothing_over() {
    assert_eq!(holder_of("a b c", "a", &seen_from("b", "b c d")), "nobody");
}

#[test]
fn a_minority_keeps_what_it_holds() {
    assert_eq!(holder_of("a b c", "a", &seen_from("a", "a")), "a");
}

#[test]
fn of_two_nodes_the_survivor_takes_over() {
    let pair = Membership {
        known: 2,
        ..seen_from("b", "b")
    };
    assert_eq!(holder_of("a b", "a", &pair), "b");
}

#[test]
fn an_agent_that_has_just_started_believes_the_status_and_takes_nothing_over() {
    let fresh = Membership {
        settled: false,
        ..seen_from("b", "b")
    };
    assert_eq!(holder_of("a b c", "a", &fresh), "a");
    assert_eq!(holder_of("b c d", "a", &fresh), "nobody");
    assert_eq!(holder_of("a b c", "b", &fresh), "b");
}

fn last_of(named: &str, reported: &str, membership: &Membership) -> String {
    let (named, reported) = (names(named), names(reported));
    let last = last_holder(named.first(), reported.first(), membership);
    last.map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

#[test]
fn a_guess_about_another_node_is_given_up_when_the_reported_holder_answers_again() {
    assert_eq!(last_of("b", "a", &seen_from("d", "b c d e")), "b");
    assert_eq!(last_of("b", "a", &seen_from("d", "a b c d e")), "a");
}

#[test]
fn what_a_node_has_taken_over_itself_it_does_not_give_back_by_itself() {
    assert_eq!(last_of("d", "a", &seen_from("d", "a b c d e")), "d");
}

#[test]
fn without_a_report_what_was_named_last_counts() {
    assert_eq!(last_of("b", "", &seen_from("d", "a b c d e")), "b");
    assert_eq!(last_of("", "", &seen_from("d", "a b c d e")), "nobody");
}

#[test]
fn a_static_ip_is_held_by_the_node_that_has_it() {
    let me = seen_from("a", "a b c d e f");
    assert_eq!(static_holder(true, None, &me), Some("a".into()));
    assert_eq!(static_holder(false, None, &me), None);
    assert_eq!(
        static_holder(false, Some(&"b".into()), &me),
        Some("b".into())
    );
}

#[test]
fn a_node_that_loses_a_static_ip_lets_go_of_it() {
    assert_eq!(
        static_holder(false, Some(&"a".into()), &seen_from("a", "a b")),
        None
    );
}

#[test]
fn a_static_ip_on_two_nodes_stays_with_the_one_that_claimed_it_while_it_lives() {
    let reported = Some(NodeName::from("b"));
    let both_alive = seen_from("a", "a b c d");
    assert_eq!(
        static_holder(true, reported.as_ref(), &both_alive),
        reported
    );
    let claimer_dead = seen_from("a", "a c d");
    assert_eq!(
        static_holder(true, reported.as_ref(), &claimer_dead),
        Some("a".into())
    );
}

fn holding(node: &str, last_byte: u8) -> Holding {
    Holding {
        node: node.into(),
        egress_ip: Some([10, 10, 0, last_byte].into()),
        generation: 1,
    }
}

#[test]
fn a_node_reports_what_it_holds_until_the_status_says_it() {
    let (me, mine) = (NodeName::from("a"), holding("a", 11));
    let holds = Some(Report::Holds([10, 10, 0, 11].into()));
    assert_eq!(report(&me, Some(&mine), None), holds);
    assert_eq!(report(&me, Some(&mine), Some(&holding("b", 11))), holds);
    assert_eq!(report(&me, Some(&mine), Some(&holding("a", 12))), holds);
    assert_eq!(report(&me, Some(&mine), Some(&mine)), None);
    let of_an_older_spec = Holding {
        generation: 0,
        ..mine.clone()
    };
    assert_eq!(report(&me, Some(&mine), Some(&of_an_older_spec)), holds);
}

#[test]
fn a_node_reports_that_it_let_go_only_of_what_the_status_says_it_holds() {
    let me = NodeName::from("a");
    assert_eq!(
        report(&me, None, Some(&holding("a", 11))),
        Some(Report::LetGo)
    );
    assert_eq!(report(&me, None, Some(&holding("b", 11))), None);
    assert_eq!(report(&me, None, None), None);
}

#[test]
fn a_node_that_lost_the_ip_to_another_leaves_the_report_to_the_new_holder() {
    let me = NodeName::from("a");
    assert_eq!(
        report(&me, Some(&holding("b", 11)), Some(&holding("a", 11))),
        None
    );
}

impl Membership {
    fn without(mut self, node: &str) -> Self {
        self.alive.remove(&NodeName::from(node));
        self
    }
}
