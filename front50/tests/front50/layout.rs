//! What lies in the bucket after saves, what is shown of a bucket that others filled, and that
//! nothing is rewritten on the way.

use kork::model::api::front50::*;
use serde_json::{Value, json};

use crate::rig::{Rig, eventually, members, object};

fn fixture() -> Vec<(String, String)> {
    let objects: std::collections::BTreeMap<String, String> =
        serde_json::from_str(include_str!("../golden/objects.json")).expect("a fixture");
    objects.into_iter().collect()
}

#[tokio::test]
async fn a_filled_bucket_is_served_and_not_rewritten() {
    let rig = Rig::start_with(&fixture()).await;
    let applications = rig.ask(ListApplications {}).await.expect("applications");
    assert_eq!(
        applications.len(),
        1,
        "the torn one is left out: {applications:?}"
    );
    let checkout = rig
        .ask(GetApplication {
            name: "CheckOut".to_owned(),
        })
        .await
        .expect("it is there");
    assert_eq!(checkout, applications[0]);
    assert_eq!(
        checkout["permissions"],
        json!({"READ": ["shop"], "WRITE": ["shop"]})
    );
    assert_eq!(
        checkout["trafficGuards"][0]["account"], "prod",
        "the last of two counts"
    );
    assert_eq!(checkout["updateTs"], "1788240000000");

    untouched(&rig).await;
}

#[tokio::test]
async fn pipelines_of_a_filled_bucket_are_found() {
    let rig = Rig::start_with(&fixture()).await;
    let list = ListPipelines {
        application: Some("CHECKOUT".to_owned()),
        ..Default::default()
    };
    let pipelines = rig.ask(list).await.expect("pipelines");
    let places: Vec<_> = pipelines
        .iter()
        .map(|each| (&each["name"], &each["index"]))
        .collect();
    assert_eq!(
        places,
        [(&json!("alpha"), &json!(0)), (&json!("Deploy"), &json!(1))]
    );
    let get = GetPipeline {
        id: "MY-OWN-ID".to_owned(),
        strategies: false,
    };
    let deploy = rig.ask(get).await.expect("it is there");
    assert_eq!(
        (&deploy["id"], &deploy["odd"]),
        (&json!("My-Own-ID"), &json!({"deep": [1, null]}))
    );
    let named = PipelineByName {
        application: "checkout".to_owned(),
        name: "Deploy".to_owned(),
        strategies: false,
    };
    assert_eq!(rig.ask(named.clone()).await.expect("by name")["index"], 1);
    let other_case = PipelineByName {
        name: "deploy".to_owned(),
        ..named
    };
    assert_eq!(
        rig.ask(other_case).await.expect_err("names are exact").code,
        "FRONT50-0004"
    );

    untouched(&rig).await;
}

#[tokio::test]
async fn all_other_types_of_a_filled_bucket_are_found() {
    let rig = Rig::start_with(&fixture()).await;
    let project = rig
        .ask(GetProject {
            id_or_name: "SHOP".to_owned(),
        })
        .await
        .expect("by name");
    assert_eq!(project["createTs"], json!(1_780_000_000_000_u64));
    let global = rig
        .ask(GetNotifications {
            name: "__GLOBAL".to_owned(),
        })
        .await
        .expect("global");
    assert_eq!(global["slack"][0]["address"], "#all");
    let template = GetObject {
        object_type: "pipelineTemplate".to_owned(),
        id: "canary:stable".to_owned(),
    };
    assert_eq!(
        rig.ask(template).await.expect("a template")["tag"],
        "stable"
    );
    for (word, count) in [("serviceAccount", 1), ("entityTags", 1), ("snapshot", 0)] {
        let page = ListObjects {
            object_type: word.to_owned(),
            after: None,
        };
        let page = rig.ask(page).await.expect("a page");
        assert_eq!(
            page["objects"].as_array().map(Vec::len),
            Some(count),
            "{word}"
        );
    }
    let unknown = ListObjects {
        object_type: "nonsense".to_owned(),
        after: None,
    };
    assert_eq!(
        rig.ask(unknown)
            .await
            .expect_err("no such type")
            .kind
            .status(),
        400
    );

    untouched(&rig).await;
}

