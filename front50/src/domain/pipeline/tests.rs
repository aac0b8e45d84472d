//! The rules of pipelines, without a store.

use super::*;

fn object(value: Value) -> Context {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

fn accept(value: Value) -> Draft {
    submitted(ObjectType::Pipeline, object(value), &Limits::default()).expect("acceptable")
}

fn stored(draft: &Draft, before: Option<&Context>) -> Context {
    let mut next = 0;
    complete(draft, before, "p1", "ana", 1_000, &mut || {
        next += 1;
        format!("new-{next}")
    })
}

#[test]
fn bad_input_is_refused_with_pointers() {
    let table: &[(Value, &[&str])] = &[
        (json!({}), &["/name", "/application"]),
        (json!({"application": "a"}), &["/name"]),
        (json!({"application": "a", "name": "  "}), &["/name"]),
        (json!({"name": "n"}), &["/application"]),
        (json!({"name": "n", "application": null}), &["/application"]),
        (json!({"name": {}, "application": "a"}), &["/name"]),
        (
            json!({"name": "n", "application": "a/b"}),
            &["/application"],
        ),
        (json!({"name": "n\u{7}", "application": "a"}), &["/name"]),
        (
            json!({"name": "n", "application": "a", "id": "../x"}),
            &["/id"],
        ),
        (
            json!({"name": "n", "application": "a", "stages": "nope"}),
            &["/stages"],
        ),
        (
            json!({"name": "n", "application": "a", "stages": [{}, 2]}),
            &["/stages/1"],
        ),
        (
            json!({"name": "n", "application": "a", "triggers": 7}),
            &["/triggers"],
        ),
        (
            json!({"name": "n", "application": "a", "index": "x", "disabled": 3}),
            &["/index", "/disabled"],
        ),
        (
            json!({"name": "n", "application": "a", "template": []}),
            &["/template"],
        ),
    ];
    for (document, pointers) in table {
        let problem = submitted(
            ObjectType::Pipeline,
            object(document.clone()),
            &Limits::default(),
        )
        .expect_err(&document.to_string());
        let got: Vec<&str> = problem
            .errors
            .iter()
            .map(|error| error.pointer.as_str())
            .collect();
        assert_eq!(&got, pointers, "{document}");
        assert_eq!(
            (problem.code.as_str(), problem.kind.status()),
            ("FRONT50-0001", 400)
        );
    }
}

#[test]
fn the_sentence_about_missing_fields_is_spinnakers() {
    let problem = submitted(ObjectType::Pipeline, Context::new(), &Limits::default())
        .expect_err("nothing in it");
    assert_eq!(
        problem.detail,
        "A pipeline requires name and application fields"
    );
    assert_eq!(problem.errors[0].detail, problem.detail);
}

#[test]
fn limits_hold() {
    let limits = Limits {
        document_bytes_max: 200,
        stages_max: 2,
        ..Limits::default()
    };
    let with_stages =
        |n: usize| object(json!({"name": "n", "application": "a", "stages": vec![json!({}); n]}));
    assert!(submitted(ObjectType::Pipeline, with_stages(2), &limits).is_ok());
    let problem = submitted(ObjectType::Pipeline, with_stages(3), &limits).expect_err("3 stages");
    assert_eq!(
        problem.detail,
        "the pipeline has 3 stages, at most 2 are allowed"
    );
    let big = object(json!({"name": "n", "application": "a", "x": "y".repeat(200)}));
    let problem = submitted(ObjectType::Pipeline, big, &limits).expect_err("too long");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0005", 413)
    );
    let nested = |levels: usize| {
        let deep = (0..levels).fold(json!(1), |inner, _| json!([inner]));
        object(json!({"name": "n", "application": "a", "x": deep}))
    };
    let limits = Limits::default();
    assert!(submitted(ObjectType::Pipeline, nested(DEPTH_MAX - 1), &limits).is_ok());
    let problem = submitted(ObjectType::Pipeline, nested(DEPTH_MAX), &limits).expect_err("deep");
    assert!(problem.detail.contains("levels deep"), "{}", problem.detail);
    let name = "n".repeat(super::super::limits::NAME_BYTES_MAX + 1);
    let long = object(json!({"name": name, "application": "a"}));
    let problem = submitted(ObjectType::Pipeline, long, &limits).expect_err("long name");
    assert_eq!(problem.errors[0].pointer, "/name");
}

#[test]
fn defaults_are_added_and_unknown_members_kept() {
    let draft = accept(json!({
        "application": "Billing", "name": "  Trimmed Name.v2  ", "stages": null, "triggers": null,
        "index": "3", "keepWaitingPipelines": "true", "lastModified": 7, "createTs": "6",
        "strangeKey": {"deep": [1, null, {"x": true}], "big": 12_345_678_901_234_567_890_u64},
    }));
    let got = Value::Object(stored(&draft, None));
    assert_eq!(
        got,
        json!({
            "id": "p1", "application": "Billing", "name": "Trimmed Name.v2", "schema": "1",
            "triggers": [], "index": 3, "keepWaitingPipelines": true, "lastModified": 7,
            "createTs": "6", "updateTs": "1000", "lastModifiedBy": "ana",
            "strangeKey": {"deep": [1, null, {"x": true}], "big": 12_345_678_901_234_567_890_u64},
        })
    );
}

