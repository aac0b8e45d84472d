//! A bucket that a real Front50 wrote, when it lies beside the repository: what we show of it is
//! what the real one answered. Without it the fixture in `tests/golden` stands for the same rules.

use std::{collections::BTreeMap, io::Write, path::PathBuf};

use bytes::Bytes;
use kork::{
    model::{Context, api::front50::*},
    ports::Condition,
};
use serde_json::Value;

use crate::rig::Rig;

struct Golden {
    objects: Vec<(String, String)>,
    /// Earlier and current bodies by key, oldest first.
    versions: BTreeMap<String, Vec<String>>,
    operations: Vec<Value>,
}

fn golden() -> Option<Golden> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden-bucket");
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let objects: BTreeMap<String, String> = serde_json::from_slice(&read("objects.json")?).ok()?;
    let listed: BTreeMap<String, String> = serde_json::from_slice(&read("versions.json")?).ok()?;
    let operations = serde_json::from_slice(&read("operations.json")?).ok()?;
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Version ids of that store fall with time, so the greatest is the oldest.
    for (key, body) in listed.into_iter().rev() {
        let (key, _) = key.rsplit_once('@').expect("a version");
        versions.entry(key.to_owned()).or_default().push(body);
    }
    Some(Golden {
        objects: objects.into_iter().collect(),
        versions,
        operations,
    })
}

/// Says so past the harness, which swallows what passing tests print.
fn skipped() {
    let text = "SKIPPED: there is no golden bucket beside the repository";
    writeln!(std::io::stderr(), "{text}").expect("it is written");
}

/// Without what differs on purpose: times are exact here, whole seconds there.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let times = ["updateTs", "createTs", "lastModified"];
            let kept = object
                .iter()
                .filter(|(name, _)| !times.contains(&name.as_str()));
            Value::Object(
                kept.map(|(name, value)| (name.clone(), normal(value)))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.iter().map(normal).collect()),
        other => other.clone(),
    }
}

/// A list with the order and the cached `index` left aside.
fn as_set(list: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let unnumbered = |mut value: Value| {
        if let Some(object) = value.as_object_mut() {
            object.remove("index");
        }
        value
    };
    list.into_iter()
        .map(|value| unnumbered(normal(&value)))
        .map(|value| (value.to_string(), value))
        .collect()
}

fn values(documents: Vec<Context>) -> Vec<Value> {
    documents.into_iter().map(Value::Object).collect()
}

impl Golden {
    /// The last answer to a request.
    fn answer(&self, path: &str) -> Value {
        let is_it = |each: &&Value| {
            each["method"] == "GET" && each["path"] == path && each["status"] == 200
        };
        let found = self.operations.iter().rfind(is_it);
        found.unwrap_or_else(|| panic!("{path} was not asked"))["answer"].clone()
    }

    fn list(&self, path: &str) -> Vec<Value> {
        self.answer(path).as_array().expect("a list").clone()
    }

    /// What a list of the real one showed, or the stored version where that was an older one: its
    /// cache tells versions apart by whole seconds, and kept the first of several in one second.
    fn list_without_stale_cache(&self, path: &str) -> Vec<Value> {
        let plain = |value: &Value| as_set([value.clone()]);
        let newest_of = |shown: Value| {
            let id = shown["id"].as_str().expect("an id").to_lowercase();
            let mut keys = self.versions.iter();
            let (_, bodies) = keys
                .find(|(key, _)| key.contains(&format!("/{id}/")))
                .expect("stored");
            let read = |body: &String| serde_json::from_str::<Value>(body).expect("a document");
            let mut older = bodies.iter().map(read);
            let newest = older.next_back().expect("a version");
            if older.any(|version| plain(&version) == plain(&shown)) {
                newest
            } else {
                shown
            }
        };
        self.list(path).into_iter().map(newest_of).collect()
    }

    async fn served(&self) -> Rig {
        let mut written = Vec::new();
        for (key, bodies) in &self.versions {
            written.extend(bodies.iter().map(|body| (key.clone(), body.clone())));
        }
        written.extend(
            self.objects
                .iter()
                .filter(|(key, _)| !self.versions.contains_key(key))
                .cloned(),
        );
        let rig = Rig::start_with(&written).await;
        let current: BTreeMap<&str, &str> = self
            .objects
            .iter()
            .map(|(key, body)| (key.as_str(), body.as_str()))
            .collect();
        for (key, bodies) in &self.versions {
            match current.get(key.as_str()) {
                None => rig
                    .ports
                    .objects
                    .delete(key, Condition::Always)
                    .await
                    .expect("deleted"),
                Some(body) if bodies.last().map(String::as_str) != Some(*body) => {
                    let body = Bytes::from((*body).to_owned());
                    rig.ports
                        .objects
                        .put(key, body, Condition::Always)
                        .await
                        .expect("stored");
                }
                Some(_) => {}
            }
        }
        rig
    }
}

