//! One run of one input: panics are caught, time is taken.

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::Once,
    time::{Duration, Instant},
};

use crate::{Fault, Input, Outcome, Target};

/// Time that one input may take: far above what any takes in a release build.
pub const MS_MAX: u64 = if cfg!(debug_assertions) {
    20_000
} else {
    2_000
};
/// Runs of an input that took too long; the shortest one counts, since machines have other work too.
const TRIES: usize = 3;

thread_local! {
    /// Where the last panic of this thread was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
    /// A target runs in this thread: its panics are answers.
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a target once; how long it took.
pub fn run(target: &Target, input: &Input) -> (Outcome, Duration) {
    note_places();
    let (outcome, mut took) = timed(target, input);
    let too_long = |took: Duration| took > Duration::from_millis(MS_MAX);
    for _ in 1..TRIES {
        if !too_long(took) {
            return (outcome, took);
        }
        took = took.min(timed(target, input).1);
    }
    if !too_long(took) {
        return (outcome, took);
    }
    let slow = Fault::Slow {
        bytes: input.len(),
        ms: took.as_millis() as u64,
        ms_max: MS_MAX,
    };
    (Err(slow), took)
}

fn timed(target: &Target, input: &Input) -> (Outcome, Duration) {
    let began = Instant::now();
    let nested = IS_RUNNING.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    IS_RUNNING.set(nested);
    let took = began.elapsed();
    let outcome = outcome.unwrap_or_else(|thrown| {
        let said = thrown.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| thrown.downcast_ref::<&str>().copied());
        let place = PLACE.with_borrow(Clone::clone);
        Err(Fault::Panic(format!(
            "{} at {place}",
            said.unwrap_or("no message")
        )))
    });
    (outcome, took)
}

/// Panics are told by whoever runs the target, with their place, and not by the runtime.
fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            if IS_RUNNING.get() {
                let place = told.location().map(ToString::to_string).unwrap_or_default();
                PLACE.with_borrow_mut(|last| *last = place);
            } else {
                before(told);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    fn target(run: fn(&Input) -> Outcome) -> Target {
        Target::of_body("x", Vec::new, "", run)
    }

    #[test]
    fn a_panic_is_a_fault_with_its_place() {
        let target = target(|input| {
            let at = input.body.len();
            Ok(Shape::new().word(input.body[at]))
        });
        let (outcome, _) = run(&target, &Input::body("abc"));
        let Err(Fault::Panic(said)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            said.contains("out of bounds") && said.contains("run.rs:"),
            "{said}"
        );
    }

    #[test]
    fn an_answer_is_handed_on() {
        let target = target(|_| Ok(Shape::new().word("fine")));
        let (outcome, took) = run(&target, &Input::default());
        assert_eq!(outcome, Ok(Shape::new().word("fine")));
        assert!(took < Duration::from_millis(MS_MAX));
    }
}
