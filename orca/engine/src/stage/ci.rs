//! `jenkins` and its kin start a build on a CI server, follow it, and take over what it made.
//!
//! One piece of work does it all, from the start to the artifacts: whoever takes it over goes on where it
//! was. The tasks have the names under which Spinnaker's clients look for them.

use kork_model::Context;
use serde_json::{Value, json};

use super::{Definition, Outcome, Plan, PlanError, StageView, bind_artifacts};
use crate::context::{flag, text};

/// Two hours, as in Spinnaker, unless the stage says otherwise.
const BUILD_TIMEOUT_MS: u64 = 2 * 3600 * 1000;
/// The work: starts a build, follows it to its end, and reads its properties and artifacts.
pub(crate) const WORK: &str = "runBuild";
/// What a build left in the context.
const LEFT: [&str; 12] = [
    "buildInfo",
    "buildNumber",
    "queuedBuild",
    "propertyFileContents",
    "artifacts",
    "consoleTail",
    "ciError",
    "ciProgress",
    "queueReason",
    "resultCut",
    "exception",
    "sharedBuild",
];

pub(super) struct Ci;

impl Definition for Ci {
    fn names(&self) -> &'static [&'static str] {
        &["jenkins", "gitlab-ci", "gitlabCi", "githubActions", "ci"]
    }

    fn description(&self) -> &'static str {
        "starts job of master with parameters, follows the build, and takes over propertyFile and artifacts"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let context = &view.stage.context;
        for key in ["master", "job"] {
            if text(context, key).is_none_or(|value| value.trim().is_empty()) {
                return Err(PlanError {
                    exception: "IllegalArgumentException",
                    message: format!("{key} must name the {}", meaning(key)),
                });
            }
        }
        let parameters = context.get("parameters");
        if parameters.is_some_and(|p| !p.is_object() && !p.is_null()) {
            return Err(PlanError {
                exception: "IllegalArgumentException",
                message: "parameters must be an object of names and values".to_owned(),
            });
        }
        let mut tasks = vec![(task_name(context), WORK)];
        if bind_artifacts::is_asked(context) {
            tasks.push((bind_artifacts::TASK, bind_artifacts::TASK));
        }
        Ok(Plan {
            tasks,
            before: Vec::new(),
        })
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        if kind == bind_artifacts::TASK {
            return bind_artifacts::run(view);
        }
        let mut payload = context.clone();
        payload.insert("ciType".to_owned(), json!(view.stage.kind));
        Outcome::Dispatch {
            service: "igor".to_owned(),
            kind: kind.to_owned(),
            payload,
            timeout_ms: None,
        }
    }

    fn timeout_ms(&self, kind: &str, _: &StageView<'_>) -> Option<u64> {
        (kind == WORK).then_some(BUILD_TIMEOUT_MS)
    }

    /// The worker waits for a CI server that is away, and knows what it has started.
    fn is_retried(&self, _: &str) -> bool {
        false
    }

    fn prepare_restart(&self, context: &mut Context) {
        for key in LEFT {
            context.remove(key);
        }
    }
}

fn meaning(key: &str) -> &'static str {
    match key {
        "master" => "CI server, as it is configured in igor",
        _ => "job, with its folders",
    }
}

/// A stage that does not wait only starts its build.
fn task_name(context: &Context) -> &'static str {
    let waits = context.get("waitForCompletion").is_none_or(Value::is_null)
        || flag(context, "waitForCompletion") == Some(true);
    if waits {
        "monitorJenkinsJob"
    } else {
        "startJenkinsJob"
    }
}

#[cfg(test)]
mod tests {
    use kork_model::{Execution, Stage, Timestamp};

    use super::*;

    fn planned(context: Value) -> Result<Plan, PlanError> {
        let Value::Object(context) = context else {
            panic!("a context is an object")
        };
        let stage = Stage {
            kind: "jenkins".to_owned(),
            context,
            ..Stage::default()
        };
        let view = StageView {
            now: Timestamp(1),
            execution: &Execution::default(),
            stage: &stage,
        };
        let plan = Ci.plan(&view);
        if plan.is_ok() {
            let Outcome::Dispatch { payload, .. } = Ci.run(WORK, &view) else {
                panic!("a build is work")
            };
            assert_eq!(payload["ciType"], "jenkins");
        }
        plan
    }

    #[test]
    fn a_build_is_one_piece_of_work() {
        let plan = planned(json!({"master": "m", "job": "a/b", "parameters": {"x": 1}})).unwrap();
        assert_eq!(plan.tasks, [("monitorJenkinsJob", WORK)]);
        let start = json!({"master": "m", "job": "j", "waitForCompletion": "false"});
        assert_eq!(planned(start).unwrap().tasks[0].0, "startJenkinsJob");
        let binds = json!({"master": "m", "job": "j", "expectedArtifacts": [{"id": "a"}]});
        assert_eq!(planned(binds).unwrap().tasks.len(), 2);
    }

    #[test]
    fn a_restart_forgets_the_build() {
        let left = json!({"job": "j", "buildInfo": {}, "buildNumber": 7, "consoleTail": "FAILURE",
            "ciError": "away", "ciProgress": {}, "queueReason": "quiet", "resultCut": "much"});
        let Value::Object(mut context) = left else {
            panic!("a context is an object")
        };
        Ci.prepare_restart(&mut context);
        assert_eq!(Value::from(context), json!({"job": "j"}));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (context, named) in [
            (json!({"job": "j"}), "master"),
            (json!({"master": "m", "job": " "}), "job"),
            (
                json!({"master": "m", "job": "j", "parameters": []}),
                "parameters",
            ),
        ] {
            assert!(planned(context).unwrap_err().message.starts_with(named));
        }
    }
}
