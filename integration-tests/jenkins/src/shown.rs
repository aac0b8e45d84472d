//! Jobs, items and builds as Jenkins' JSON shows them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::state::{Build, Item, ItemState, Job, ParameterKind, Phase, State};

/// `builds` of a job lists only so many.
const NEWEST: usize = 100;

/// One name in a URL path, percent-encoded.
pub fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(hex(byte >> 4));
            text.push(hex(byte & 15));
        }
    }
    text
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).map_or('0', |d| d.to_ascii_uppercase())
}

/// `job/a/job/b/` of a job.
pub fn job_url(path: &[String]) -> String {
    let parts = path.iter().map(|name| format!("job/{}/", encoded(name)));
    parts.collect::<Vec<_>>().concat()
}

/// Shows things with absolute addresses below `base`, which ends with a slash.
pub(crate) struct Shown<'a> {
    pub state: &'a State,
    pub base: &'a str,
}

impl Shown<'_> {
    pub(crate) fn root(&self) -> Value {
        json!({ "_class": "hudson.model.Hudson", "url": self.base, "jobs": self.children(&[]) })
    }

    fn children(&self, path: &[String]) -> Vec<Value> {
        let below = self.state.jobs.iter().filter(|(other, job)| {
            other.len() == path.len() + 1 && other.starts_with(path) && !job.hidden
        });
        below.map(|(path, job)| self.job(path, job)).collect()
    }

    pub(crate) fn job(&self, path: &[String], job: &Job) -> Value {
        let name = path.last().map_or("", String::as_str);
        let url = format!("{}{}", self.base, job_url(path));
        let full_name = path.join("/");
        if job.kind.is_folder() {
            return json!({
                "_class": job.kind.class(), "name": name, "fullName": full_name, "url": url,
                "jobs": self.children(path),
            });
        }
        let builds = self.state.builds.get(path);
        let newest = || builds.into_iter().flat_map(|b| b.values().rev());
        let all: Vec<Value> = newest().map(|b| self.build(b)).collect();
        let queued = self
            .state
            .items
            .values()
            .find(|i| i.is_queued() && i.path == path);
        let mut property = vec![json!({})];
        if !job.parameters.is_empty() {
            property.push(definitions(job));
        }
        json!({
            "_class": job.kind.class(), "name": name, "fullName": full_name, "url": url,
            "buildable": !job.disabled, "inQueue": queued.is_some(),
            "queueItem": queued.map(|i| self.item(i)),
            "nextBuildNumber": job.next_number, "concurrentBuild": job.concurrent,
            "color": if newest().next().is_some_and(Build::is_building) { "blue_anime" } else { "blue" },
            "lastBuild": all.first(),
            "lastCompletedBuild": newest().find(|b| !b.is_building()).map(|b| self.build(b)),
            "builds": all.iter().take(NEWEST).collect::<Vec<_>>(),
            "allBuilds": all,
            "property": property,
        })
    }

    pub(crate) fn queue(&self) -> Value {
        let items = self.state.items.values().filter(|i| i.is_queued());
        let items: Vec<Value> = items.map(|i| self.item(i)).collect();
        json!({ "_class": "hudson.model.Queue", "items": items })
    }

    pub(crate) fn item(&self, item: &Item) -> Value {
        let url = format!("{}{}", self.base, job_url(&item.path));
        let name = item.path.last().map_or("", String::as_str);
        let params = item.parameters.iter().map(|(k, v)| format!("\n{k}={v}"));
        let params = params.collect::<Vec<_>>().concat();
        let (class, why) = match item.state {
            ItemState::Waiting { until_ms } => {
                let left = until_ms.saturating_sub(self.state.now_ms) as f64 / 1000.0;
                let why = format!("In the quiet period. Expires in {left:.1} sec");
                ("hudson.model.Queue$WaitingItem", Some(why))
            }
            ItemState::Blocked => {
                let builds = self.state.builds.get(&item.path);
                let running = builds.and_then(|b| b.values().rev().find(|b| b.is_building()));
                let number = running.map_or(0, |b| b.number);
                let why = format!("Build #{number} is already in progress");
                ("hudson.model.Queue$BlockedItem", Some(why))
            }
            ItemState::Buildable => {
                let why = "Waiting for next available executor".to_owned();
                ("hudson.model.Queue$BuildableItem", Some(why))
            }
            ItemState::Left { .. } => ("hudson.model.Queue$LeftItem", None),
        };
        let mut shown = json!({
            "_class": class, "id": item.id, "url": format!("queue/item/{}/", item.id),
            "inQueueSince": item.since_ms, "why": why, "stuck": false, "params": params,
            "blocked": item.state == ItemState::Blocked,
            "buildable": item.state == ItemState::Buildable,
            "task": { "name": name, "url": url },
            "actions": [{}, self.parameters(&item.path, &item.parameters)],
        });
        if let ItemState::Left { number, .. } = item.state {
            shown["cancelled"] = json!(number.is_none());
            shown["executable"] = json!(number.map(|n| json!({
                "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
                "number": n, "url": format!("{url}{n}/"),
            })));
        }
        shown
    }

    pub(crate) fn build(&self, build: &Build) -> Value {
        let url = format!("{}{}{}/", self.base, job_url(&build.path), build.number);
        let result = build.result(self.state.now_ms);
        let artifacts: Vec<Value> = match build.end_ms {
            None => Vec::new(),
            Some(_) => build
                .script
                .artifacts
                .keys()
                .map(|path| artifact(path))
                .collect(),
        };
        let mut shown = json!({
            "_class": build.kind.build_class(), "number": build.number,
            "id": build.number.to_string(), "url": url, "displayName": format!("#{}", build.number),
            "fullDisplayName": format!("{} #{}", build.path.join(" » "), build.number),
            "description": build.description, "building": build.is_building(),
            "inProgress": !build.finalized, "result": result, "duration": build.duration_ms(),
            "estimatedDuration": build.script.duration_ms, "timestamp": build.start_ms,
            "queueId": build.queue_id, "keepLog": false, "builtOn": "",
            "artifacts": artifacts, "actions": self.actions(build), "culprits": [],
        });
        let key = if build.kind == crate::Kind::Freestyle {
            "changeSet"
        } else {
            "changeSets"
        };
        let changes = json!({ "_class": "hudson.plugins.git.GitChangeSetList", "kind": "git", "items": changes(build) });
        shown[key] = if key == "changeSet" {
            changes
        } else {
            json!([changes])
        };
        shown
    }

    /// The action that holds the values of a job's parameters.
    fn parameters(&self, path: &[String], values: &BTreeMap<String, String>) -> Value {
        let declared = self.state.jobs.get(path).map(|job| &job.parameters[..]);
        let kind = |name: &str| {
            let known = declared.unwrap_or_default().iter().find(|p| p.name == name);
            known.map_or(ParameterKind::Text, |p| p.kind)
        };
        let shown = values.iter().map(|(name, value)| {
            let kind = kind(name);
            let mut shown = json!({ "_class": format!("hudson.model.{}ParameterValue", kind.class()), "name": name });
            match kind {
                ParameterKind::Password => {}
                ParameterKind::Boolean => shown["value"] = json!(value == "true"),
                ParameterKind::Run => {
                    let (job, number) = value.split_once('#').unwrap_or((value, ""));
                    shown["jobName"] = json!(job);
                    shown["number"] = json!(number);
                }
                ParameterKind::Text | ParameterKind::Trimmed | ParameterKind::Choice => {
                    shown["value"] = json!(value);
                }
            }
            shown
        });
        json!({ "_class": "hudson.model.ParametersAction", "parameters": shown.collect::<Vec<_>>() })
    }

    fn actions(&self, build: &Build) -> Vec<Value> {
        let parameters = self.parameters(&build.path, &build.parameters);
        let mut actions = vec![parameters, json!({})];
        actions.extend(left(build));
        actions.push(json!({}));
        actions
    }

    /// The body of a notification, as the Notification plugin writes it.
    pub(crate) fn notice(&self, build: &Build, phase: Phase, at_ms: u64) -> Value {
        let (job, number) = (job_url(&build.path), build.number);
        let name = build.path.last();
        let ended = matches!(phase, Phase::Completed | Phase::Finalized);
        let mut shown = json!({
            "full_url": format!("{}{job}{number}/", self.base), "url": format!("{job}{number}/"),
            "number": number, "queue_id": build.queue_id, "log": "", "notes": "",
            "duration": if ended { build.duration_ms() } else { 0 },
            "parameters": build.parameters, "scm": {}, "artifacts": {},
        });
        let (word, timestamp) = match phase {
            Phase::Queued => ("QUEUED", build.queued_ms),
            Phase::Started => ("STARTED", build.start_ms),
            Phase::Completed => ("COMPLETED", build.start_ms + build.duration_ms()),
            Phase::Finalized => ("FINALIZED", at_ms),
        };
        shown["phase"] = json!(word);
        shown["timestamp"] = json!(timestamp);
        if ended {
            shown["status"] = json!(build.result(self.state.now_ms));
            if let Some(scm) = build.script.checkouts.first() {
                shown["scm"] =
                    json!({ "url": scm.remote, "branch": scm.branch, "commit": scm.commit });
            }
            if let Some(tests) = build.script.tests {
                shown["test_summary"] = json!({
                    "total": tests.total, "failed": tests.failed, "skipped": tests.skipped,
                    "passed": tests.total - tests.failed - tests.skipped, "failed_tests": [],
                });
            }
            for path in build.script.artifacts.keys() {
                let archive = format!("{}{job}{number}/artifact/{path}", self.base);
                shown["artifacts"][path] = json!({ "archive": archive });
            }
        }
        json!({ "name": name, "display_name": name, "url": job, "build": shown })
    }
}

