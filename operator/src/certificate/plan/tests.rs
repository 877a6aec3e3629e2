//! One step at a time, from each state of secrets, configurations and replicas.

use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The middle of a certificate's life that begins at zero and lasts thirty hours.
fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(hours * 3600).unwrap()
}

/// An authority that is valid from here to there. The name ends in zero: it is renewed exactly at two thirds.
fn root(name: &str, from: i64, until: i64) -> Root {
    Root {
        der: [name.as_bytes(), &[0]].concat(),
        validity: Validity {
            from: at(from),
            until: at(until),
        },
    }
}

fn first() -> Root {
    root("first", 0, 90)
}

fn second() -> Root {
    root("second", 60, 150)
}

fn authority(root: &Root, previous: &[Root]) -> Authority {
    Authority {
        root: root.clone(),
        previous: previous.to_vec(),
    }
}

fn leaf(by: &Root, from: i64, bundle: &[Root]) -> Leaf {
    Leaf {
        der: vec![0],
        validity: Validity {
            from: at(from),
            until: at(from + 30),
        },
        signed_by: by.der.clone(),
        bundle: bundle.iter().map(|root| root.der.clone()).collect(),
    }
}

fn present(trusted: &[Root], is_right: bool) -> Registration {
    Registration::Present {
        trusted: trusted.to_vec(),
        is_right,
    }
}

fn replicas(root: &Root, asked_at: Timestamp, listed: usize, serving: usize) -> Replicas {
    Replicas {
        root: root.der.clone(),
        asked_at,
        behind_since: (serving < listed).then_some(asked_at),
        listed,
        serving,
    }
}

/// Nothing at all.
fn nothing() -> Observed {
    Observed {
        authority: None,
        leaf: None,
        registration: Registration::Absent,
        trusted_since: None,
        replicas: None,
    }
}

/// All as it should be from the beginning.
fn settled() -> Observed {
    Observed {
        authority: Some(authority(&first(), &[])),
        leaf: Some(leaf(&first(), 0, &[first()])),
        registration: present(&[first()], true),
        trusted_since: Some(at(0)),
        replicas: None,
    }
}

/// After the second authority has been published, while the certificate is still by the first.
fn changing_over() -> Observed {
    Observed {
        authority: Some(authority(&second(), &[first()])),
        leaf: Some(leaf(&first(), 45, &[first()])),
        registration: present(&[second(), first()], true),
        trusted_since: Some(at(60)),
        replicas: None,
    }
}

/// After the certificate by the second authority has been stored.
fn changed_over() -> Observed {
    Observed {
        leaf: Some(leaf(&second(), 60, &[second(), first()])),
        ..changing_over()
    }
}

#[test]
fn at_first_there_is_an_authority_then_a_certificate_then_a_replica_and_only_then_a_registration() {
    let mut seen = nothing();
    assert_eq!(
        plan(at(0), &seen),
        Step::IssueAuthority { previous: vec![] }
    );
    seen.authority = Some(authority(&first(), &[]));
    assert_eq!(plan(at(0), &seen), Step::IssueLeaf);
    seen.leaf = Some(leaf(&first(), 0, &[first()]));
    assert_eq!(plan(at(0), &seen), Step::AskReplicas);
    seen.replicas = Some(replicas(&first(), at(0), 2, 0));
    let until = at(0) + ASK_AGAIN;
    assert_eq!(plan(at(0), &seen), Step::Rest { until });
    assert_eq!(plan(until, &seen), Step::AskReplicas);
    seen.replicas = Some(replicas(&first(), until, 2, 1));
    assert_eq!(plan(until, &seen), Step::Register);
}

