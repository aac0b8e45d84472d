//! Jenkins' JSON. Members may be missing, null or of another kind: what cannot be read is absent.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    build::{Build, BuildArtifact, BuildResult, TestSummary},
    git::{self, Scm},
};

/// What a look at a running build needs.
pub(crate) const STATE_TREE: &str =
    "number,url,displayName,fullDisplayName,building,inProgress,result,timestamp,duration,queueId";

/// Everything about a build.
pub(crate) const BUILD_TREE: &str = concat!(
    "number,url,displayName,fullDisplayName,building,inProgress,result,timestamp,duration,queueId,",
    "artifacts[fileName,displayPath,relativePath]{0,501},",
    "actions[_class,parameters[name,value],failCount,skipCount,totalCount,",
    "lastBuiltRevision[SHA1,branch[SHA1,name]],remoteUrls,scmName]{0,100},",
    "changeSet[items[commitId,msg,timestamp,author[fullName]]{0,20}],",
    "changeSets[items[commitId,msg,timestamp,author[fullName]]{0,20}]{0,20}"
);

/// Artifacts of a build that are shown.
const ARTIFACTS_MAX: usize = 500;
/// All artifacts of a build, for the one that a stage wants.
pub(super) const ARTIFACTS_TREE: &str =
    "number,artifacts[fileName,displayPath,relativePath]{0,20000}";

pub(crate) fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

pub(crate) fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

pub(crate) fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A build; `None` without a number.
pub(crate) fn build(value: &Value) -> Option<Build> {
    let result = value.get("result").and_then(Value::as_str);
    // Post-production and the end of the log come after `building` became false.
    let running = flag(value, "building") || flag(value, "inProgress") || result.is_none();
    Some(Build {
        number: number(value, "number")?,
        url: text(value, "url").unwrap_or_default(),
        display_name: text(value, "displayName").unwrap_or_default(),
        full_display_name: text(value, "fullDisplayName").unwrap_or_default(),
        running,
        // A word that no release of Jenkins has must not make a build endless.
        result: result.map(|word| BuildResult::parse(word).unwrap_or(BuildResult::Failure)),
        started_ms: number(value, "timestamp").unwrap_or(0),
        duration_ms: number(value, "duration").unwrap_or(0),
        queue_id: number(value, "queueId"),
        parameters: parameters(value),
        artifacts: artifacts(value).take(ARTIFACTS_MAX).collect(),
        has_more_artifacts: artifacts(value).nth(ARTIFACTS_MAX).is_some(),
        scm: scm(value),
        tests: list(value, "actions").find_map(tests),
    })
}

pub(super) fn artifacts(value: &Value) -> impl Iterator<Item = BuildArtifact> {
    list(value, "artifacts").filter_map(artifact)
}

fn artifact(value: &Value) -> Option<BuildArtifact> {
    let path = text(value, "relativePath")?;
    let mut artifact = BuildArtifact::new(&path);
    if let Some(name) = text(value, "fileName") {
        artifact.file_name = name;
    }
    if let Some(shown) = text(value, "displayPath") {
        artifact.display_path = shown;
    }
    Some(artifact)
}

/// Parameters in the actions of a build or of a queue item; of some the value is not shown.
pub(crate) fn listed(value: &Value) -> BTreeMap<&str, Option<&Value>> {
    let all = list(value, "actions").flat_map(|action| list(action, "parameters"));
    let pairs = all.filter_map(|p| {
        let value = p.get("value").filter(|value| !value.is_null());
        Some((p.get("name")?.as_str()?, value))
    });
    pairs.collect()
}

/// Those whose value is shown, as texts.
fn parameters(value: &Value) -> BTreeMap<String, String> {
    let shown = listed(value).into_iter().filter_map(|(name, value)| {
        let value = match value? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((name.to_owned(), value))
    });
    shown.collect()
}

fn tests(action: &Value) -> Option<TestSummary> {
    Some(TestSummary {
        total: number(action, "totalCount")?,
        failed: number(action, "failCount").unwrap_or(0),
        skipped: number(action, "skipCount").unwrap_or(0),
    })
}