#[tokio::test]
async fn a_real_bucket_is_shown_as_the_real_front50_showed_it() {
    let Some(golden) = golden() else {
        return skipped();
    };
    // Loaded by a second instance, after the deletes.
    let mut rig = golden.served().await;
    let ports = rig.second().await;
    let ask = async |list: ListPipelines| crate::rig::ask(&ports, list).await.expect("a list");

    let applications = crate::rig::ask(&ports, ListApplications {})
        .await
        .expect("applications");
    assert_eq!(
        as_set(values(applications)),
        as_set(golden.list("/v2/applications"))
    );
    let pipelines = ask(ListPipelines::default()).await;
    let expected = golden.list_without_stale_cache("/pipelines");
    assert_eq!(as_set(values(pipelines)), as_set(expected));
    let strategies = ask(ListPipelines {
        strategies: true,
        ..Default::default()
    })
    .await;
    assert_eq!(
        as_set(values(strategies)),
        as_set(golden.list_without_stale_cache("/strategies"))
    );
    let projects = crate::rig::ask(&ports, ListProjects {})
        .await
        .expect("projects");
    assert_eq!(
        as_set(values(projects)),
        as_set(golden.list_without_stale_cache("/v2/projects"))
    );
    for (name, path) in [
        ("shop", "/notifications/application/SHOP"),
        ("__global", "/notifications/global"),
    ] {
        let shown = crate::rig::ask(
            &ports,
            GetNotifications {
                name: name.to_owned(),
            },
        )
        .await;
        let shown = Value::Object(shown.expect("notifications"));
        assert_eq!(normal(&shown), normal(&golden.answer(path)), "{path}");
    }
    for (word, path) in [
        ("pipelineTemplate", "/pipelineTemplates"),
        ("serviceAccount", "/serviceAccounts"),
        ("pluginInfo", "/pluginInfo"),
        ("entityTags", "/v2/tags?prefix="),
    ] {
        let page = ListObjects {
            object_type: word.to_owned(),
            after: None,
        };
        let page = crate::rig::ask(&ports, page).await.expect("a page");
        let shown = page["objects"].as_array().expect("a list").clone();
        assert_eq!(as_set(shown), as_set(golden.list(path)), "{word}");
    }
    let report = rig.chassis.health.report();
    assert_eq!(
        report.parts["front50.store"], "UP",
        "every object can be read"
    );
}

#[tokio::test]
async fn the_histories_of_a_real_bucket_are_newest_first() {
    let Some(golden) = golden() else {
        return skipped();
    };
    let rig = golden.served().await;
    let mut compared = 0;
    for operation in &golden.operations {
        let path = operation["path"].as_str().expect("a path");
        let (path, is_limited) = path
            .split_once('?')
            .map_or((path, false), |(path, query)| (path, query != "limit=10"));
        if operation["status"] != 200 || is_limited {
            continue;
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let shown = match parts.as_slice() {
            ["v2", "applications", name, "history"] => {
                rig.ask(ApplicationHistory {
                    name: (*name).to_owned(),
                    limit: 100,
                })
                .await
            }
            [kind @ ("pipelines" | "strategies"), id, "history"] => {
                let strategies = *kind == "strategies";
                rig.ask(PipelineHistory {
                    id: (*id).to_owned(),
                    limit: 100,
                    strategies,
                })
                .await
            }
            _ => continue,
        };
        let shown: Vec<Value> = values(shown.expect("a history"))
            .iter()
            .map(normal)
            .collect();
        let expected = operation["answer"].as_array().expect("a list");
        let expected: Vec<Value> = expected.iter().map(normal).collect();
        // More was written after the question: the answer is the older end of ours.
        assert!(
            shown.ends_with(&expected),
            "{path}: {shown:#?} does not end with {expected:#?}"
        );
        compared += expected.len();
    }
    assert!(compared > 5, "only {compared} versions were compared");
}