#[test]
fn the_longer_replicas_do_not_serve_the_less_often_they_are_asked_but_once_a_minute_at_least() {
    let mut seen = Observed {
        registration: Registration::Absent,
        ..settled()
    };
    let mut now = at(1);
    let mut rests = Vec::new();
    for _ in 0..9 {
        assert_eq!(plan(now, &seen), Step::AskReplicas);
        seen.replicas = Some(Replicas {
            behind_since: Some(at(1)),
            ..replicas(&first(), now, 2, 0)
        });
        let Step::Rest { until } = plan(now, &seen) else {
            panic!("no rest at {now}");
        };
        rests.push(until.duration_since(now).as_secs());
        now = until;
    }
    assert_eq!(rests, [2, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn where_no_webhook_runs_nobody_is_asked_again_and_nothing_is_registered() {
    let seen = Observed {
        registration: Registration::Absent,
        replicas: Some(replicas(&first(), at(0), 0, 0)),
        ..settled()
    };
    assert_eq!(plan(at(10), &seen), Step::Rest { until: at(20) });
}

#[test]
fn what_is_as_it_should_be_rests_until_the_certificate_is_due() {
    assert_eq!(plan(at(1), &settled()), Step::Rest { until: at(20) });
    assert_eq!(plan(at(20), &settled()), Step::IssueLeaf);
}

#[test]
fn not_all_certificates_come_due_at_two_thirds_but_none_earlier_than_a_tenth_before() {
    let validity = first().validity;
    let times: Vec<_> = [0, 128, 255].map(|byte| validity.renew_at(&[byte])).into();
    assert!(times.is_sorted_by(|a, b| a > b), "{times:?}");
    assert_eq!(times.first(), Some(&at(60)));
    assert!(times.iter().all(|time| *time > at(51)), "{times:?}");
}

#[test]
fn a_lost_certificate_is_made_again_at_once_by_the_same_authority() {
    let seen = Observed {
        leaf: None,
        ..settled()
    };
    assert_eq!(plan(at(1), &seen), Step::IssueLeaf);
}

#[test]
fn an_expired_certificate_or_one_of_the_future_is_made_again() {
    for from in [-31, 2] {
        let seen = Observed {
            leaf: Some(leaf(&first(), from, &[first()])),
            ..settled()
        };
        assert_eq!(plan(at(1), &seen), Step::IssueLeaf);
    }
}

#[test]
fn a_registration_that_was_changed_is_put_right_before_anything_else() {
    let seen = Observed {
        registration: present(&[], false),
        leaf: None,
        ..settled()
    };
    assert_eq!(plan(at(1), &seen), Step::Register);
}

#[test]
fn a_bundle_that_was_changed_beside_the_certificate_is_put_right() {
    let seen = Observed {
        leaf: Some(leaf(&first(), 0, &[second()])),
        ..settled()
    };
    assert_eq!(plan(at(1), &seen), Step::ShareBundle);
}

#[test]
fn an_authority_that_is_due_is_followed_by_another_and_still_trusted() {
    let step = plan(at(60), &settled());
    assert_eq!(
        step,
        Step::IssueAuthority {
            previous: vec![first()]
        }
    );
}

#[test]
fn a_lost_authority_stays_trusted_as_far_as_the_api_server_trusts_it() {
    let expired = root("expired", -90, 0);
    let seen = Observed {
        authority: None,
        leaf: None,
        registration: present(&[first(), expired], false),
        ..settled()
    };
    assert_eq!(
        plan(at(1), &seen),
        Step::IssueAuthority {
            previous: vec![first()]
        }
    );
}

#[test]
fn nothing_is_signed_by_an_authority_before_every_api_server_has_read_of_it() {
    let mut seen = changing_over();
    let until = at(60) + SETTLE;
    assert_eq!(plan(at(60), &seen), Step::Rest { until });
    assert_eq!(plan(until, &seen), Step::IssueLeaf);
    seen.trusted_since = None;
    let until = at(61) + SETTLE;
    assert_eq!(plan(at(61), &seen), Step::Rest { until }, "not seen before");
}

/// Both Secrets are gone, as in an emergency: the replicas go on with what they have read.
#[test]
fn where_the_certificate_is_lost_too_replicas_may_still_serve_it_so_trust_is_waited_for() {
    let seen = Observed {
        leaf: None,
        ..changing_over()
    };
    let until = at(60) + SETTLE;
    assert_eq!(plan(at(60), &seen), Step::Rest { until });
    assert_eq!(plan(until, &seen), Step::IssueLeaf);
}

#[test]
fn where_the_certificate_has_ended_nobody_waits_for_trust() {
    let seen = Observed {
        leaf: Some(leaf(&first(), 20, &[first()])),
        ..changing_over()
    };
    assert_eq!(plan(at(60), &seen), Step::IssueLeaf);
}

#[test]
fn where_nobody_asks_the_webhook_nobody_waits_for_trust() {
    let seen = Observed {
        registration: Registration::Absent,
        ..changing_over()
    };
    assert_eq!(plan(at(60), &seen), Step::IssueLeaf);
}

#[test]
fn the_former_authority_is_forgotten_when_all_replicas_serve_the_new_certificate() {
    let mut seen = changed_over();
    assert_eq!(plan(at(61), &seen), Step::AskReplicas);
    seen.replicas = Some(replicas(&second(), at(61), 2, 1));
    let until = at(61) + ASK_AGAIN;
    assert_eq!(plan(at(61), &seen), Step::Rest { until });
    seen.replicas = Some(replicas(&second(), at(61), 2, 2));
    assert_eq!(plan(at(61), &seen), Step::ForgetPrevious);
}

#[test]
fn an_answer_about_another_authority_is_none() {
    let seen = Observed {
        replicas: Some(replicas(&first(), at(61), 2, 2)),
        ..changed_over()
    };
    assert_eq!(plan(at(61), &seen), Step::AskReplicas);
}

#[test]
fn replicas_that_are_away_keep_the_former_authority_up_to_its_end() {
    let seen = Observed {
        replicas: Some(replicas(&second(), at(61), 0, 0)),
        leaf: Some(leaf(&second(), 80, &[second(), first()])),
        ..changed_over()
    };
    assert_eq!(plan(at(80), &seen), Step::Rest { until: at(90) });
    assert_eq!(plan(at(90), &seen), Step::ForgetPrevious);
}

/// Carries out a step on the values, as the operator does on the objects.
fn carry_out(now: Timestamp, step: Step, seen: &mut Observed, made: &mut u8) {
    *made += 1;
    let der = vec![*made, *made];
    match step {
        Step::IssueAuthority { previous } => {
            let until = now + HOUR * 90;
            let root = Root {
                der,
                validity: Validity { from: now, until },
            };
            seen.authority = Some(Authority { root, previous });
            seen.trusted_since = None;
            if let Registration::Present { is_right, .. } = &mut seen.registration {
                *is_right = false;
            }
        }
        Step::IssueLeaf => {
            let authority = seen.authority.as_ref().unwrap();
            let validity = Validity {
                from: now,
                until: now + HOUR * 30,
            };
            seen.leaf = Some(Leaf {
                der,
                validity,
                signed_by: authority.root.der.clone(),
                bundle: authority.bundle().map(|root| root.der.clone()).collect(),
            });
        }
        Step::ShareBundle => {
            let bundle = seen.authority.as_ref().unwrap().bundle();
            let bundle = bundle.map(|root| root.der.clone()).collect();
            seen.leaf.as_mut().unwrap().bundle = bundle;
        }
        Step::Register => {
            let trusted = seen.authority.as_ref().unwrap().bundle().cloned().collect();
            seen.registration = Registration::Present {
                trusted,
                is_right: true,
            };
            seen.trusted_since.get_or_insert(now);
        }
        Step::AskReplicas => {
            let root = seen.authority.as_ref().unwrap().root.clone();
            seen.replicas = Some(replicas(&root, now, 2, 2));
        }
        Step::ForgetPrevious => {
            seen.authority.as_mut().unwrap().previous.clear();
            if let Registration::Present { is_right, .. } = &mut seen.registration {
                *is_right = false;
            }
        }
        Step::Rest { .. } => {}
    }
}

/// What a replica serves can be verified by what the API server trusts, however far apart both have read.
fn assert_served_is_trusted(now: Timestamp, seen: &Observed, served: &[Der]) {
    let Registration::Present { trusted, .. } = &seen.registration else {
        return;
    };
    for by in served {
        assert!(
            trusted
                .iter()
                .any(|root| root.der == *by && root.validity.is_at(now)),
            "at {now}"
        );
    }
}

#[test]
fn through_a_year_of_renewals_what_is_served_is_always_trusted_and_valid() {
    let (mut now, mut seen, mut made) = (at(0), nothing(), 0);
    let (mut steps, mut authorities) = (0, 0);
    while now < at(24 * 365) {
        let before = seen.leaf.as_ref().map(|leaf| leaf.signed_by.clone());
        let step = plan(now, &seen);
        steps += 1;
        if let Step::Rest { until } = step {
            assert!(until > now, "rests in the past");
            now = until;
            continue;
        }
        authorities += usize::from(matches!(step, Step::IssueAuthority { .. }));
        carry_out(now, step, &mut seen, &mut made);
        made %= 200;
        let after = seen.leaf.as_ref().map(|leaf| leaf.signed_by.clone());
        // A replica may be a step behind.
        assert_served_is_trusted(
            now,
            &seen,
            &[before, after].into_iter().flatten().collect::<Vec<_>>(),
        );
        if let Some(leaf) = &seen.leaf {
            assert!(leaf.validity.is_at(now));
        }
    }
    assert!((100..200).contains(&authorities), "{authorities}");
    assert!(steps < 3000, "{steps}");
}

/// Notes since when the authority is trusted, as whoever reads does.
fn note_trust(now: Timestamp, seen: &mut Observed) {
    if let (Some(authority), Registration::Present { trusted, .. }) =
        (&seen.authority, &seen.registration)
        && trusted.contains(&authority.root)
    {
        seen.trusted_since.get_or_insert(now);
    }
}

/// Every combination of what there may be of each part at this time.
fn all_kinds(now: i64) -> Vec<Observed> {
    let (current, former, stranger) = (
        root("current", now - 30, now + 60),
        root("former", now - 80, now + 10),
        root("stranger", now - 1, now + 89),
    );
    let authorities = [
        None,
        Some(authority(&current, &[])),
        Some(authority(&current, std::slice::from_ref(&former))),
        // Due.
        Some(authority(&former, &[])),
    ];
    let leaves = [
        None,
        Some(leaf(&current, now - 1, &[])),
        Some(leaf(&former, now - 1, std::slice::from_ref(&former))),
        // Due, expired, and not valid yet.
        Some(leaf(&current, now - 25, std::slice::from_ref(&current))),
        Some(leaf(&current, now - 40, std::slice::from_ref(&current))),
        Some(leaf(&current, now + 1, std::slice::from_ref(&current))),
    ];
    let registrations = [
        Registration::Absent,
        present(&[], false),
        present(&[former, stranger.clone()], false),
        present(&[current.clone(), stranger], false),
        present(std::slice::from_ref(&current), true),
    ];
    let answers = [
        None,
        Some(replicas(&current, at(now), 2, 0)),
        Some(replicas(&current, at(now), 2, 2)),
    ];
    let mut all = Vec::new();
    for authority in &authorities {
        for leaf in &leaves {
            for registration in &registrations {
                all.extend(answers.iter().map(|replicas| Observed {
                    authority: authority.clone(),
                    leaf: leaf.clone(),
                    registration: registration.clone(),
                    trusted_since: None,
                    replicas: replicas.clone(),
                }));
            }
        }
    }
    all
}

#[test]
fn from_every_disorder_there_is_a_short_way_to_one_authority_one_certificate_and_a_right_registration()
 {
    for start in all_kinds(1000) {
        let (mut now, mut seen, mut made) = (at(1000), start.clone(), 0);
        let is_settled = |seen: &Observed| {
            let authority = seen
                .authority
                .as_ref()
                .is_some_and(|one| one.previous.is_empty());
            authority
                && seen.leaf.is_some()
                && matches!(
                    &seen.registration,
                    Registration::Present { is_right: true, .. }
                )
        };
        for _ in 0..16 {
            note_trust(now, &mut seen);
            match plan(now, &seen) {
                Step::Rest { .. } if is_settled(&seen) => break,
                Step::Rest { until } => now = until,
                step => carry_out(now, step, &mut seen, &mut made),
            }
        }
        let Step::Rest { until } = plan(now, &seen) else {
            panic!("no rest from {start:?}: {seen:?}");
        };
        assert!(is_settled(&seen) && until > now, "from {start:?}: {seen:?}");
        let (authority, leaf) = (seen.authority.unwrap(), seen.leaf.unwrap());
        assert_eq!(leaf.signed_by, authority.root.der);
        assert_eq!(leaf.bundle, [authority.root.der]);
    }
}
