//! The log of one pipeline: who runs, who waits, exactly.

use orca_engine::{
    admission::{AdmissionCommand, AdmissionEvent, Admissions, Ticket, decide, evolve},
    limits,
};
use proptest::prelude::*;

fn ticket(n: u32) -> Ticket {
    Ticket::new("e", n)
}

fn request(n: u32, limit: u32, keep_waiting: bool) -> AdmissionCommand {
    AdmissionCommand::Request {
        ticket: ticket(n),
        limit,
        keep_waiting,
    }
}

fn release(n: u32) -> AdmissionCommand {
    AdmissionCommand::Release { ticket: ticket(n) }
}

/// Gives a command, and once more, which changes nothing.
fn give(state: &mut Admissions, command: &AdmissionCommand) -> Vec<AdmissionEvent> {
    let events = decide(state, command).expect("there is room");
    for event in &events {
        *state = evolve(std::mem::take(state), event);
    }
    assert!(
        decide(state, command).expect("room").is_empty(),
        "{command:?} twice"
    );
    events
}

/// Given a limit, when these come (`n` asks, `-n` leaves), then who runs and who waits.
fn check(limit: u32, keep: bool, when: &[i64], running: &[u32], waiting: &[u32]) {
    let mut state = Admissions::default();
    for step in when {
        let n = u32::try_from(step.unsigned_abs()).expect("small");
        let command = if *step > 0 {
            request(n, limit, keep)
        } else {
            release(n)
        };
        give(&mut state, &command);
    }
    let tickets = |list: &[u32]| list.iter().map(|n| ticket(*n)).collect::<Vec<_>>();
    assert_eq!(state.running, tickets(running), "running after {when:?}");
    assert_eq!(state.waiting, tickets(waiting), "waiting after {when:?}");
}

#[test]
fn places_are_given_in_order_and_never_more_than_there_are() {
    check(1, true, &[1], &[1], &[]);
    check(1, true, &[1, 2, 3], &[1], &[2, 3]);
    check(1, true, &[1, 2, 3, -1], &[2], &[3]);
    check(1, true, &[1, 2, 3, -2], &[1], &[3]);
    check(1, true, &[1, 2, 3, -2, -1], &[3], &[]);
    check(3, true, &[1, 2, 3, 4, 5], &[1, 2, 3], &[4, 5]);
    check(3, true, &[1, 2, 3, 4, 5, -2, -1], &[3, 4, 5], &[]);
    check(0, true, &[1, 2, 3], &[1, 2, 3], &[]);
}

#[test]
fn only_the_newest_is_kept_when_waiting_is_not_wanted() {
    check(1, false, &[1, 2, 3], &[1], &[2, 3]);
    check(1, false, &[1, 2, 3, 4, -1], &[4], &[]);
    check(2, false, &[1, 2, 3, 4, -1], &[2, 4], &[]);
    let mut state = Admissions::default();
    for n in 1..=4 {
        give(&mut state, &request(n, 1, false));
    }
    let events = give(&mut state, &release(1));
    let superseded = |n| AdmissionEvent::Superseded { ticket: ticket(n) };
    let expected = [
        AdmissionEvent::Released { ticket: ticket(1) },
        superseded(2),
        superseded(3),
        AdmissionEvent::Admitted { ticket: ticket(4) },
    ];
    assert_eq!(events, expected);
}

#[test]
fn whoever_left_takes_no_place_any_more() {
    check(1, true, &[-1, 1, 2], &[2], &[]);
    check(1, true, &[1, 2, -2, -1, 2], &[], &[]);
    // Another run of the same execution is another ticket.
    let mut state = Admissions::default();
    let of = |generation| AdmissionCommand::Request {
        ticket: Ticket::new("a", generation),
        limit: 1,
        keep_waiting: true,
    };
    give(&mut state, &of(0));
    give(
        &mut state,
        &AdmissionCommand::Release {
            ticket: Ticket::new("a", 0),
        },
    );
    give(&mut state, &of(1));
    assert_eq!(state.running, [Ticket::new("a", 1)]);
    assert_eq!(
        (
            state.running[0].execution().as_str(),
            state.running[0].generation()
        ),
        ("a", 1)
    );
}

#[test]
fn the_newest_request_says_what_the_limit_is() {
    let mut state = Admissions::default();
    for n in 1..=4 {
        give(&mut state, &request(n, 1, true));
    }
    give(&mut state, &request(5, 3, true));
    assert_eq!(state.running, [ticket(1), ticket(2), ticket(3)]);
    give(&mut state, &request(6, 1, false));
    assert_eq!(state.running.len(), 3, "nobody is thrown out");
    give(&mut state, &release(1));
    give(&mut state, &release(2));
    assert_eq!((state.running.len(), state.waiting.len()), (1, 3));
    give(&mut state, &release(3));
    assert_eq!(state.running, [ticket(6)]);
}

#[test]
fn waiting_executions_have_a_limit() {
    let mut state = Admissions::default();
    let most = limits::WAITING_EXECUTIONS_MAX as u32;
    for n in 0..=most {
        give(&mut state, &request(n, 1, true));
    }
    let refused = decide(&state, &request(most + 1, 1, true)).expect_err("one too many");
    assert_eq!(refused.waiting, limits::WAITING_EXECUTIONS_MAX);
    assert!(refused.to_string().contains("1000"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: never more than the limit, nobody in two places, nobody
    /// waits while there is room, and all who stay to the end are served or told.
    #[test]
    fn the_limit_holds_whatever_happens(
        limit in 1_u32..5,
        keep in any::<bool>(),
        steps in prop::collection::vec((any::<bool>(), 0_u32..40), 1..120),
    ) {
        let mut state = Admissions::default();
        let mut log = Vec::new();
        for (asks, n) in steps {
            let command = if asks { request(n, limit, keep) } else { release(n) };
            log.extend(give(&mut state, &command));
            prop_assert!(state.running.len() <= limit as usize);
            prop_assert!(state.waiting.is_empty() || state.running.len() == limit as usize);
            let mut all: Vec<&Ticket> = state.running.iter().chain(&state.waiting).collect();
            let many = all.len();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all.dedup();
            prop_assert_eq!(all.len(), many, "one ticket in two places");
        }
        let folded = log.iter().fold(Admissions::default(), evolve);
        prop_assert_eq!(&folded, &state, "the log is the truth");
        while let Some(ticket) = state.running.first().cloned() {
            give(&mut state, &AdmissionCommand::Release { ticket });
        }
        prop_assert!(state.waiting.is_empty());
    }
}