/// The store holds what was put there, and nothing else.
async fn untouched(rig: &Rig) {
    for (key, body) in fixture() {
        assert_eq!(rig.body(&key).await, body, "{key}");
        assert_eq!(
            rig.ports
                .objects
                .versions(&key)
                .await
                .expect("versions")
                .len(),
            1,
            "{key}"
        );
    }
    let all = rig.ports.objects.list("").await.expect("a list");
    assert_eq!(all.len(), fixture().len(), "nothing was added: {all:?}");
}

#[tokio::test]
async fn a_broken_object_is_named_and_can_be_saved_over() {
    let rig = Rig::start_with(&fixture()).await;
    let report = rig.chassis.health.report();
    let expected = "UP, 1 unreadable objects: front50/applications/torn/application-metadata.json";
    assert_eq!(report.parts["front50.store"], expected);
    let problem = rig
        .ask(GetApplication {
            name: "torn".to_owned(),
        })
        .await
        .expect_err("torn");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0008", 409)
    );
    let application = object(json!({"name": "torn", "email": "t@acme.example"}));
    let upsert = UpsertApplication {
        application,
        user: "ana".to_owned(),
    };
    rig.ask(upsert).await.expect("saved over");
    let torn = rig
        .ask(GetApplication {
            name: "torn".to_owned(),
        })
        .await
        .expect("readable now");
    assert_eq!(torn["email"], "t@acme.example");
}

/// Saves one of each type.
async fn save_all(rig: &Rig) {
    let user = "ana".to_owned();
    let application = object(json!({"name": "Shop", "email": "s@acme.example", "own": 1,
        "permissions": {"READ": ["Devs"]}}));
    rig.ask(UpsertApplication {
        application,
        user: user.clone(),
    })
    .await
    .expect("saved");
    let stage = json!({"refId": "1", "requisiteStageRefIds": [], "type": "wait"});
    let pipeline =
        object(json!({"name": "p", "application": "shop", "id": "P-1", "stages": [stage]}));
    for strategies in [false, true] {
        let pipeline = pipeline.clone();
        let save = SavePipeline {
            pipeline,
            user: user.clone(),
            strategies,
            ..Default::default()
        };
        rig.ask(save).await.expect("saved");
    }
    let notifications = object(json!({"email": [{"address": "a@acme.example"}]}));
    let save = SaveNotifications {
        name: "Shop".to_owned(),
        notifications,
        user: user.clone(),
    };
    rig.ask(save).await.expect("saved");
    let project = object(json!({"name": "Sales", "id": "S-1", "own": 1}));
    rig.ask(UpsertProject { project, user })
        .await
        .expect("saved");
}

/// Key, the members that Spinnaker's reader knows (and those that an open shape kept), and whether
/// times are numbers.
const SHAPES: &[(&str, &[&str], bool)] = &[
    (
        "applications/shop/application-metadata.json",
        &[
            "cloudProviders",
            "createTs",
            "description",
            "email",
            "lastModifiedBy",
            "name",
            "own",
            "trafficGuards",
            "updateTs",
        ],
        false,
    ),
    (
        "applications/shop/application-permission.json",
        &["lastModified", "lastModifiedBy", "name", "permissions"],
        true,
    ),
    (
        "pipelines/p-1/pipeline-metadata.json",
        &[
            "application",
            "id",
            "lastModifiedBy",
            "name",
            "schema",
            "stages",
            "triggers",
            "updateTs",
        ],
        false,
    ),
    (
        "pipeline-strategies/p-1/pipeline-strategy-metadata.json",
        &[
            "application",
            "id",
            "lastModifiedBy",
            "name",
            "schema",
            "stages",
            "triggers",
            "updateTs",
        ],
        false,
    ),
    (
        "notifications/shop/notification-metadata.json",
        &["application", "email", "lastModified", "lastModifiedBy"],
        true,
    ),
    (
        "projects/s-1/project-metadata.json",
        &[
            "config",
            "createTs",
            "email",
            "id",
            "lastModifiedBy",
            "name",
            "updateTs",
        ],
        true,
    ),
];