#[test]
fn cron_triggers_get_ids_as_spinnaker_gives_them() {
    let ids = |document: &Context| -> Vec<Value> {
        let triggers = document["triggers"].as_array().expect("triggers");
        triggers
            .iter()
            .map(|trigger| trigger.get("id").cloned().unwrap_or(Value::Null))
            .collect()
    };
    let pipeline = |renew: bool| {
        let mut draft = accept(json!({"application": "a", "name": "n", "triggers": [
            {"type": "cron", "id": "given"}, {"type": "cron"}, {"type": "git"}, {"type": "git", "id": "g"}]}));
        if renew {
            draft
                .document
                .insert("regenerateCronTriggerIds".to_owned(), json!(true));
        }
        draft
    };
    let new = stored(&pipeline(false), None);
    assert_eq!(
        ids(&new),
        [json!("new-1"), json!("new-2"), json!(null), json!("g")]
    );
    let updated = stored(&pipeline(false), Some(&new));
    assert_eq!(
        ids(&updated),
        [json!("given"), json!("new-1"), json!(null), json!("g")]
    );
    let renewed = stored(&pipeline(true), Some(&new));
    assert_eq!(
        ids(&renewed),
        [json!("new-1"), json!("new-2"), json!(null), json!("g")]
    );
    assert!(!renewed.contains_key("regenerateCronTriggerIds"));
}

#[test]
fn the_stored_index_stays_and_time_always_moves() {
    let first = stored(
        &accept(json!({"application": "a", "name": "n", "index": 7})),
        None,
    );
    let second = stored(
        &accept(json!({"application": "a", "name": "n"})),
        Some(&first),
    );
    assert_eq!(second["index"], 7);
    assert_eq!(
        second["updateTs"], "1001",
        "later than the stored one at the same millisecond"
    );
}

#[test]
fn a_version_is_stale_unless_it_is_the_stored_one_or_changes_nothing() {
    let first = stored(&accept(json!({"application": "a", "name": "n"})), None);
    let check = |updated: Value, expect: bool| {
        let draft = accept(updated);
        let complete = stored(&draft, Some(&first));
        assert_eq!(
            is_stale(&draft, &first, &complete),
            expect,
            "{:?}",
            draft.document
        );
    };
    check(
        json!({"application": "a", "name": "n", "x": 1, "updateTs": "1000"}),
        false,
    );
    check(
        json!({"application": "a", "name": "n", "x": 1, "updateTs": 1000}),
        false,
    );
    check(
        json!({"application": "a", "name": "n", "x": 1, "updateTs": "5"}),
        true,
    );
    check(json!({"application": "a", "name": "n", "x": 1}), true);
    check(
        json!({"application": "a", "name": "n", "updateTs": "5"}),
        false,
    );
}

#[test]
fn lists_are_ordered_by_index_then_name_and_renumbered() {
    let documents = [
        json!({"name": "deploy"}),
        json!({"name": "Trimmed Name.v2"}),
        json!({"name": "given-id", "index": 7}),
        json!({"name": "badcron"}),
        json!({"name": "strindex", "index": 3}),
    ]
    .map(object);
    let names = |list: Vec<Context>| -> Vec<(String, Value)> {
        list.into_iter()
            .map(|each| {
                (
                    text(&each, "name").unwrap_or_default().to_owned(),
                    each["index"].clone(),
                )
            })
            .collect()
    };
    let all = names(shown(documents.to_vec(), None, None, true));
    let expected = [
        "strindex",
        "given-id",
        "badcron",
        "deploy",
        "Trimmed Name.v2",
    ];
    assert_eq!(
        all.iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        all.iter()
            .map(|(_, index)| index.clone())
            .collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    let one = names(shown(documents.to_vec(), Some("TRIM"), None, true));
    assert_eq!(one, [("Trimmed Name.v2".to_owned(), json!(0))]);
    assert_eq!(shown(documents.to_vec(), None, Some(2), true).len(), 2);
    let plain = shown(documents.to_vec(), None, None, false);
    assert_eq!(plain[1].get("index"), Some(&json!(7)));
    assert_eq!(plain[2].get("index"), None);
}

#[test]
fn a_templated_pipeline_names_its_template() {
    let mut document = object(json!({"template": {"reference": "spinnaker://tmpl1:latest"}}));
    assert_eq!(needed_template(&document), None);
    document.insert("type".to_owned(), json!("templatedPipeline"));
    assert_eq!(needed_template(&document), Some("tmpl1:latest"));
}
