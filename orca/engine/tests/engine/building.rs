//! From a definition to an execution, or to a list of what is wrong with it.

use kork_model::{ExecutionId, Status, Timestamp};
use orca_engine::{
    Command,
    build::{self, Built, Request},
    limits,
};
use serde_json::{Value, json};

use super::driver::{Driver, built, execution, object, pipeline, stage};

fn wait(more: Value) -> Value {
    stage("1", &[], "wait", more)
}

fn top(more: Value) -> Value {
    let mut definition = pipeline(&[wait(json!({}))]);
    for (key, value) in object(more) {
        definition[key] = value;
    }
    definition
}

#[test]
fn what_cannot_be_read_names_its_fields() {
    let table = [
        (
            pipeline(&[json!({"refId": 1, "type": "wait"})]),
            "/stages/0/refId",
        ),
        (pipeline(&[wait(json!({"refId": null}))]), "/stages/0/refId"),
        (pipeline(&[wait(json!({"name": null}))]), "/stages/0/name"),
        (pipeline(&[wait(json!({"name": {}}))]), "/stages/0/name"),
        (
            pipeline(&[json!({"refId": "1", "type": null})]),
            "/stages/0/type",
        ),
        (
            pipeline(&[json!({"refId": "1", "type": ["wait"]})]),
            "/stages/0/type",
        ),
        (pipeline(&[json!({"refId": "1"})]), "/stages/0/type"),
        (
            pipeline(&[wait(json!({})), json!({"refId": "2"})]),
            "/stages/1/type",
        ),
        (pipeline(&[json!(7)]), "/stages/0"),
        (pipeline(&[json!(null)]), "/stages/0"),
        (
            pipeline(&[wait(json!({"requisiteStageRefIds": "1"}))]),
            "/stages/0/requisiteStageRefIds",
        ),
        (
            pipeline(&[wait(json!({"requisiteStageRefIds": [{}]}))]),
            "/stages/0/requisiteStageRefIds",
        ),
        (
            top(json!({"trigger": {"parameters": [1]}})),
            "/trigger/parameters",
        ),
        (
            top(json!({"trigger": {"artifacts": {}}})),
            "/trigger/artifacts",
        ),
        (top(json!({"stages": "x"})), "/stages"),
        (top(json!({"stages": {"a": 1}})), "/stages"),
    ];
    for (definition, pointer) in table {
        let invalid = built(&definition).expect_err(pointer);
        let pointers: Vec<&str> = invalid.errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{invalid}");
        assert!(
            invalid.errors.iter().all(|e| !e.detail.is_empty()),
            "{invalid:?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let definition = pipeline(&[json!({"refId": 1}), json!(7), wait(json!({"name": []}))]);
    let invalid = built(&definition).expect_err("three stages are wrong");
    let pointers: Vec<&str> = invalid.errors.iter().map(|e| e.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/stages/0/type",
            "/stages/0/refId",
            "/stages/1",
            "/stages/2/name"
        ]
    );
}

#[test]
fn a_missing_type_is_told_in_the_words_of_the_original() {
    let invalid = built(&pipeline(&[json!({"refId": "1", "name": "bake"})])).expect_err("no type");
    assert_eq!(
        invalid.detail,
        "type missing from pipeline 'deliver' in application 'app', stage name: 'bake'"
    );
}

#[test]
fn what_is_odd_but_runs() {
    for definition in [
        json!({"stages": null}),
        json!({"stages": {}}),
        json!({}),
        pipeline(&[wait(json!({"requisiteStageRefIds": null}))]),
        pipeline(&[wait(json!({})), wait(json!({}))]),
        top(json!({"parameterConfig": null, "trigger": null})),
        top(json!({"trigger": 1})),
        top(json!({"trigger": []})),
        top(json!({"trigger": {"type": "", "user": "", "parameters": []}})),
    ] {
        let built = execution(&definition);
        for (key, value) in [
            ("type", json!("manual")),
            ("user", json!("anonymous")),
            ("parameters", json!({})),
            ("dryRun", json!(false)),
        ] {
            assert_eq!(built.trigger[key], value, "{key} of {definition}");
        }
    }
    let odd = execution(&top(json!({"name": 7, "maxConcurrentExecutions": "2",
        "trigger": {"rebake": "true", "strategy": 1}})));
    assert_eq!(odd.name.as_deref(), Some("7"));
    assert_eq!(odd.max_concurrent_executions, 2);
    assert_eq!(odd.trigger["rebake"], json!(false));
    assert_eq!(odd.trigger["strategy"], json!(false));
    let spelled = execution(&pipeline(&[
        wait(json!({"name": 7, "startTimeExpiry": "1000"})),
        stage(
            "2",
            &["1", "3", "1"],
            "wait",
            json!({"startTimeExpiry": 2000}),
        ),
    ]));
    assert_eq!(spelled.stages[0].name, "7");
    assert_eq!(spelled.stages[0].start_time_expiry, Some(Timestamp(1000)));
    assert_eq!(spelled.stages[1].start_time_expiry, Some(Timestamp(2000)));
    assert_eq!(spelled.stages[1].requisite_stage_ref_ids, ["1", "3"]);
    let numbered = execution(&pipeline(&[
        wait(json!({})),
        stage("2", &[], "wait", json!({"requisiteStageRefIds": [1, 1]})),
    ]));
    assert_eq!(numbered.stages[1].requisite_stage_ref_ids, ["1"]);
    let bare = execution(&pipeline(&[json!({"type": "wait", "refId": "1"})]));
    assert_eq!(
        bare.stages[0].name, "wait",
        "a stage without a name is named after its type"
    );
    let nulls = execution(&pipeline(&[wait(
        json!({"a": null, "b": {"c": null, "d": [null]}}),
    )]));
    assert_eq!(nulls.stages[0].context, object(json!({"b": {"d": [null]}})));
}

fn refused(definition: &Value) -> (kork_model::Execution, &'static str, String) {
    match built(definition) {
        Ok(Built::Refused { execution, invalid }) => (*execution, invalid.code, invalid.detail),
        other => panic!("{definition} is recorded and refused: {other:?}"),
    }
}

#[test]
fn what_may_not_start_is_recorded_as_failed() {
    let expected = |more: Value| {
        let mut artifact =
            json!({"id": "a", "displayName": "image", "matchArtifact": {"type": "docker/image"}});
        for (key, value) in object(more) {
            artifact[key] = value;
        }
        json!({"expectedArtifacts": [artifact]})
    };
    let image = |v: &str| json!({"type": "docker/image", "name": "app", "version": v});
    let with = |artifacts: Value, more: Value| {
        let mut definition = top(expected(more));
        definition["trigger"] = json!({"artifacts": artifacts, "expectedArtifactIds": ["a"]});
        definition
    };
    for (definition, code, says) in [
        (
            top(json!({"disabled": true})),
            "ORCA-0013",
            "Pipeline is disabled and cannot be started.",
        ),
        (
            with(json!([]), json!({})),
            "ORCA-0014",
            "Unmatched expected artifact image could not be resolved",
        ),
        (
            with(json!([{"type": "helm/chart"}]), json!({})),
            "ORCA-0014",
            "Unmatched expected artifact image could not be resolved",
        ),
        (
            with(json!([image("1"), image("2")]), json!({})),
            "ORCA-0014",
            "Expected artifact image matches 2 artifacts",
        ),
    ] {
        let (execution, found, detail) = refused(&definition);
        assert_eq!((found, detail.as_str()), (code, says));
        let create = Command::CreateRefused {
            execution: Box::new(execution),
            reason: detail,
        };
        let mut driver = Driver::empty();
        driver.give(&create);
        let shown = &driver.state.execution;
        assert_eq!(shown.status, Status::Terminal);
        assert_eq!(
            shown.cancellation_reason,
            Some(format!("Failed on startup: {says}"))
        );
        driver.check_end();
    }
    let bound = |definition: &Value| {
        let execution = execution(definition);
        execution.trigger["resolvedExpectedArtifacts"][0]["boundArtifact"]["version"].clone()
    };
    assert_eq!(bound(&with(json!([image("1")]), json!({}))), "1");
    let narrow = json!({"matchArtifact": {"type": "docker/.*", "version": "(?!1)[1-9]"}});
    assert_eq!(bound(&with(json!([image("1"), image("2")]), narrow)), "2");
    let default = json!({"useDefaultArtifact": true, "defaultArtifact": image("0")});
    assert_eq!(bound(&with(json!([]), default)), "0");
}

#[test]
fn a_prior_artifact_stands_in_for_a_missing_one() {
    let definition = object(top(json!({"expectedArtifacts": [
        {"id": "a", "usePriorArtifact": true, "matchArtifact": {"type": "docker/image"}}]})));
    let prior = [json!({"type": "docker/image", "version": "7"})];
    let request = |prior_artifacts| Request {
        id: ExecutionId::from("01J9ZK3M2N4P5Q6R7S8T9V0W1X"),
        now: Timestamp(1),
        pipeline: &definition,
        trigger: None,
        user: "ana",
        origin: "api",
        prior_artifacts,
    };
    let Ok(Built::Ready(execution)) = build::pipeline(&request(&prior)) else {
        panic!("it can start")
    };
    assert_eq!(execution.trigger["artifacts"][0]["version"], "7");
    let nothing = build::pipeline(&request(&[]));
    assert!(matches!(nothing, Ok(Built::Refused { .. })), "{nothing:?}");
}

#[test]
fn parameters_have_defaults_and_a_shape() {
    let with = |config: Value, given: Value| {
        top(json!({"parameterConfig": config, "trigger": {"parameters": given}}))
    };
    let config = json!([{"name": "a", "default": "1"}, {"name": "b"}]);
    let parameters = |definition: &Value| execution(definition).trigger["parameters"].clone();
    assert_eq!(
        parameters(&with(config.clone(), json!({}))),
        json!({"a": "1"})
    );
    assert_eq!(
        parameters(&with(config, json!({"a": "2", "c": 3}))),
        json!({"a": "2", "c": 3})
    );
    let config = json!([{"name": "a", "default": 1}, {"name": "b", "default": false}]);
    assert_eq!(
        parameters(&with(config.clone(), json!({"a": null}))),
        json!({"b": false}),
        "null is a value"
    );
    assert_eq!(
        parameters(&with(config, json!(null))),
        json!({"a": 1, "b": false})
    );
    for wrong in [json!("x"), json!({}), json!([{}]), json!([7])] {
        let outcome = built(&with(wrong.clone(), json!({})));
        let told = match &outcome {
            Err(invalid) | Ok(Built::Refused { invalid, .. }) => invalid.errors[0].pointer.clone(),
            Ok(Built::Ready(_)) => panic!("{wrong} is not a list of parameters"),
        };
        assert!(told.starts_with("/parameterConfig"), "{told}");
    }
    let required = object(
        json!({"parameterConfig": [{"name": "a", "required": true}, {"name": "b", "required": true, "default": 1}]}),
    );
    let missing = build::missing_parameter(&required, &object(json!({"parameters": {}})));
    assert_eq!(
        missing.map(|m| m.errors[0].pointer.clone()).as_deref(),
        Some("/parameters/a")
    );
    assert!(
        build::missing_parameter(&required, &object(json!({"parameters": {"a": ""}}))).is_none()
    );
}

#[test]
fn template_variables_are_known_at_the_start() {
    let mut given = pipeline(&[wait(json!({"a": "${templateVariables.x}"}))]);
    given["templateVariables"] = json!({"x": 7});
    assert_eq!(execution(&given).stages[0].context["a"], json!(7));
}

#[test]
fn a_trigger_has_the_keys_of_its_shape() {
    let jenkins = json!({"type": "jenkins", "master": "m", "job": "j", "buildNumber": 1});
    let git = json!({"type": "git", "source": "s", "project": "p", "branch": "b", "slug": "l",
        "hash": "h"});
    let mut image = git.clone();
    for key in ["account", "repository", "tag"] {
        image[key] = json!("x");
    }
    for (trigger, key, value) in [
        (jenkins, "properties", Some(json!({}))),
        (json!({"type": "concourse"}), "properties", Some(json!({}))),
        (git, "action", Some(json!("undefined"))),
        (image, "action", None),
        (json!({"type": "weird"}), "properties", None),
    ] {
        let built = execution(&top(json!({ "trigger": trigger })));
        assert_eq!(built.trigger.get(key), value.as_ref(), "{trigger}");
    }
}

#[test]
fn a_plan_fills_in_and_evaluates_nothing() {
    let plan = |definition: Value| {
        let definition = object(definition);
        build::planned(&Request {
            id: ExecutionId::default(),
            now: Timestamp(0),
            pipeline: &definition,
            trigger: None,
            user: "ana",
            origin: "api",
            prior_artifacts: &[],
        })
    };
    let given = json!({"name": "n", "stages": [{"type": "wait", "a": "${1}"}, {"type": "wait"}],
        "parameterConfig": [{"name": "p", "default": "x"}]});
    let mut expected = given.clone();
    expected["trigger"] = json!({"type": "manual", "user": "ana", "parameters": {"p": "x"}});
    expected["stages"] = json!([
        {"type": "wait", "a": "${1}", "refId": "0", "requisiteStageRefIds": []},
        {"type": "wait", "refId": "1", "requisiteStageRefIds": ["0"]},
    ]);
    assert_eq!(plan(given), Ok(object(expected)));
    let disabled = plan(json!({"disabled": true})).expect_err("it is disabled");
    assert_eq!(disabled.code, "ORCA-0013");
}

#[test]
fn a_task_runs_its_jobs_one_after_the_other() {
    let orchestration = |task: Value| {
        let task = object(task);
        build::orchestration(&Request {
            id: ExecutionId::from("01J9ZK3M2N4P5Q6R7S8T9V0W1X"),
            now: Timestamp(1),
            pipeline: &task,
            trigger: None,
            user: "ana",
            origin: "api",
            prior_artifacts: &[],
        })
    };
    let job = json!({"type": "savePipeline", "refId": "x", "requisiteStageRefIds": ["y"]});
    let good = orchestration(
        json!({"application": "app", "description": "save", "job": [job.clone(), job]}),
    );
    let good = good.expect("it is a task");
    assert_eq!(good.stages[1].requisite_stage_ref_ids, ["0"]);
    let many: Vec<Value> = vec![job.clone(); limits::STAGES_MAX + 1];
    for (task, pointer) in [
        (json!({"description": "x", "job": [job]}), "/application"),
        (
            json!({"application": "app", "description": " "}),
            "/description",
        ),
        (
            json!({"application": "app", "description": "x", "job": {}}),
            "/job",
        ),
        (
            json!({"application": "app", "description": "x", "job": [{}]}),
            "/job/0/type",
        ),
        (
            json!({"application": "app", "description": "x", "job": [7]}),
            "/job/0/type",
        ),
        (
            json!({"application": "app", "description": "x", "job": many}),
            "/job",
        ),
    ] {
        let invalid = orchestration(task).expect_err(pointer);
        assert_eq!(invalid.errors[0].pointer, pointer);
    }
}

#[test]
fn ids_follow_from_the_execution() {
    let [one, two] = [(); 2].map(|()| {
        Driver::start(&pipeline(&[
            wait(json!({})),
            stage("2", &[], "wait", json!({})),
        ]))
    });
    assert_eq!(one.state, two.state);
    let stages = &one.state.execution.stages;
    assert!(stages.iter().all(|s| s.id.as_str().len() == 26));
    assert_ne!(stages[0].id, stages[1].id);
}
