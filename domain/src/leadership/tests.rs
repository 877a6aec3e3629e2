//! One replica's part in the election, step by step; a whole cluster of them is in `cluster`.

mod cluster;
mod simulation;

use super::*;

const NOW_US: i64 = 1_790_000_000_000_000;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn lease(version: u64, holder: Option<&str>) -> Lease {
    Lease {
        version: version.to_string(),
        record: Record {
            holder: holder.map(str::to_owned),
            lease_s: Some(10),
            acquired_us: Some(NOW_US),
            renewed_us: Some(NOW_US),
            transitions: Some(4),
        },
    }
}

/// A candidate that has read this Lease, at 100 s.
fn candidate(seen: Option<Lease>) -> Election {
    let mut election = Election::new("me".to_owned(), OPERATOR);
    election.stand();
    assert_eq!(election.step(s(100), NOW_US), Step::Read);
    election.answered(Answer::Read(seen), s(100));
    election
}

/// What is written now, and that it has been, as this version.
fn write(election: &mut Election, at: Duration, version: u64) -> Record {
    let Step::Write { record, .. } = election.step(at, NOW_US + 1) else {
        panic!("nothing is written");
    };
    let lease = Lease {
        version: version.to_string(),
        record: record.clone(),
    };
    election.answered(Answer::Written(lease), at + Duration::from_millis(500));
    record
}

#[test]
fn a_lease_that_nobody_holds_is_taken_at_once() {
    let mut election = candidate(Some(lease(7, None)));
    let step = election.step(s(100), NOW_US + 1);
    let record = Record {
        holder: Some("me".to_owned()),
        lease_s: Some(10),
        acquired_us: Some(NOW_US + 1),
        renewed_us: Some(NOW_US + 1),
        transitions: Some(5),
    };
    let version = Some("7".to_owned());
    assert_eq!(step, Step::Write { version, record });
    let mut of_manifest = candidate(Some(Lease {
        version: "1".to_owned(),
        record: Record::default(),
    }));
    assert_eq!(write(&mut of_manifest, s(100), 2).transitions, Some(0));
}

#[test]
fn the_lead_counts_from_when_the_renewal_was_sent() {
    let mut election = candidate(Some(lease(7, None)));
    write(&mut election, s(100), 8);
    assert_eq!(election.leads_until(), Some(s(106)));
    assert_eq!(election.step(s(101), NOW_US), Step::Wait(Some(s(102))));
    let renewed = write(&mut election, s(102), 9);
    assert_eq!(
        (renewed.acquired_us, renewed.transitions),
        (Some(NOW_US + 1), Some(5))
    );
    assert_eq!(election.leads_until(), Some(s(108)));
}

#[test]
fn the_lead_ends_by_itself_when_renewals_are_not_answered() {
    let mut election = candidate(Some(lease(7, None)));
    write(&mut election, s(100), 8);
    assert!(matches!(election.step(s(102), NOW_US), Step::Write { .. }));
    assert_eq!(election.step(s(105), NOW_US), Step::Wait(Some(s(106))));
    assert_eq!(election.step(s(106), NOW_US), Step::Wait(None));
    assert_eq!(election.leads_until(), None);
    // It may have been made: what is tried next is of the version known, and fails if so.
    election.answered(Answer::Failed, s(107));
    let Step::Write { version, .. } = election.step(s(108), NOW_US) else {
        panic!("it does not try again");
    };
    assert_eq!(version.as_deref(), Some("8"));
}

#[test]
fn anothers_lease_is_taken_when_it_has_not_been_seen_to_change_for_its_duration() {
    let mut election = candidate(Some(lease(7, Some("you"))));
    assert_eq!(election.step(s(100), NOW_US), Step::Wait(Some(s(110))));
    election.observe(Some(lease(8, Some("you"))), s(109));
    // An echo of what is known already, or older.
    election.observe(Some(lease(8, Some("you"))), s(112));
    election.observe(Some(lease(7, Some("you"))), s(113));
    assert_eq!(election.step(s(113), NOW_US), Step::Wait(Some(s(119))));
    assert_eq!(write(&mut election, s(119), 9).transitions, Some(5));
    assert!(election.leads_until().is_some());
}

