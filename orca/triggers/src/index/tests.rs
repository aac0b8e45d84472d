//! Every type of trigger with what it wants and does not want; index and plain search agree.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use kork_model::{Status, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Finished;

mod naive;

fn context(value: Value) -> Context {
    let Value::Object(map) = value else {
        panic!("{value} is no object")
    };
    map
}

fn pipeline(id: &str, triggers: Value) -> Context {
    let name = format!("name of {id}");
    let mut pipeline = context(json!({"id": id, "application": "app", "name": name}));
    pipeline.insert("triggers".to_owned(), triggers);
    pipeline
}

fn index(pipelines: &[Context]) -> TriggerIndex {
    let mut index = TriggerIndex::default();
    index.replace_all(pipelines);
    index
}

fn event(value: Value) -> InboundEvent {
    let mut event: InboundEvent = serde_json::from_value(value).unwrap();
    if event.id.is_empty() {
        event.id = "e1".to_owned();
    }
    event
}

/// What one trigger makes of an event: the outgoing trigger, or why not.
fn one(trigger: &Value, happened: &Value) -> Result<Context, String> {
    let mut trigger = trigger.clone();
    trigger
        .as_object_mut()
        .unwrap()
        .entry("enabled")
        .or_insert(json!(true));
    let index = index(&[pipeline("p", json!([trigger]))]);
    let event = event(happened.clone());
    let verdict = index.explain("p", &event).remove(0);
    let fired = index.matches(&event);
    assert_eq!(
        fired.len(),
        usize::from(verdict.matched),
        "{}",
        verdict.reason
    );
    fired
        .into_iter()
        .next()
        .map(|fired| fired.trigger)
        .ok_or(verdict.reason)
}

/// A change of one member makes the event or the trigger another one.
fn with(base: &Value, changes: &Value) -> Value {
    let mut changed = base.clone();
    for (key, value) in changes.as_object().unwrap() {
        changed[key] = value.clone();
    }
    changed
}

#[test]
fn builds() {
    let trigger = json!({"type": "jenkins", "master": "ci", "job": "pay/job/main", "propertyFile": "b.properties"});
    let build = json!({"kind": "build", "sender": "jenkins", "source": "ci", "job": "pay/main", "buildNumber": 7,
        "result": "SUCCESS", "building": false, "url": "http://ci/7",
        "trigger": {"properties": {"v": "0"}, "propertyFiles": {"b.properties": {"v": "1.2"}}}});
    let out = one(&trigger, &build).unwrap();
    assert_eq!(out["buildNumber"], 7);
    assert_eq!(out["properties"], json!({"v": "1.2"}));
    assert_eq!(out["job"], "pay/job/main");
    assert_eq!(
        out["buildInfo"],
        json!({"building": false, "name": "pay/main", "number": 7, "result": "SUCCESS", "url": "http://ci/7"})
    );
    assert_eq!(out["link"], "http://ci/7");
    assert_eq!(out.get("propertyFiles"), None);

    let no = |changes: Value| one(&trigger, &with(&build, &changes)).unwrap_err();
    assert_eq!(
        no(json!({"result": "FAILURE"})),
        "result is `FAILURE`, the trigger wants `SUCCESS`"
    );
    assert_eq!(
        no(json!({"result": null})),
        "the event has no result, the trigger wants `SUCCESS`"
    );
    assert_eq!(
        no(json!({"building": true})),
        "building is `true`, the trigger wants `false`"
    );
    assert_eq!(
        no(json!({"source": "other"})),
        "master is `other`, the trigger wants `ci`"
    );
    assert_eq!(
        no(json!({"job": "pay/dev"})),
        "job is `pay/dev`, the trigger wants `pay/main`"
    );
    assert_eq!(
        no(json!({"kind": "git"})),
        "triggers of type `jenkins` do not listen to git events"
    );

    let constrained = with(&trigger, &json!({"payloadConstraints": {"v": "^1\\."}}));
    assert!(one(&constrained, &build).is_ok());
    let other = with(&build, &json!({"trigger": {"properties": {"v": "2.0"}}}));
    assert_eq!(
        one(&constrained, &other).unwrap_err(),
        "property `v` is `2.0`, the trigger wants `^1\\.`"
    );

    for kind in [
        "travis",
        "concourse",
        "gitlab-ci",
        "githubActions",
        "ci",
        "wercker",
    ] {
        assert!(
            one(&with(&trigger, &json!({"type": kind})), &build).is_ok(),
            "{kind}"
        );
    }
    let concourse =
        json!({"type": "concourse", "master": "ci", "team": "t", "project": "p", "jobName": "j"});
    assert!(one(&concourse, &with(&build, &json!({"job": "t/p/j"}))).is_ok());
    let named = with(
        &build,
        &json!({"source": "hook", "trigger": {"master": "ci", "buildInfo": {"number": 7}}}),
    );
    assert_eq!(
        one(&trigger, &named).unwrap()["buildInfo"],
        json!({"number": 7})
    );
}