#[tokio::test]
async fn what_is_saved_can_be_read_by_a_strict_reader() {
    for rig in [Rig::start().await, Rig::start_in_directory().await] {
        save_all(&rig).await;
        for (key, names, times_are_numbers) in SHAPES {
            let body = rig.body(&format!("front50/{key}")).await;
            assert!(
                !body.contains('\n') && !body.contains("\": "),
                "compact: {body}"
            );
            let document: Value = serde_json::from_str(&body).expect(key);
            assert_eq!(&members(&document), names, "{key}");
            let times = ["updateTs", "lastModified"].map(|time| document.get(time));
            for at in times.into_iter().flatten() {
                assert_eq!(at.is_number(), *times_are_numbers, "{key}");
            }
            let group = key.split('/').next().expect("a group");
            let marker = rig
                .body(&format!("front50/{group}/last-modified.json"))
                .await;
            let marker: Value = serde_json::from_str(&marker).expect("a marker");
            assert_eq!(members(&marker), ["lastModified"]);
            assert!(marker["lastModified"].is_u64());
        }
        let body = rig
            .body("front50/applications/shop/application-metadata.json")
            .await;
        assert!(body.contains("\"name\":\"SHOP\""), "{body}");
        let body = rig
            .body("front50/applications/shop/application-permission.json")
            .await;
        assert!(
            body.contains(r#""permissions":{"READ":["devs"]}"#),
            "{body}"
        );
        let body = rig
            .body("front50/pipelines/p-1/pipeline-metadata.json")
            .await;
        assert!(body.contains("\"P-1\""), "{body}");
    }
}

#[tokio::test]
async fn an_application_goes_with_everything_that_is_its() {
    let rig = Rig::start_with(&fixture()).await;
    let user = "ana".to_owned();
    let notifications = object(json!({"email": []}));
    let save = SaveNotifications {
        name: "checkout".to_owned(),
        notifications,
        user: user.clone(),
    };
    rig.ask(save).await.expect("saved");
    for name in ["Checkout", "checkout"] {
        let delete = DeleteApplication {
            name: name.to_owned(),
            user: user.clone(),
        };
        rig.ask(delete)
            .await
            .expect("deleted, and fine when unknown");
    }
    let problem = rig
        .ask(GetApplication {
            name: "checkout".to_owned(),
        })
        .await
        .expect_err("gone");
    assert_eq!(problem.code, "FRONT50-0004");
    let left = rig.ports.objects.list("front50/").await.expect("a list");
    let left: Vec<&str> = left.iter().map(|info| info.key.as_str()).collect();
    for gone in [
        "checkout/application",
        "pipelines/my-own-id",
        "pipelines/second",
        "notifications/checkout",
    ] {
        assert!(
            !left.iter().any(|key| key.contains(gone)),
            "{gone} in {left:?}"
        );
    }
    let project = rig
        .ask(GetProject {
            id_or_name: "p1".to_owned(),
        })
        .await
        .expect("it stays");
    assert_eq!(project["config"]["applications"], json!([]));
    assert_eq!(project["config"]["pipelineConfigs"], json!([]));
    let history = ApplicationHistory {
        name: "checkout".to_owned(),
        limit: 0,
    };
    assert_eq!(
        rig.ask(history)
            .await
            .expect("still there to restore")
            .len(),
        1
    );
}

#[tokio::test]
async fn what_foreign_writers_do_is_found_by_the_marker_and_announced() {
    let mut rig = Rig::start_with(&fixture()).await;
    let config = front50::Config {
        marker_interval_ms: 5,
        refresh_interval_ms: 3_600_000,
        ..Default::default()
    };
    let second = rig.second_with(config).await;
    let mut events = rig.events().await;
    let body = r#"{"id":"foreign","name":"foreign","application":"checkout","triggers":[]}"#;
    let key = "front50/pipelines/foreign/pipeline-metadata.json";
    let always = || kork::ports::Condition::Always;
    rig.ports
        .objects
        .put(key, body.into(), always())
        .await
        .expect("stored");
    let marker = r#"{"lastModified":4000000000000}"#;
    let at = "front50/pipelines/last-modified.json";
    rig.ports
        .objects
        .put(at, marker.into(), always())
        .await
        .expect("stored");
    eventually("the list shows it", || async {
        let list = ListPipelines {
            application: Some("checkout".to_owned()),
            ..Default::default()
        };
        let list = crate::rig::ask(&second, list).await.expect("a list");
        (list.len() == 3)
            .then_some(())
            .ok_or_else(|| format!("{list:?}"))
    })
    .await;
    let event = events.next().await;
    assert_eq!(
        (event.kind.as_str(), event.subject.as_deref()),
        ("front50:pipeline:created", Some("foreign"))
    );
}

#[tokio::test]
async fn without_the_store_reads_go_on_and_writes_say_why() {
    let (rig, switch) = Rig::start_with_switch().await;
    let pipeline = object(json!({"application": "shop", "name": "deploy"}));
    let save = || SavePipeline {
        pipeline: pipeline.clone(),
        ..Default::default()
    };
    let saved = rig.ask(save()).await.expect("created");
    switch.off(true);
    let id = saved["id"].as_str().expect("an id").to_owned();
    let get = GetPipeline {
        id,
        strategies: false,
    };
    assert_eq!(rig.ask(get).await.expect("from memory"), saved);
    let list = ListPipelines {
        application: Some("shop".to_owned()),
        ..Default::default()
    };
    assert_eq!(rig.ask(list).await.expect("from memory").len(), 1);
    let problem = rig.ask(save()).await.expect_err("no store");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0006", 503)
    );
    assert!(
        problem.message().contains("switched off"),
        "{}",
        problem.message()
    );
    switch.off(false);
    let problem = rig
        .ask(save())
        .await
        .expect_err("the name is taken, and known to be");
    assert_eq!(problem.code, "FRONT50-0002");
}