/// One entry for every checkout, with what the change log says of its commit.
fn scm(value: &Value) -> Vec<Scm> {
    let change = |sha1: &str| {
        let sets = list(value, "changeSets").chain(value.get("changeSet"));
        sets.flat_map(|set| list(set, "items"))
            .find(|c| text(c, "commitId").as_deref() == Some(sha1))
    };
    let mut all: Vec<Scm> = Vec::new();
    for action in list(value, "actions") {
        let Some(revision) = action.get("lastBuiltRevision").filter(|r| r.is_object()) else {
            continue;
        };
        let name = list(revision, "branch").find_map(|b| text(b, "name"));
        let sha1 = text(revision, "SHA1");
        let change = sha1.as_deref().and_then(change);
        let scm = Scm {
            remotes: list(action, "remoteUrls")
                .filter_map(|r| r.as_str().map(str::to_owned))
                .collect(),
            branch: name.as_deref().and_then(git::branch),
            name,
            committer: change.and_then(|c| text(c.get("author")?, "fullName")),
            message: change.and_then(|c| text(c, "msg")),
            timestamp_ms: change.and_then(|c| number(c, "timestamp")),
            sha1,
        };
        if !all.contains(&scm) {
            all.push(scm);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_build_is_finished_only_when_nothing_goes_on() {
        let finished = |value: Value| build(&value).unwrap().finished();
        let mut value = json!({"number": 1, "building": false, "result": "SUCCESS"});
        assert_eq!(finished(value.clone()), Some(BuildResult::Success));
        value["inProgress"] = json!(true);
        assert_eq!(finished(value.clone()), None);
        value["inProgress"] = json!(false);
        value["building"] = json!(true);
        assert_eq!(
            finished(value.clone()),
            None,
            "a pipeline sets its result early"
        );
        assert_eq!(
            finished(json!({"number": 1, "building": false, "result": null})),
            None
        );
        assert_eq!(
            finished(json!({"number": 1, "result": "ODD"})),
            Some(BuildResult::Failure)
        );
    }

    #[test]
    fn every_checkout_is_kept_with_its_change() {
        let data = |sha: &str, branch: &str, remote: &str| {
            json!({"_class": "hudson.plugins.git.util.BuildData", "remoteUrls": [remote],
                "lastBuiltRevision": {"SHA1": sha, "branch": [{"SHA1": sha, "name": branch}]}})
        };
        let value = json!({"number": 7, "actions": [
            {}, null, data("aa", "refs/remotes/origin/feature/x", "https://h/lib.git"),
            data("bb", "detached", "git@h:p/l.git"), data("bb", "detached", "git@h:p/l.git"),
            {"failCount": 1, "skipCount": 2, "totalCount": 9},
            {"parameters": [{"name": "A", "value": "1"}, {"name": "B", "value": true}, {"name": "C"}]},
        ], "changeSets": [{"items": [{"commitId": "bb", "msg": "m", "timestamp": 5, "author": {"fullName": "Ana"}}]}]});
        let build = build(&value).unwrap();
        assert_eq!(build.scm.len(), 2);
        assert_eq!(build.scm[0].branch.as_deref(), Some("feature/x"));
        assert_eq!(
            (
                build.scm[1].branch.as_deref(),
                build.scm[1].committer.as_deref()
            ),
            (None, Some("Ana"))
        );
        assert_eq!(
            build.tests,
            Some(TestSummary {
                total: 9,
                failed: 1,
                skipped: 2
            })
        );
        assert_eq!(build.parameters.len(), 2);
        let shown = build.generic("p/job/l", Some("https://h/p/l"));
        assert_eq!(shown["scm"][0]["sha1"], "bb");
        assert_eq!(shown["scm"].as_array().unwrap().len(), 2);
        assert_eq!(shown["result"], "BUILDING");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let keys = "(number|actions|artifacts|parameters|name|value|result|building|lastBuiltRevision|branch|SHA1|changeSet|items|remoteUrls|relativePath)";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(keys, inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_breaks_it(value in any_json()) {
            if let Some(build) = build(&value) {
                build.generic("x", Some("https://h/x"));
            }
        }
    }
}
