//! Triggers that pipelines have from their templates.
//!
//! They are filed as those of the pipelines, filled in with their variables, and filed anew when the template changes:
//! an event never waits for a template to be read.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kork::rpc;
use kork_model::{Context, Kind, Problem, api::front50::GetObject, templated};
use serde_json::Value;

use super::Shell;

/// The type of templates in front50, and in what it tells.
pub(crate) const TYPE: &str = "pipelineTemplate";
/// Members that an event is matched with.
const MEMBERS: [&str; 2] = ["triggers", "expectedArtifacts"];

/// Which pipelines are made from which template.
#[derive(Default)]
pub(crate) struct Templates {
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Uses {
    by_pipeline: HashMap<String, String>,
    by_template: BTreeMap<String, BTreeSet<String>>,
}

/// Templates that were read for several pipelines, without their stages; none is one that is not there.
pub(crate) type Read = HashMap<String, Option<Context>>;

impl Templates {
    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All pipelines are read again.
    pub(crate) fn forget_all(&self) {
        *self.uses() = Uses::default();
    }

    /// The pipelines that are made from this template.
    pub(crate) fn users(&self, template: &str) -> Vec<String> {
        let uses = self.uses();
        let users = uses.by_template.get(template).into_iter().flatten();
        users.cloned().collect()
    }

    /// The pipeline is made from this template now, or from none.
    pub(crate) fn note(&self, pipeline: &str, template: Option<&str>) {
        let mut uses = self.uses();
        if let Some(before) = uses.by_pipeline.remove(pipeline)
            && let Some(users) = uses.by_template.get_mut(&before)
        {
            users.remove(pipeline);
            if users.is_empty() {
                uses.by_template.remove(&before);
            }
        }
        if let Some(template) = template {
            let template = template.to_owned();
            let users = uses.by_template.entry(template.clone()).or_default();
            users.insert(pipeline.to_owned());
            uses.by_pipeline.insert(pipeline.to_owned(), template);
        }
    }
}

impl Shell {
    /// The pipeline with the triggers that it has from its template as well. One whose template is not there, or has
    /// variables without values, has its own: its start says what is wrong.
    pub(crate) async fn with_template_triggers<'a>(
        &self,
        pipeline: &'a Context,
        read: &mut Read,
    ) -> Result<Cow<'a, Context>, Problem> {
        let template = templated::stored_id(pipeline).filter(|_| is_templated(pipeline));
        if let Some(id) = pipeline.get("id").and_then(Value::as_str) {
            self.templates.note(id, template);
        }
        let Some(name) = template else {
            return Ok(Cow::Borrowed(pipeline));
        };
        if !read.contains_key(name) {
            let template = self.template(name).await?;
            read.insert(name.to_owned(), template);
        }
        let template = read.get(name).and_then(Option::as_ref);
        let filled = template.map(|template| templated::pipeline(template, pipeline));
        let mut filled = match filled {
            Some(Ok(filled)) => filled,
            Some(Err(missing)) => {
                let missing = missing.join(", ");
                tracing::warn!(
                    template = name,
                    missing,
                    "a template's triggers are left out"
                );
                return Ok(Cow::Borrowed(pipeline));
            }
            None => return Ok(Cow::Borrowed(pipeline)),
        };
        let mut pipeline = pipeline.clone();
        for member in MEMBERS {
            if let Some(all) = filled.remove(member) {
                pipeline.insert(member.to_owned(), all);
            }
        }
        Ok(Cow::Owned(pipeline))
    }

    /// A template without its stages; none when it is not there or cannot be read: that keeps no other pipeline from
    /// starting.
    pub(crate) async fn template(&self, id: &str) -> Result<Option<Context>, Problem> {
        let mut template = match self.whole_template(id).await {
            Ok(template) => template,
            Err(problem) if problem.kind.is_passing() => return Err(problem),
            Err(problem) => {
                if problem.kind != Kind::NotFound {
                    tracing::error!(template = id, error = %problem, "its triggers are left out");
                }
                return Ok(None);
            }
        };
        if let Some(Value::Object(pipeline)) = template.get_mut("pipeline") {
            pipeline.remove("stages");
        }
        Ok(Some(template))
    }

    /// A template as front50 has it.
    pub(crate) async fn whole_template(&self, id: &str) -> Result<Context, Problem> {
        let get = GetObject {
            object_type: TYPE.to_owned(),
            id: id.to_owned(),
        };
        rpc::call(&*self.ports.rpc, &get).await
    }
}

/// The pipeline is made from a template.
pub(crate) fn is_templated(pipeline: &Context) -> bool {
    pipeline.get("type").and_then(Value::as_str) == Some("templatedPipeline")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_made_from_one_template_at_a_time() {
        let templates = Templates::default();
        templates.note("a", Some("t"));
        templates.note("b", Some("t"));
        assert_eq!(templates.users("t"), ["a", "b"]);
        templates.note("a", Some("u"));
        templates.note("b", None);
        assert!(templates.users("t").is_empty());
        assert_eq!(templates.users("u"), ["a"]);
        templates.note("a", None);
        let uses = templates.uses();
        assert!(uses.by_pipeline.is_empty() && uses.by_template.is_empty());
    }
}
