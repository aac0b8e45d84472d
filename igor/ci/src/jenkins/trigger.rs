//! Asking for a build, and finding what an unanswered request left.

use serde_json::Value;

use super::{Change, Jenkins, JobInfo, shapes};
use crate::{
    Build, BuildRequest, CiError, JobPath,
    calls::Reply,
    server::{Prepared, Started},
};

/// So many of the newest builds are looked through.
pub(super) const BUILDS_LOOKED_THROUGH: usize = 100;

impl Jenkins {
    pub(super) async fn prepare_request(
        &self,
        request: &BuildRequest,
    ) -> Result<Prepared, CiError> {
        let job = Self::job_path(&request.job)?;
        let info = self.job(&job).await?;
        check(&info, request)?;
        if !info.buildable {
            return Err(CiError::NotBuildable {
                what: self.named(&job.url()),
                said: "the job is disabled, or it is a folder".to_owned(),
            });
        }
        let unique = &self.controller.unique_parameter;
        let is_unique = info.parameters.iter().any(|p| p.name == *unique);
        let mut parameters = request.parameters.clone();
        if is_unique {
            parameters.insert(unique.clone(), request.unique_key.clone());
        }
        Ok(Prepared {
            first_number: info.next_number,
            parameters,
            is_unique,
            has_parameters: !info.parameters.is_empty(),
            at_ms: self.calls.now().millis(),
            branch: None,
        })
    }

