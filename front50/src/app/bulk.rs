//! Many saves and many deletes at once, each of which may fail alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kork::model::{Context, Problem};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Front50, PARALLEL_MAX, SavePipeline, shelf::Entry};
use crate::domain::{ObjectType, limits::BULK_MAX, pipeline, problems, text};

impl Front50 {
    /// Saves many pipelines: `{successful_pipelines_count, successful_pipelines,
    /// failed_pipelines_count, failed_pipelines}`. A repeated call gives the same result.
    ///
    /// # Errors
    /// `TooLarge` past [`BULK_MAX`]; everything else is said per pipeline.
    pub async fn bulk_save(
        self: &Arc<Self>,
        pipelines: Vec<Value>,
        stale_check: bool,
        user: &str,
    ) -> Result<Context, Problem> {
        if pipelines.len() > BULK_MAX {
            let detail = format!(
                "{} pipelines in one call, at most {BULK_MAX}",
                pipelines.len()
            );
            return Err(problems::too_large(format!("{detail} are allowed")));
        }
        let mut failed: BTreeMap<usize, Value> = BTreeMap::new();
        let mut saved: BTreeMap<usize, Value> = BTreeMap::new();
        let mut waiting = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (place, document) in pipelines.into_iter().enumerate() {
            let document = match document {
                Value::Object(document) => document,
                other => {
                    failed.insert(
                        place,
                        json!({"pipeline": other, "errorMsg": "a pipeline must be an object"}),
                    );
                    continue;
                }
            };
            match self.check_in_bulk(&document, place, &mut seen) {
                Ok(()) => waiting.push((place, document)),
                Err(message) => {
                    failed.insert(place, refusal(document, &message));
                }
            }
        }
        for (place, document, result) in self.save_all(waiting, stale_check, user).await {
            match result {
                Ok(stored) => {
                    saved.insert(place, stored.get("name").cloned().unwrap_or_default());
                }
                Err(problem) => {
                    failed.insert(place, refusal(document, &in_bulk(&problem)));
                }
            }
        }
        if !saved.is_empty() {
            self.mark(ObjectType::Pipeline).await;
        }
        Ok(Context::from_iter([
            ("successful_pipelines_count".to_owned(), json!(saved.len())),
            (
                "successful_pipelines".to_owned(),
                saved.into_values().collect(),
            ),
            ("failed_pipelines_count".to_owned(), json!(failed.len())),
            (
                "failed_pipelines".to_owned(),
                failed.into_values().collect(),
            ),
        ]))
    }

    /// Saves documents, some at a time; answers with the place and the submitted document of each.
    async fn save_all(
        self: &Arc<Self>,
        documents: Vec<(usize, Context)>,
        stale_check: bool,
        user: &str,
    ) -> Vec<(usize, Context, Result<Context, Problem>)> {
        let mut running = JoinSet::new();
        let mut waiting = documents.into_iter();
        let mut done = Vec::new();
        loop {
            while running.len() < PARALLEL_MAX
                && let Some((place, document)) = waiting.next()
            {
                let this = Arc::clone(self);
                let save = SavePipeline {
                    of: ObjectType::Pipeline,
                    document,
                    stale_check,
                    user: user.to_owned(),
                    id_in_path: None,
                    work: None,
                };
                running.spawn(async move {
                    let result = this.save_unmarked(&save).await;
                    (place, save.document, result)
                });
            }
            match running.join_next().await {
                None => return done,
                Some(ended) => done.extend(ended),
            }
        }
    }

    /// The first of two that share an id or a name goes on, the second is refused.
    fn check_in_bulk(
        &self,
        document: &Context,
        place: usize,
        seen: &mut HashMap<String, usize>,
    ) -> Result<(), String> {
        let draft = pipeline::submitted(ObjectType::Pipeline, document.clone(), &self.limits)
            .map_err(|problem| {
                let shown = |member| text(document, member).unwrap_or("null").to_owned();
                format!(
                    "Encountered the following error when validating pipeline {} in the application {}: {}",
                    shown("name"),
                    shown("application"),
                    problem.detail
                )
            })?;
        let (application, name) = (&draft.application, &draft.name);
        let key = format!(
            "name {}/{}",
            application.to_lowercase(),
            name.to_lowercase()
        );
        if seen.insert(key, place).is_some() {
            return Err(format!(
                "Duplicate pipeline name {name} in application {application} in this request"
            ));
        }
        if let Some(id) = &draft.id
            && seen
                .insert(format!("id {}", id.to_lowercase()), place)
                .is_some()
        {
            return Err(format!("Duplicate pipeline id {id} in this request"));
        }
        Ok(())
    }

    /// Deletes documents; the first failure is answered when all have ended.
    pub(crate) async fn delete_all(
        self: &Arc<Self>,
        of: ObjectType,
        entries: Vec<Arc<Entry>>,
    ) -> Result<(), Problem> {
        let mut entries = entries.into_iter();
        let mut running = JoinSet::new();
        let mut result = Ok(());
        loop {
            while running.len() < PARALLEL_MAX
                && let Some(entry) = entries.next()
            {
                let this = Arc::clone(self);
                running.spawn(async move { this.delete_named(of, &entry).await });
            }
            match running.join_next().await {
                None => return result,
                Some(Ok(Err(problem))) if result.is_ok() => result = Err(problem),
                Some(_) => {}
            }
        }
    }
}

fn in_bulk(problem: &Problem) -> String {
    // Spinnaker words this one differently in a bulk save.
    if problem.code == "FRONT50-0002" {
        return problem
            .detail
            .replace(" in application ", " in the application ");
    }
    problem.message()
}

fn refusal(document: Context, message: &str) -> Value {
    let (mut document, _) = pipeline::normalised(document);
    document.insert("errorMsg".to_owned(), json!(message));
    Value::Object(document)
}
