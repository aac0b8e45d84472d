use super::*;
use proptest::prelude::*;

fn path(text: &str) -> Vec<String> {
    text.split('/').map(str::to_owned).collect()
}

fn with(job: Job) -> (State, Vec<String>) {
    let mut state = State::default();
    let path = path("shop/checkout");
    state.add_job(&path, job);
    (state, path)
}

#[test]
fn equal_requests_fold_while_they_are_queued() {
    let (mut state, job) = with(Job::pipeline());
    let first = state.trigger(&job, None, None).unwrap();
    let second = state.trigger(&job, None, None).unwrap();
    assert_eq!((first.item, first.folded), (second.item, false));
    assert!(second.folded);
    state.advance(5_000);
    assert!(!state.trigger(&job, None, None).unwrap().folded);
}

#[test]
fn only_declared_parameters_are_kept() {
    let (mut state, job) = with(Job::pipeline().with_parameters(&[
        Parameter::text("ENV", "staging"),
        Parameter::choice("SIZE", &["s", "m"]),
    ]));
    assert_eq!(state.trigger(&job, None, None), Err(Refusal::NeedsForm));
    let given = BTreeMap::from([
        ("NOPE".to_owned(), "1".to_owned()),
        ("SIZE".to_owned(), "m".to_owned()),
    ]);
    let item = state.trigger(&job, Some(&given), Some(0)).unwrap().item;
    let kept = &state.items[&item].parameters;
    assert_eq!(
        kept.iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>(),
        ["ENV=staging", "SIZE=m"]
    );
    let bad = BTreeMap::from([("SIZE".to_owned(), "xl".to_owned())]);
    assert_eq!(
        state.trigger(&job, Some(&bad), None),
        Err(Refusal::BadChoice)
    );
}

#[test]
fn a_build_goes_through_its_phases() {
    let (mut state, job) = with(Job::pipeline());
    let item = state.trigger(&job, None, None).unwrap().item;
    state.advance(5_000 + 60_000);
    let build = &state.builds[&job][&1];
    assert_eq!(
        (build.queue_id, build.is_building(), build.finalized),
        (item, false, false)
    );
    assert_eq!(
        (build.duration_ms(), build.result(state.now_ms)),
        (60_000, Some("SUCCESS"))
    );
    state.advance(2_000);
    assert!(state.builds[&job][&1].finalized);
    let phases: Vec<_> = state.notices.iter().map(|n| n.phase).collect();
    assert_eq!(
        phases,
        [
            Phase::Queued,
            Phase::Started,
            Phase::Completed,
            Phase::Finalized
        ]
    );
}

#[test]
fn a_job_without_concurrent_builds_blocks_and_executors_are_waited_for() {
    let mut job = Job::pipeline();
    job.concurrent = false;
    let (mut state, path) = with(job);
    state.trigger(&path, None, Some(0)).unwrap();
    let second = state.trigger(&path, None, Some(0)).unwrap().item;
    assert_eq!(state.items[&second].state, ItemState::Blocked);
    state.advance(60_000);
    assert!(!state.items[&second].is_queued());
    state.executors = 1;
    state.jobs.get_mut(&path).unwrap().concurrent = true;
    let third = state.trigger(&path, None, Some(0)).unwrap().item;
    assert_eq!(state.items[&third].state, ItemState::Buildable);
}

#[test]
fn an_item_that_left_is_forgotten_after_five_minutes() {
    let (mut state, job) = with(Job::pipeline());
    let item = state.trigger(&job, None, Some(0)).unwrap().item;
    state.advance(LEFT_ITEM_MS - 1);
    assert!(state.items.contains_key(&item));
    state.advance(1);
    assert!(!state.items.contains_key(&item));
}

#[test]
fn what_is_hidden_hides_everything_below() {
    let (mut state, job) = with(Job::pipeline());
    state.jobs.get_mut(&path("shop")).unwrap().hidden = true;
    assert_eq!(state.trigger(&job, None, None), Err(Refusal::NotFound));
}

#[test]
fn stopping_needs_to_be_hard_enough() {
    let script = Script {
        stopped_by: Force::Kill,
        ..Script::default()
    };
    let (mut state, job) = with(Job::pipeline().with_script(script));
    state.trigger(&job, None, Some(0)).unwrap();
    assert!(state.stop(&job, 1, Force::Term));
    assert!(state.builds[&job][&1].is_building());
    assert!(state.stop(&job, 1, Force::Kill));
    assert_eq!(state.builds[&job][&1].result(state.now_ms), Some("ABORTED"));
    assert!(!state.stop(&job, 2, Force::Kill));
}

proptest! {
    #[test]
    fn every_accepted_item_ends_however_time_is_cut(steps in proptest::collection::vec((0u8..3, 0u64..90_000), 1..40)) {
        let (mut state, job) = with(Job::pipeline());
        state.executors = 2;
        for (what, ms) in steps {
            match what {
                0 => { state.trigger(&job, None, None).unwrap(); }
                1 => { let id = state.items.keys().next().copied().unwrap_or(0); state.cancel_item(id); }
                _ => state.advance(ms),
            }
            prop_assert!(state.running() <= 2);
        }
        state.advance(10_000_000);
        prop_assert!(state.items.is_empty());
        prop_assert!(state.builds.values().flat_map(BTreeMap::values).all(|b| b.finalized));
    }
}