#[test]
fn times_of_day_in_a_lease_and_odd_durations_do_not_matter() {
    for lease_s in [None, Some(0), Some(1), Some(u32::MAX)] {
        let mut old = lease(7, Some("you"));
        old.record = Record {
            lease_s,
            renewed_us: Some(0),
            ..old.record
        };
        let mut election = candidate(Some(old));
        let Step::Wait(Some(until)) = election.step(s(100), NOW_US) else {
            panic!("it does not wait");
        };
        assert!((s(110)..=s(160)).contains(&until), "{until:?}");
    }
}

#[test]
fn a_release_is_taken_at_once_and_by_one_only() {
    let mut election = candidate(Some(lease(7, Some("you"))));
    election.observe(Some(lease(8, None)), s(101));
    assert!(matches!(election.step(s(101), NOW_US), Step::Write { .. }));
    election.answered(Answer::Conflict, s(101));
    assert_eq!(election.leads_until(), None);
    assert_eq!(election.step(s(102), NOW_US), Step::Read);
    election.answered(Answer::Read(Some(lease(9, Some("third")))), s(102));
    assert_eq!(election.step(s(102), NOW_US), Step::Wait(Some(s(112))));
}

#[test]
fn a_lease_that_is_gone_may_have_been_held_when_it_went() {
    let mut election = candidate(None);
    assert_eq!(election.step(s(100), NOW_US), Step::Wait(Some(s(110))));
    let Step::Write { version, .. } = election.step(s(110), NOW_US) else {
        panic!("it is not made");
    };
    assert_eq!(version, None);
}

#[test]
fn who_sees_another_hold_the_lease_leads_no_more() {
    let mut election = candidate(Some(lease(7, None)));
    write(&mut election, s(100), 8);
    election.observe(Some(lease(9, Some("you"))), s(101));
    assert_eq!(election.leads_until(), None);
}

#[test]
fn who_leaves_gives_the_lease_back_and_takes_it_no_more() {
    let mut election = candidate(Some(lease(7, None)));
    write(&mut election, s(100), 8);
    election.leave();
    assert_eq!(election.leads_until(), None);
    let released = write(&mut election, s(101), 9);
    assert_eq!((released.holder, released.transitions), (None, Some(5)));
    assert_eq!(election.step(s(101), NOW_US), Step::Done);
    let mut follower = candidate(Some(lease(7, Some("you"))));
    follower.leave();
    assert_eq!(follower.step(s(200), NOW_US), Step::Done);
}

#[test]
fn who_is_not_able_to_lead_yet_takes_nothing() {
    let mut election = Election::new("me".to_owned(), OPERATOR);
    assert_eq!(election.step(s(100), NOW_US), Step::Read);
    election.answered(Answer::Read(Some(lease(7, None))), s(100));
    assert_eq!(election.step(s(100), NOW_US), Step::Wait(None));
}

#[test]
fn failures_are_followed_by_longer_and_longer_delays_which_differ_between_replicas() {
    let delays = |me: &str| {
        let mut election = Election::new(me.to_owned(), OPERATOR);
        let mut now = s(100);
        let delays = [(); 8].map(|()| {
            assert_eq!(election.step(now, NOW_US), Step::Read);
            election.answered(Answer::Failed, now);
            let Step::Wait(Some(until)) = election.step(now, NOW_US) else {
                panic!("it does not wait");
            };
            let delay = until.saturating_sub(now);
            now = until;
            delay
        });
        delays.map(|delay| delay.as_millis())
    };
    let (one, other) = (delays("one"), delays("other"));
    assert!(one != other);
    for delays in [one, other] {
        assert!((125..=250).contains(&delays[0]), "{delays:?}");
        assert!((1000..=2000).contains(&delays[7]), "{delays:?}");
    }
}

#[test]
fn the_operators_times_leave_a_second_for_clocks_that_differ() {
    let Times {
        lease,
        lead,
        in_flight,
        renew,
        ..
    } = OPERATOR;
    assert!(lead + in_flight + s(1) <= lease);
    // A renewal that is not answered in time leaves time for another.
    assert!(renew + in_flight < lead);
}