#[test]
fn property_files_that_are_asked_for() {
    let trigger = |file: &str| json!({"type": "jenkins", "enabled": true, "master": "m", "job": "j", "propertyFile": file});
    let index = index(&[
        pipeline("a", json!([trigger("x"), trigger("y")])),
        pipeline("b", json!([trigger("x")])),
    ]);
    let build = event(json!({"kind": "build", "source": "m", "job": "j"}));
    assert_eq!(
        index.property_files(&build).into_iter().collect::<Vec<_>>(),
        ["x", "y"]
    );
    assert!(
        index
            .property_files(&event(json!({"kind": "build", "source": "m", "job": "k"})))
            .is_empty()
    );
}

#[test]
fn commits() {
    let trigger = json!({"type": "git", "source": "github", "project": "Acme", "slug": "Shop", "branch": "main|release/.*"});
    let push = json!({"kind": "git", "sender": "github", "source": "gh", "repository": "acme/shop", "branch": "main",
        "commit": "abc", "action": "push:push", "files": ["src/a.rs"]});
    let out = one(&trigger, &push).unwrap();
    let of = |key: &str| out[key].as_str().unwrap();
    assert_eq!(
        [
            of("hash"),
            of("branch"),
            of("action"),
            of("project"),
            of("source")
        ],
        ["abc", "main", "push:push", "Acme", "github"]
    );

    let change = |event: Value, own: Value| one(&with(&trigger, &own), &with(&push, &event));
    assert!(change(json!({"branch": "release/1"}), json!({})).is_ok());
    assert_eq!(
        change(json!({"branch": "mainx"}), json!({})).unwrap_err(),
        "branch is `mainx`, the trigger wants `main|release/.*`"
    );
    assert!(change(json!({"branch": "anything"}), json!({"branch": " "})).is_ok());
    let bad = change(json!({}), json!({"branch": "["})).unwrap_err();
    assert!(
        bad.starts_with("the trigger's branch `[` can never match: "),
        "{bad}"
    );
    assert!(change(json!({"branch": "dev"}), json!({"branch": "^(?!main$).*"})).is_ok());

    // tags
    let tag = json!({"branch": null, "tag": "v1"});
    assert_eq!(
        change(tag.clone(), json!({})).unwrap_err(),
        "branch is `refs/tags/v1`, the trigger wants `main|release/.*`"
    );
    let out = change(tag, json!({"branch": "refs/tags/v.*"})).unwrap();
    assert_eq!(
        (&out["branch"], &out["tag"]),
        (&json!("refs/tags/v1"), &json!("v1"))
    );

    // whose repository
    assert_eq!(
        change(json!({"repository": "evil/shop"}), json!({})).unwrap_err(),
        "project is `evil`, the trigger wants `acme`"
    );
    assert_eq!(
        change(json!({"repository": "acme/other"}), json!({})).unwrap_err(),
        "slug is `other`, the trigger wants `shop`"
    );
    assert_eq!(
        change(json!({"sender": "gitlab", "source": "x"}), json!({})).unwrap_err(),
        "source is `gitlab`, the trigger wants `github`"
    );
    assert!(
        change(
            json!({"repository": "a/b/c", "sender": "gitlab"}),
            json!({"source": "gitlab", "project": "A/B", "slug": "c"})
        )
        .is_ok()
    );
    assert!(change(json!({"sender": "bitbucket"}), json!({"source": "stash"})).is_ok());
    assert!(
        change(json!({"repository": null}), json!({}))
            .unwrap_err()
            .starts_with("the event has no project")
    );
    assert!(
        change(
            json!({"repository": null, "trigger": {"project": "ACME", "slug": "shop"}}),
            json!({})
        )
        .is_ok()
    );

    // actions and paths
    let events = json!({"events": ["pull_request:opened", "push:push"]});
    assert!(change(json!({}), events.clone()).is_ok());
    assert_eq!(
        change(json!({"action": "pull_request:closed"}), events.clone()).unwrap_err(),
        "action is `pull_request:closed`, the trigger wants `pull_request:opened, push:push`"
    );
    assert!(change(json!({"action": null}), events).is_err());
    assert!(change(json!({}), json!({"paths": ["docs/", "src/**"]})).is_ok());
    assert_eq!(
        change(json!({}), json!({"paths": ["docs/**"]})).unwrap_err(),
        "changed file is `src/a.rs`, the trigger wants `docs/**`"
    );
    assert!(change(json!({"files": []}), json!({"paths": ["docs/**"]})).is_ok());
}