#[tokio::test]
async fn an_unreachable_bucket_is_waited_for() {
    let (mut rig, switch) = Rig::start_with_switch().await;
    switch.off(true);
    let health = rig.start_another();
    eventually("the part says what is missing", || async {
        let report = health.report();
        let is_said = report
            .parts
            .get("front50.store")
            .is_some_and(|it| it.contains("switched off"));
        is_said.then_some(()).ok_or_else(|| format!("{report:?}"))
    })
    .await;
    assert!(!health.is_ready());
    switch.off(false);
    eventually("it is ready", || async {
        health
            .is_ready()
            .then_some(())
            .ok_or_else(|| format!("{:?}", health.report()))
    })
    .await;
}

#[test]
fn the_defaults_are_documented_and_unknown_settings_refused() {
    let schema = serde_json::to_value(schemars::schema_for!(front50::Config)).expect("a schema");
    for setting in ["rootFolder", "refreshIntervalMs", "markerIntervalMs"] {
        assert!(
            schema["properties"][setting]["description"].is_string(),
            "{setting}: {schema}"
        );
    }
    let config: front50::Config = serde_json::from_value(json!({})).expect("nothing is needed");
    assert_eq!(config, front50::Config::default());
    serde_json::from_value::<front50::Config>(json!({"rootfolder": "x"})).expect_err("misspelled");
}