    pub(super) async fn trigger(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Started, CiError> {
        let job = Self::job_path(&request.job)?;
        let action = if prepared.has_parameters {
            "buildWithParameters"
        } else {
            "build"
        };
        let path = format!("{}{action}", job.url());
        let reply = self
            .post(&path, &[], &prepared.parameters, Change::Start)
            .await?;
        self.judge(&path, &reply)
    }

    fn judge(&self, path: &str, reply: &Reply) -> Result<Started, CiError> {
        let what = self.named(path);
        let location = reply.header("location").unwrap_or_default();
        match reply.status {
            201 | 303 => match item_of(location) {
                Some(item) => Ok(Started::Queued {
                    item,
                    shared: reply.status == 303,
                }),
                // A proxy may take the header away; what was accepted is still there.
                None => Ok(Started::Accepted),
            },
            302 => Err(CiError::NotBuildable {
                what,
                said: "a queue decision handler of Jenkins vetoed it".to_owned(),
            }),
            // Not even a gateway's word proves that nothing was accepted.
            500.. => Err(CiError::Unanswered {
                said: reply.error(&what).to_string(),
                what,
                source: None,
            }),
            _ => Err(reply.error(&what)),
        }
    }

    /// In the queue first, then among the newest builds: what left the queue in between is found.
    pub(super) async fn find_request(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        let job = Self::job_path(&request.job)?;
        let shared = !prepared.is_unique;
        let tree = "items[id,task[url],actions[parameters[name,value]]]{0,1000}";
        let queue = self.json("queue/", tree).await?;
        let item = shapes::list(&queue, "items")
            .find(|item| is_of(item, &job) && self.is_ours(prepared, item));
        if let Some(item) = item.and_then(|item| shapes::number(item, "id")) {
            return Ok(Some(Started::Queued { item, shared }));
        }
        let builds = self
            .newest_shown(&job, BUILDS_LOOKED_THROUGH, FOUND_TREE)
            .await?;
        let builds = shapes::list(&builds, "builds")
            .filter(|shown| self.is_ours(prepared, shown))
            .filter_map(shapes::build);
        let mut builds = builds.filter(|build| build.number >= prepared.first_number);
        Ok(builds.next().map(|build| Started::Build {
            number: build.number,
            url: build.url,
            shared,
        }))
    }

    /// By the unique parameter where there is one; else by all that were sent. Of some, as of passwords, only
    /// the name is shown.
    fn is_ours(&self, prepared: &Prepared, shown: &Value) -> bool {
        let unique = &self.controller.unique_parameter;
        let listed = shapes::listed(shown);
        let mut told = prepared
            .parameters
            .iter()
            .filter(|(name, _)| !prepared.is_unique || *name == unique);
        told.all(|(name, sent)| match listed.get(name.as_str()) {
            Some(Some(value)) => is_same(sent, value),
            Some(None) => !prepared.is_unique,
            None => false,
        })
    }

    /// The newest builds of a job, newest first.
    pub(crate) async fn newest(
        &self,
        job: &JobPath,
        count: usize,
        tree: &str,
    ) -> Result<Vec<Build>, CiError> {
        let value = self.newest_shown(job, count, tree).await?;
        Ok(shapes::list(&value, "builds")
            .filter_map(shapes::build)
            .collect())
    }

    async fn newest_shown(
        &self,
        job: &JobPath,
        count: usize,
        tree: &str,
    ) -> Result<Value, CiError> {
        let tree = format!("builds[{tree}]{{0,{count}}}");
        self.json(&job.url(), &tree).await
    }
}

/// Jenkins trims texts, changes the ends of their lines, and makes flags and numbers of some.
fn is_same(sent: &str, shown: &Value) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    match shown {
        Value::String(shown) => plain(sent) == plain(shown),
        Value::Bool(shown) => sent.trim().eq_ignore_ascii_case("true") == *shown,
        Value::Number(shown) => sent.trim().parse().is_ok_and(|sent: serde_json::Number| {
            sent == *shown || sent.as_f64() == shown.as_f64()
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => true,
    }
}

/// What finding a build by its parameters needs.
const FOUND_TREE: &str = "number,url,timestamp,queueId,actions[parameters[name,value]]{0,100}";

fn is_of(item: &Value, job: &JobPath) -> bool {
    let url = item.get("task").and_then(|task| shapes::text(task, "url"));
    url.is_some_and(|url| JobPath::of_url(&url).as_ref() == Ok(job))
}

/// `.../queue/item/5120/`
fn item_of(location: &str) -> Option<u64> {
    let (_, rest) = location.split_once("/queue/item/")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Jenkins would drop unknown names without a word, and answer a wrong choice with an error page.
fn check(info: &JobInfo, request: &BuildRequest) -> Result<(), CiError> {
    let known = || {
        let names: Vec<_> = info.parameters.iter().map(|p| p.name.as_str()).collect();
        if names.is_empty() {
            "no parameters".to_owned()
        } else {
            names.join(", ")
        }
    };
    for (name, value) in &request.parameters {
        let Some(definition) = info.parameters.iter().find(|p| p.name == *name) else {
            return Err(CiError::Invalid(format!(
                "the job {} does not declare the parameter {name:?}; it declares {}",
                request.job,
                known()
            )));
        };
        if !definition.choices.is_empty() && !definition.choices.contains(value) {
            return Err(CiError::Invalid(format!(
                "{value:?} is not a choice of the parameter {name:?} of the job {}; there are {}",
                request.job,
                definition.choices.join(", ")
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_item_is_read_from_any_address() {
        for (text, item) in [
            ("https://ci/jenkins/queue/item/5120/", Some(5120)),
            ("/queue/item/7", Some(7)),
            ("https://ci/queue/item/", None),
            ("https://ci/queue/item/99999999999999999999999/", None),
            (".", None),
        ] {
            assert_eq!(item_of(text), item, "{text}");
        }
    }

    #[test]
    fn what_jenkins_makes_of_a_text_is_still_the_same() {
        for (sent, shown, same) in [
            (" a\r\nb ", json!("a\nb"), true),
            ("a", json!("b"), false),
            ("TRUE", json!(true), true),
            ("yes", json!(true), false),
            ("1.50", json!(1.5), true),
            ("2", json!(1.5), false),
            ("x", json!(1), false),
        ] {
            assert_eq!(is_same(sent, &shown), same, "{sent:?} {shown}");
        }
    }

    proptest! {
        #[test]
        fn no_address_breaks_it(text in "(https://ci|/queue/item/|[0-9ü/]){0,8}") {
            item_of(&text);
        }
    }
}