/// A stranger's branch may have any name, and a merge is pushed too.
#[test]
fn requests_that_only_those_get_who_name_them() {
    let of_fork = |fork: &str, trigger: Value| {
        let mut git = json!({"type": "git", "source": "github", "project": "a", "slug": "b"});
        git["events"] = trigger;
        let event = json!({"kind": "git", "sender": "github", "repository": "a/b", "branch": "main",
            "action": "pull_request:opened", "trigger": {"properties": {"fork": fork}}});
        one(&git, &event)
    };
    assert_eq!(
        of_fork("true", json!([])).unwrap_err(),
        "fork is `true`, the trigger wants `false`"
    );
    assert!(of_fork("true", json!(["pull_request:opened"])).is_ok());
    assert!(of_fork("false", json!([])).is_ok());
    let merged = |trigger: Value| {
        let mut git = json!({"type": "git", "source": "github", "project": "a", "slug": "b"});
        git["events"] = trigger;
        let event = json!({"kind": "git", "sender": "github", "repository": "a/b", "branch": "main",
            "action": "pull_request:closed",
            "trigger": {"properties": {"fork": "false", "merged": "true"}}});
        one(&git, &event)
    };
    assert_eq!(
        merged(json!([])).unwrap_err(),
        "merged is `true`, the trigger wants `false`"
    );
    assert!(merged(json!(["pull_request:closed"])).is_ok());
}

