//! Asking for a build, and finding what an unanswered request left.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Jenkins, JobInfo, shapes};
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
        let reply = self.post(&path, &[], &prepared.parameters, true).await?;
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
        let ours = |parameters: &BTreeMap<String, String>| self.is_ours(prepared, parameters);
        let shared = !prepared.is_unique;
        let tree = "items[id,task[url],actions[parameters[name,value]]]{0,1000}";
        let queue = self.json("queue/", tree).await?;
        let item = shapes::list(&queue, "items")
            .find(|item| is_of(item, &job) && ours(&shapes::parameters(item)));
        if let Some(item) = item.and_then(|item| shapes::number(item, "id")) {
            return Ok(Some(Started::Queued { item, shared }));
        }
        let builds = self.newest(&job, BUILDS_LOOKED_THROUGH, FOUND_TREE).await?;
        let build = builds
            .into_iter()
            .find(|build| build.number >= prepared.first_number && ours(&build.parameters));
        Ok(build.map(|build| Started::Build {
            number: build.number,
            url: build.url,
            shared,
        }))
    }

    /// By the unique parameter where there is one; else by all that were sent.
    fn is_ours(&self, prepared: &Prepared, parameters: &BTreeMap<String, String>) -> bool {
        if prepared.is_unique {
            let unique = &self.controller.unique_parameter;
            return parameters.get(unique) == prepared.parameters.get(unique);
        }
        prepared
            .parameters
            .iter()
            .all(|(name, value)| parameters.get(name) == Some(value))
    }

    /// The newest builds of a job, newest first.
    pub(crate) async fn newest(
        &self,
        job: &JobPath,
        count: usize,
        tree: &str,
    ) -> Result<Vec<Build>, CiError> {
        let value = self
            .json(&job.url(), &format!("builds[{tree}]{{0,{count}}}"))
            .await?;
        Ok(shapes::list(&value, "builds")
            .filter_map(shapes::build)
            .collect())
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

    proptest! {
        #[test]
        fn no_address_breaks_it(text in "(https://ci|/queue/item/|[0-9ü/]){0,8}") {
            item_of(&text);
        }
    }
}