fn artifact(path: &str) -> Value {
    let name = path.rsplit('/').next();
    json!({ "fileName": name, "displayPath": name, "relativePath": path })
}

fn definitions(job: &Job) -> Value {
    let list = job.parameters.iter().map(|p| {
        let kind = format!("{}ParameterDefinition", p.kind.class());
        let mut shown = json!({
            "_class": format!("hudson.model.{kind}"), "name": p.name, "type": kind, "description": "",
            "defaultParameterValue": { "name": p.name, "value": p.default },
        });
        if p.kind == ParameterKind::Password {
            shown["defaultParameterValue"] = json!({ "name": p.name });
        }
        if !p.choices.is_empty() {
            shown["choices"] = json!(p.choices);
        }
        shown
    });
    json!({
        "_class": "hudson.model.ParametersDefinitionProperty",
        "parameterDefinitions": list.collect::<Vec<_>>(),
    })
}

/// Actions about what a build checked out and tested.
fn left(build: &Build) -> Vec<Value> {
    let mut actions = Vec::new();
    for scm in &build.script.checkouts {
        let revision =
            json!({ "SHA1": scm.commit, "branch": [{ "SHA1": scm.commit, "name": scm.branch }] });
        let mut by_branch = json!({});
        by_branch[&scm.branch] = json!({
            "_class": "hudson.plugins.git.util.Build", "buildNumber": build.number,
            "buildResult": null, "marked": revision, "revision": revision,
        });
        actions.push(json!({
            "_class": "hudson.plugins.git.util.BuildData", "buildsByBranchName": by_branch,
            "lastBuiltRevision": revision, "remoteUrls": [scm.remote], "scmName": "",
        }));
    }
    if let (Some(tests), Some(_)) = (build.script.tests, build.end_ms) {
        actions.push(json!({
            "_class": "hudson.tasks.junit.TestResultAction", "failCount": tests.failed,
            "skipCount": tests.skipped, "totalCount": tests.total, "urlName": "testReport",
        }));
    }
    actions
}

fn changes(build: &Build) -> Vec<Value> {
    let changes = build.script.checkouts.iter().map(|scm| {
        json!({
            "commitId": scm.commit, "msg": "round half even", "timestamp": build.start_ms - 1000,
            "author": { "fullName": "Ana" },
        })
    });
    changes.collect()
}
