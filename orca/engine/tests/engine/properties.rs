//! Whatever the graph, whatever workers, people and crashes do: it ends, the log is the truth, nothing
//! starts twice.

use orca_engine::Command;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::driver::{Answer, Driver, cluster, object, pipeline, stage};

const STEPS_MAX: usize = 4_000;

#[derive(Debug, Clone)]
struct Shape {
    kind: u8,
    after: u16,
    flags: u8,
}

fn definition(shapes: &[Shape]) -> Value {
    let mut stages = Vec::new();
    for (n, shape) in shapes.iter().enumerate() {
        let after: Vec<String> = (0..n)
            .filter(|m| shape.after >> (m % 16) & 1 == 1)
            .map(|m| m.to_string())
            .collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        let (kind, more) = match shape.kind {
            0 | 1 => ("wait", json!({"waitTime": u64::from(shape.flags)})),
            2 => ("manualJudgment", json!({"stageTimeoutMs": 60_000})),
            3 => (
                "evaluateVariables",
                json!({"variables": [{"key": "a", "value": "${1+1}"}]}),
            ),
            4 => ("checkPreconditions", checks("true")),
            5 => ("checkPreconditions", checks("false")),
            6 => (
                "webhook",
                json!({"url": "http://x/", "waitForCompletion": true}),
            ),
            7 => ("pipeline", json!({"application": "app", "pipeline": "c"})),
            8 => ("deploy", cluster("prod", "redblack")),
            9 => ("deploy", cluster("test", "highlander")),
            10 => (
                "wait",
                json!({"stageEnabled": {"type": "expression", "expression": "false"}}),
            ),
            _ => ("destroyServerGroup", json!({"serverGroupName": "app-v000"})),
        };
        let mut more = object(more);
        match shape.flags {
            1 => drop(more.insert("failPipeline".to_owned(), json!(false))),
            2 => drop(more.insert("continuePipeline".to_owned(), json!(true))),
            3 => {
                more.insert("failPipeline".to_owned(), json!(false));
                more.insert("completeOtherBranchesThenFail".to_owned(), json!(true));
            }
            _ => {}
        }
        stages.push(stage(&n.to_string(), &after, kind, Value::Object(more)));
    }
    pipeline(&stages)
}

fn checks(expression: &str) -> Value {
    let check = json!({"type": "expression", "context": {"expression": expression}});
    json!({"preconditions": [check.clone(), check]})
}

/// A reproducible sequence of numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// One random thing happens.
fn disturb(driver: &mut Driver, dice: &mut Dice) {
    let by = || "ana".to_owned();
    match dice.roll(40) {
        0 | 1 => driver.crash(),
        2 => driver.give(&Command::Pause { by: by() }),
        3 | 4 => driver.give(&Command::Resume { by: by() }),
        5 => driver.give(&Command::Tick),
        6 if dice.roll(6) == 0 => driver.give(&Command::Cancel {
            by: by(),
            reason: None,
        }),
        _ => go_on(driver, dice),
    }
}

fn go_on(driver: &mut Driver, dice: &mut Dice) {
    let keys: Vec<String> = driver.orders.keys().cloned().collect();
    let judgments = driver.judgments();
    if !keys.is_empty() && dice.roll(3) > 0 {
        let key = &keys[dice.roll(keys.len() as u64) as usize];
        let answer = match dice.roll(10) {
            0 => Answer::Fail,
            1 => Answer::Unavailable,
            _ => Answer::Succeed,
        };
        driver.answer(key, answer);
    } else if !judgments.is_empty() && dice.roll(2) == 0 {
        let word = ["continue", "Continue", "stop"][dice.roll(3) as usize];
        driver.judge(judgments[0].clone(), word);
    } else {
        driver.wait();
    }
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let one = (0_u8..12, any::<u16>(), 0_u8..5);
    let one = one.prop_map(|(kind, after, flags)| Shape { kind, after, flags });
    prop::collection::vec(one, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pipeline_ends_and_its_log_is_the_truth(shapes in shapes(), seed in 1_u64..u64::MAX) {
        let mut driver = Driver::start(&definition(&shapes));
        let mut dice = Dice(seed);
        for _ in 0..STEPS_MAX {
            if driver.state.execution.status.is_complete() {
                break;
            }
            disturb(&mut driver, &mut dice);
        }
        driver.check_end();
    }

    #[test]
    fn a_crash_after_every_decision_changes_nothing(shapes in shapes()) {
        let definition = definition(&shapes);
        let mut undisturbed = Driver::start(&definition);
        let mut crashing = Driver::start(&definition);
        for _ in 0..STEPS_MAX {
            if undisturbed.state.execution.status.is_complete() {
                break;
            }
            crashing.crash();
            for driver in [&mut undisturbed, &mut crashing] {
                if let Some(key) = driver.orders.keys().next().cloned() {
                    driver.answer(&key, Answer::Succeed);
                } else if let Some(stage) = driver.judgments().pop() {
                    driver.judge(stage, "continue");
                } else {
                    driver.wait();
                }
            }
        }
        prop_assert_eq!(&undisturbed.state, &crashing.state);
        undisturbed.check_end();
    }

    #[test]
    fn a_restart_runs_the_stage_and_what_follows_again(shapes in shapes(), which in any::<prop::sample::Index>()) {
        let mut driver = Driver::start(&definition(&shapes));
        driver.finish();
        let stages: Vec<_> = driver.state.top_level().map(|s| s.id.clone()).collect();
        let stage = which.get(&stages).clone();
        let generation = driver.state.generation;
        let body = kork_model::Context::new();
        let by = "ana".to_owned();
        driver.give(&Command::Restart { stage, by, body, archived: None });
        prop_assert_eq!(driver.state.generation, generation + 1);
        driver.finish();
        driver.check_end();
    }
}