#[test]
fn commits_with_a_secret() {
    let trigger =
        json!({"type": "git", "source": "github", "project": "a", "slug": "b", "secret": "geheim"});
    let body = STANDARD.encode(r#"{"a":1}"#);
    let good = "sha256=0c3e89010807a274fd26fae3628d3e1dc8f1ee15cc206a8e72920e50b4da8baf";
    let push = |signature: &str| {
        json!({"kind": "git", "sender": "github", "repository": "a/b", "branch": "main",
            "signed": {"body": body, "signatures": {"x-hub-signature-256": signature}}})
    };
    let out = one(&trigger, &push(good)).unwrap();
    assert_eq!(out.get("secret"), None);
    let forged = one(&trigger, &push(&good.replace('0', "1"))).unwrap_err();
    assert_eq!(
        forged,
        "signature is `not by that secret`, the trigger wants `a delivery signed with the trigger's secret`"
    );
    assert!(!forged.contains("geheim"));
    let unsigned = with(&push(good), &json!({"signed": null}));
    assert!(
        one(&trigger, &unsigned)
            .unwrap_err()
            .starts_with("the event has no signature")
    );
    assert!(one(&trigger, &with(&unsigned, &json!({"verified": "signed"}))).is_err());
    assert!(one(&trigger, &with(&unsigned, &json!({"verified": "fetched"}))).is_ok());
    let large = with(&push(good), &json!({"signed": {"body": ""}}));
    let large = one(&trigger, &large).unwrap_err();
    assert!(large.contains("give its source one"), "{large}");
    // a signature is no reason to refuse
    assert!(one(&with(&trigger, &json!({"secret": ""})), &push("sha256=00")).is_ok());
}

#[test]
fn images() {
    let trigger = json!({"type": "docker", "account": "reg", "registry": "reg.corp", "repository": "team/app", "tag": "v\\d+"});
    let polled = json!({"kind": "image", "sender": "registry", "image": "reg.corp/team/app", "tag": "v12", "digest": "sha256:ab",
        "trigger": {"account": "reg", "registry": "reg.corp", "repository": "team/app"}});
    let out = one(&trigger, &polled).unwrap();
    assert_eq!(
        (&out["tag"], &out["digest"], &out["account"]),
        (&json!("v12"), &json!("sha256:ab"), &json!("reg"))
    );
    assert_eq!(out["artifacts"][0]["reference"], "reg.corp/team/app:v12");
    assert_eq!(out["artifacts"][0]["artifactAccount"], "reg");

    let change = |event: Value, own: Value| one(&with(&trigger, &own), &with(&polled, &event));
    assert_eq!(
        change(json!({"tag": "v12b"}), json!({})).unwrap_err(),
        "tag is `v12b`, the trigger wants `v\\d+`"
    );
    assert!(change(json!({"tag": "x"}), json!({"tag": ""})).is_ok());
    assert_eq!(
        change(json!({"tag": "latest"}), json!({"tag": ""})).unwrap_err(),
        "tag is `latest`, the trigger wants `any but latest`"
    );
    assert!(change(json!({"tag": "latest"}), json!({"tag": "latest"})).is_ok());
    for missing in [json!(null), json!(" ")] {
        assert!(change(json!({"tag": missing}), json!({"tag": null})).is_err());
        assert!(change(json!({"tag": missing}), json!({"tag": ".*"})).is_err());
    }
    assert_eq!(
        change(json!({}), json!({"account": "other"})).unwrap_err(),
        "account is `reg`, the trigger wants `other`"
    );
    assert!(
        change(json!({}), json!({"repository": "team/b"}))
            .unwrap_err()
            .starts_with("repository is `team/app`")
    );

    // told by the registry itself, which knows no account
    let pushed = json!({"trigger": {}});
    assert!(change(pushed.clone(), json!({})).is_ok());
    assert_eq!(
        change(pushed.clone(), json!({"registry": "other.corp"})).unwrap_err(),
        "registry is `reg.corp`, the trigger wants `other.corp`"
    );
    assert!(change(pushed, json!({"registry": null})).is_err());
    let hub = json!({"trigger": {}, "image": "docker.io/library/nginx"});
    for own in [
        json!({"registry": "index.docker.io", "repository": "library/nginx"}),
        json!({"registry": null, "repository": "nginx"}),
    ] {
        assert!(change(hub.clone(), own).is_ok());
    }
    assert!(
        change(
            json!({"trigger": {"account": "reg", "chart": "app"}}),
            json!({})
        )
        .unwrap_err()
        .contains("do not listen to chart events")
    );
}

#[test]
fn charts() {
    let trigger = json!({"type": "helm", "account": "charts", "chart": "shop", "version": "^1.2"});
    let push = json!({"kind": "image", "tag": "1.4.0", "digest": "sha256:ab", "trigger": {"chart": "shop", "account": "charts"}});
    let out = one(&trigger, &push).unwrap();
    assert_eq!(
        (&out["version"], &out["artifactName"], &out["digest"]),
        (&json!("1.4.0"), &json!("shop"), &json!("sha256:ab"))
    );
    let change = |event: Value, own: Value| one(&with(&trigger, &own), &with(&push, &event));
    assert_eq!(
        change(json!({"tag": "2.0.0"}), json!({})).unwrap_err(),
        "version is `2.0.0`, the trigger wants `^1.2`"
    );
    assert!(change(json!({"tag": "main"}), json!({})).is_err());
    assert!(change(json!({"tag": "main"}), json!({"version": ""})).is_ok());
    assert!(
        change(json!({}), json!({"version": "newest"}))
            .unwrap_err()
            .starts_with("the trigger's version `newest` can never match")
    );
    assert!(change(json!({}), json!({"chart": "other"})).is_err());
    assert!(change(json!({}), json!({"chart": ""})).is_ok());
    assert!(change(json!({}), json!({"account": "x"})).is_err());

    let oci = json!({"type": "helm/oci", "account": "charts", "repository": "charts/shop", "version": "1.x"});
    let pushed = json!({"kind": "image", "image": "reg.corp/charts/shop", "tag": "1.4.0", "trigger": {"account": "charts"},
        "artifacts": [{"type": "helm/image", "name": "reg.corp/charts/shop", "version": "1.4.0"}]});
    assert!(one(&oci, &pushed).is_ok());
    assert!(one(&oci, &with(&pushed, &json!({"tag": "2.4.0"}))).is_err());
    // a registry that does not say that it is a chart
    let unmarked = with(&pushed, &json!({"artifacts": []}));
    assert!(one(&oci, &unmarked).is_ok());
    assert!(
        one(
            &oci,
            &with(&unmarked, &json!({"image": "reg.corp/charts/b"}))
        )
        .is_err()
    );
    let any = with(&oci, &json!({"version": ""}));
    assert!(one(&any, &unmarked).is_ok());
    assert_eq!(
        one(&any, &with(&unmarked, &json!({"tag": "main"}))).unwrap_err(),
        "version is `main`, the trigger wants `a version`"
    );
    assert!(
        one(
            &with(&any, &json!({"repository": "", "chart": ""})),
            &pushed
        )
        .is_err()
    );
}

#[test]
fn webhooks() {
    let trigger = json!({"type": "webhook", "source": "deploy", "payloadConstraints": {"env": "^prod$", "$.build.ok": "true"},
        "parameters": {"a": "own", "b": "own"}, "runAsUser": "robot"});
    let hook = json!({"kind": "webhook", "source": "deploy", "actor": "mallory",
        "payload": {"env": "prod", "build": {"ok": true}, "parameters": {"b": "body"}, "artifacts": [{"type": "x", "name": "n"}]}});
    let out = one(&trigger, &hook).unwrap();
    assert_eq!(out["parameters"], json!({"a": "own", "b": "body"}));
    assert_eq!(out["artifacts"], json!([{"type": "x", "name": "n"}]));
    assert_eq!(out["payload"], hook["payload"]);
    assert_eq!(
        (&out["eventId"], &out["user"], &out["type"]),
        (&json!("e1"), &json!("robot"), &json!("webhook"))
    );
    assert_eq!(
        one(&with(&trigger, &json!({"runAsUser": ""})), &hook).unwrap()["user"],
        "anonymous"
    );
    let given = with(&hook, &json!({"parameters": {"a": "event"}}));
    assert_eq!(
        one(&trigger, &given).unwrap()["parameters"],
        json!({"a": "event", "b": "body"})
    );

    assert!(one(&trigger, &with(&hook, &json!({"source": "Deploy"}))).is_err());
    assert!(
        one(
            &json!({"type": "webhook"}),
            &with(&hook, &json!({"source": ""}))
        )
        .is_err()
    );
    let wrong = with(
        &hook,
        &json!({"payload": {"env": "production", "build": {"ok": true}}}),
    );
    assert_eq!(
        one(&trigger, &wrong).unwrap_err(),
        "payload `env` is `production`, the trigger wants `^prod$`"
    );
}

#[test]
fn a_sender_cannot_choose_who_runs_what() {
    let trigger = json!({"type": "webhook", "source": "s", "runAsUser": "robot", "id": "own"});
    let hook = json!({"kind": "webhook", "source": "s", "trigger": {"runAsUser": "root", "user": "root", "type": "manual", "id": "x",
        "parentExecution": {}, "strategy": true, "secret": "s", "correlationId": "c"}});
    let out = one(&trigger, &hook).unwrap();
    assert_eq!(
        (&out["user"], &out["runAsUser"], &out["type"], &out["id"]),
        (
            &json!("robot"),
            &json!("robot"),
            &json!("webhook"),
            &json!("own")
        )
    );
    assert_eq!(
        (
            out.get("parentExecution"),
            out.get("strategy"),
            out.get("secret")
        ),
        (None, None, None)
    );
    assert_eq!(out["correlationId"], "c");
}

#[test]
fn messages() {
    let trigger = json!({"type": "pubsub", "pubsubSystem": "Google", "subscriptionName": "Images",
        "payloadConstraints": {"action": "INSERT"}, "attributeConstraints": {"Kind": "^a"}});
    let message = json!({"kind": "pubsub", "sender": "google", "source": "images", "payload": {"action": "INSERT"}, "attributes": {"kind": "abc"}});
    assert!(one(&trigger, &message).is_ok());
    assert!(one(&trigger, &with(&message, &json!({"source": "x", "trigger": {"pubsubSystem": "GOOGLE", "subscriptionName": "IMAGES"}}))).is_ok());
    assert_eq!(
        one(
            &trigger,
            &with(&message, &json!({"attributes": {"kind": "b"}}))
        )
        .unwrap_err(),
        "attribute `Kind` is `b`, the trigger wants `^a`"
    );
    for other in [
        json!({"sender": "amazon"}),
        json!({"source": "x"}),
        json!({"payload": {}}),
        json!({"attributes": {}}),
    ] {
        assert!(one(&trigger, &with(&message, &other)).is_err(), "{other}");
    }

    let trigger = json!({"type": "cdevents", "source": "tekton", "attributeConstraints": {"ce-type": "dev.cdevents.pipelinerun.finished.0.2.0"},
        "payloadConstraints": {"$.subject.content.outcome": "success"}});
    let happened = json!({"kind": "cdevents", "source": "tekton", "attributes": {"ce-type": "dev.cdevents.pipelinerun.finished.0.2.0"},
        "payload": {"subject": {"content": {"outcome": "success"}}}});
    assert!(one(&trigger, &happened).is_ok());
    assert!(
        one(
            &trigger,
            &with(
                &happened,
                &json!({"attributes": {"ce-type": "dev.cdevents.pipelinerun.finished.0.2.0x"}})
            )
        )
        .is_err()
    );
    assert!(
        one(
            &trigger,
            &with(&happened, &json!({"payload": {"subject": {}}}))
        )
        .is_err()
    );
    assert!(one(&trigger, &with(&happened, &json!({"kind": "webhook"}))).is_err());
}

#[test]
fn stores_and_plugins() {
    let nexus = json!({"type": "nexus", "nexusSearchName": "releases"});
    let component = json!({"kind": "artifact", "sender": "nexus", "source": "releases", "artifacts": [{"type": "maven/file", "name": "a:b"}]});
    assert_eq!(
        one(&nexus, &component).unwrap()["artifacts"][0]["name"],
        "a:b"
    );
    assert!(one(&nexus, &with(&component, &json!({"source": "snapshots"}))).is_err());
    let artifactory = json!({"type": "artifactory", "artifactorySearchName": "releases"});
    assert!(one(&artifactory, &component).is_err());
    assert!(
        one(
            &artifactory,
            &json!({"kind": "artifact", "trigger": {"artifactorySearchName": "releases"}})
        )
        .is_ok()
    );

    let plugin = json!({"type": "plugin", "pluginId": "acme.x"});
    let published = json!({"kind": "webhook", "source": "plugins", "trigger": {"pluginId": "acme.x", "pluginEventType": "PUBLISHED"}});
    assert!(one(&plugin, &published).is_ok());
    assert!(
        one(
            &with(&plugin, &json!({"pluginEventType": "ENABLED"})),
            &published
        )
        .is_err()
    );
}

#[test]
fn what_no_event_fires() {
    let hook = json!({"kind": "webhook", "source": "s"});
    let no = |trigger: Value| one(&trigger, &hook).unwrap_err();
    assert_eq!(
        no(json!({"type": "cron"})),
        "fires by the clock, not by events"
    );
    assert_eq!(
        no(json!({"type": "manual"})),
        "is started by hand, not by events"
    );
    assert_eq!(
        no(json!({"type": "pipeline"})),
        "fires when another pipeline ends, not by events"
    );
    assert_eq!(
        no(json!({"type": "Webhook", "source": "s"})),
        "nothing fires triggers of type `Webhook`; correct the type"
    );
    assert_eq!(
        no(json!({"type": "webhook", "source": "s", "enabled": false})),
        "the trigger is disabled"
    );
    assert_eq!(
        no(json!({"type": "webhook", "source": "s", "enabled": "no"})),
        "the trigger is disabled"
    );
    assert!(
        one(
            &json!({"type": "webhook", "source": "s", "enabled": "true"}),
            &hook
        )
        .is_ok()
    );

    let mut off = pipeline(
        "p",
        json!([{"type": "webhook", "source": "s", "enabled": true}]),
    );
    off.insert("disabled".to_owned(), json!(true));
    let index = index(&[off]);
    assert_eq!(index.matches(&event(hook.clone())), []);
    assert_eq!(
        index.explain("p", &event(hook.clone()))[0].reason,
        "the pipeline is disabled"
    );
    assert_eq!(index.explain("nobody", &event(hook)), []);
}

#[test]
fn artifacts_that_have_to_come_with_it() {
    let mut config = pipeline(
        "p",
        json!([{"type": "docker", "enabled": true, "account": "r", "repository": "app", "expectedArtifactIds": ["1"]}]),
    );
    config.insert("expectedArtifacts".to_owned(), json!([{"id": "1", "matchArtifact": {"type": "docker/image", "name": "reg/app", "version": "v.*"}}]));
    let index = index(&[config]);
    let push = |tag: &str| {
        event(
            json!({"kind": "image", "tag": tag, "trigger": {"account": "r", "registry": "reg", "repository": "app"}}),
        )
    };
    assert_eq!(index.matches(&push("v1")).len(), 1);
    assert_eq!(index.matches(&push("x1")).len(), 0);
    assert_eq!(
        index.explain("p", &push("x1"))[0].reason,
        "artifact version is `x1`, the trigger wants `v.*`"
    );
}

#[test]
fn one_start_per_event_and_pipeline() {
    let trigger =
        |n: u8| json!({"type": "webhook", "enabled": true, "source": "s", "parameters": {"n": n}});
    let mut second = pipeline("b", json!([trigger(3)]));
    second.insert("respectQuietPeriod".to_owned(), json!(true));
    let index = index(&[
        second,
        pipeline("a", json!([{"type": "webhook"}, trigger(1), trigger(2)])),
    ]);
    let hook = event(json!({"id": "x:1", "kind": "webhook", "source": "s"}));
    let fired = index.matches(&hook);
    let shown: Vec<_> = fired
        .iter()
        .map(|f| {
            (
                &*f.pipeline,
                f.index,
                &f.trigger["parameters"]["n"],
                f.respects_quiet_period,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [("a", 1, &json!(1), false), ("b", 0, &json!(3), true)]
    );
    assert_eq!(fired[0].execution_key, "x:1\na");
    assert_eq!(
        (&*fired[0].application, &*fired[0].name),
        ("app", "name of a")
    );
    assert_eq!(index.matches(&hook), fired);

    let verdicts = index.explain("a", &hook);
    assert_eq!(
        verdicts
            .iter()
            .map(|v| (v.matched, v.starts))
            .collect::<Vec<_>>(),
        [(false, false), (true, true), (true, false)]
    );
    assert_eq!(
        verdicts[2].reason,
        "matches, but trigger 1 already starts the pipeline for this event"
    );
    let shown = serde_json::to_value(&verdicts[0]).unwrap();
    assert_eq!(
        shown,
        json!({"index": 0, "type": "webhook", "matched": false, "starts": false, "reason": "the trigger is disabled"})
    );

    let nameless = InboundEvent {
        id: String::new(),
        ..hook
    };
    assert_eq!(index.matches(&nameless), []);
    assert!(
        index
            .explain("a", &nameless)
            .iter()
            .all(|verdict| !verdict.starts)
    );
}

#[test]
fn edits_take_the_place_of_what_was() {
    let hook = |source: &str| event(json!({"kind": "webhook", "source": source}));
    let with_source = |source: &str| {
        pipeline(
            "p",
            json!([{"type": "webhook", "enabled": true, "source": source}]),
        )
    };
    let mut index = index(&[with_source("a")]);
    index.put(&with_source("b"));
    assert_eq!(
        (
            index.matches(&hook("a")).len(),
            index.matches(&hook("b")).len(),
            index.len()
        ),
        (0, 1, 1)
    );
    index.put(&pipeline("p", json!([])));
    assert!(index.is_empty() && index.matches(&hook("b")).is_empty());
    index.put(&with_source("a"));
    index.remove("p");
    index.remove("p");
    assert!(index.is_empty() && index.filed.is_empty());
    index.put(&context(
        json!({"name": "no id", "triggers": [{"type": "webhook"}]}),
    ));
    index.put(&context(json!({"id": "odd", "triggers": "none"})));
    assert!(index.is_empty());
}

#[test]
fn ends_of_other_pipelines() {
    let trigger = |status: Value, more: Value| {
        with(
            &json!({"type": "pipeline", "enabled": true, "application": "app", "pipeline": "parent", "status": status}),
            &more,
        )
    };
    let index = index(&[
        pipeline("good", json!([trigger(json!(["successful"]), json!({}))])),
        pipeline(
            "bad",
            json!([trigger(
                json!(["failed", "canceled"]),
                json!({"runAsUser": "robot"})
            )]),
        ),
        pipeline(
            "other",
            json!([trigger(
                json!(["successful"]),
                json!({"application": "else"})
            )]),
        ),
        pipeline("none", json!([trigger(json!([]), json!({}))])),
        pipeline(
            "twice",
            json!([
                trigger(json!(["successful"]), json!({})),
                trigger(json!(["successful"]), json!({}))
            ]),
        ),
    ]);
    let parent = context(json!({"id": "01X", "name": "parent"}));
    let ended = |status| {
        let artifacts = [json!({"type": "x"})];
        let ended = Finished {
            execution: "01X",
            application: "app",
            pipeline: "parent",
            status,
            ended: Timestamp(5),
            user: Some("ann"),
            parent: &parent,
            artifacts: &artifacts,
            dry_run: status == Status::Canceled,
        };
        index.finished(&ended)
    };
    let ids = |status| {
        ended(status)
            .iter()
            .map(|f| f.pipeline.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Status::Succeeded), ["good", "twice"]);
    assert_eq!(ids(Status::Terminal), ["bad"]);
    assert_eq!(ids(Status::Canceled), ["bad"]);
    assert_eq!(ids(Status::Running), Vec::<String>::new());
    let good = &ended(Status::Succeeded)[0];
    assert_eq!(
        good.trigger["parentExecution"],
        json!({"id": "01X", "name": "parent"})
    );
    assert_eq!(
        (good.user.as_str(), good.execution_key.as_str()),
        ("ann", "pipeline:01X:5\ngood")
    );
    assert_eq!(good.trigger.get("dryRun"), None);
    assert_eq!(ended(Status::Canceled)[0].trigger["dryRun"], true);
    assert_eq!(ended(Status::Terminal)[0].user, "robot");
}

#[test]
fn cron_triggers() {
    let index = index(&[
        pipeline(
            "b",
            json!([{"type": "cron", "enabled": true, "id": "t1", "cronExpression": "0 0 4 * * ?", "parameters": {"x": 1}},
            {"type": "cron", "enabled": false, "id": "t2", "cronExpression": "0 0 5 * * ?"}]),
        ),
        pipeline(
            "a",
            json!([{"type": "cron", "enabled": true, "cronExpression": "0 0 6 * * ?", "timezone": "Europe/Berlin"}]),
        ),
    ]);
    let crons: Vec<_> = index.crons().collect();
    assert_eq!(
        crons
            .iter()
            .map(|c| (c.pipeline, c.trigger, c.zone))
            .collect::<Vec<_>>(),
        [
            ("a", "0 0 6 * * ?", Some("Europe/Berlin")),
            ("b", "t1", None)
        ]
    );
    let first = crons[1]
        .schedule(None)
        .unwrap()
        .next_after(Timestamp(1_700_000_000_000))
        .unwrap();
    assert_eq!(first.millis(), 1_700_049_600_000); // 04:00 in Los Angeles
    assert_eq!(
        crons[1]
            .schedule(Some("UTC"))
            .unwrap()
            .next_after(Timestamp(0)),
        Some(Timestamp(4 * 3_600_000))
    );

    let fired = index.cron_fired("b", "t1", first).unwrap();
    assert_eq!(fired.trigger["eventId"], "cron:b/t1:1700049600000");
    assert_eq!(fired.execution_key, "cron:b/t1:1700049600000\nb");
    assert_eq!(fired.trigger["parameters"], json!({"x": 1}));
    assert_eq!(index.cron_fired("b", "t2", first), None);
    assert_eq!(index.cron_fired("c", "t1", first), None);
}

#[test]
fn odd_pipelines_and_events_do_no_harm() {
    let odd = pipeline(
        "p",
        json!([null, 1, "x", [], {}, {"type": 7}, {"type": "git", "enabled": true, "events": {}, "project": 1},
        {"type": "webhook", "enabled": true, "source": {}, "payloadConstraints": []}, {"type": "docker", "enabled": true}, {"type": "jenkins", "enabled": true}]),
    );
    let index = index(&[odd]);
    for kind in [
        "build", "git", "image", "webhook", "pubsub", "cdevents", "artifact",
    ] {
        let odd = event(
            json!({"kind": kind, "repository": "/", "image": "/", "job": "///", "tag": "", "trigger": {"master": 1, "properties": [], "propertyFiles": 1}}),
        );
        assert_eq!(index.matches(&odd), [], "{kind}");
        assert_eq!(index.explain("p", &odd).len(), 10);
    }
}

#[test]
fn threads_may_share_an_index() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&TriggerIndex::default());
}
