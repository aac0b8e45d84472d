//! Pipelines and strategies: save, read, delete, reorder.

use std::{collections::BTreeMap, sync::Arc};

use kork::model::{Context, Problem};
use serde_json::json;

use super::{
    Front50, WRITE_TRIES_MAX,
    bucket::{Found, WriteError},
    changes::Change,
    reservation::Name,
    shelf::Entry,
};
use crate::domain::{
    ObjectType, author, limits, next_update_ts,
    pipeline::{self, Draft},
    problems, text,
};

/// A save, as the bus or an order asks for it.
#[derive(Debug, Clone)]
pub struct SavePipeline {
    /// `Pipeline` or `Strategy`.
    pub of: ObjectType,
    pub document: Context,
    /// Refuse when the stored `updateTs` is not the submitted one.
    pub stale_check: bool,
    pub user: String,
    /// The document must exist and be this one.
    pub id_in_path: Option<String>,
    /// Key of the piece of work: a repeated save then gives the same ids and writes once.
    pub work: Option<String>,
}

/// Why one try of a save ended.
enum Attempt {
    /// Somebody else wrote first.
    Again,
    Refused(Problem),
}

impl From<Problem> for Attempt {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl Front50 {
    /// Creates or updates a pipeline or a strategy; answers with what is stored.
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`, `NotFound` (an id in the path), `Conflict` (stale), `Unavailable`.
    pub async fn save_pipeline(&self, save: &SavePipeline) -> Result<Context, Problem> {
        let saved = self.save_unmarked(save).await?;
        self.mark(save.of).await;
        Ok(saved)
    }

    /// A save that leaves the group's marker to the caller.
    pub(crate) async fn save_unmarked(&self, save: &SavePipeline) -> Result<Context, Problem> {
        let draft = pipeline::submitted(save.of, save.document.clone(), &self.limits)?;
        self.check_template(&draft.document).await?;
        let id = match (&save.id_in_path, &draft.id) {
            (Some(path), Some(body)) if !path.eq_ignore_ascii_case(body) => {
                let word = save.of.word();
                let detail =
                    format!("The provided id {body} doesn't match the existing {word} id {path}");
                return Err(problems::invalid_field("/id", detail));
            }
            (Some(path), _) => path.clone(),
            (None, Some(body)) => body.clone(),
            (None, None) => self.new_ids(save.work.as_deref()).uuid(),
        };
        let _turn = self.lock(save.of, &id).await;
        for _ in 0..WRITE_TRIES_MAX {
            match self.save_once(save, &draft, &id).await {
                Ok(entry) => return Ok(entry.body.clone()),
                Err(Attempt::Again) => {}
                Err(Attempt::Refused(problem)) => return Err(problem),
            }
        }
        Err(problems::contended(save.of, &id, WRITE_TRIES_MAX))
    }

    async fn save_once(
        &self,
        save: &SavePipeline,
        draft: &Draft,
        id: &str,
    ) -> Result<Arc<Entry>, Attempt> {
        let of = save.of;
        let found = self.bucket.read(of, id).await?;
        let stored = found.as_ref().and_then(Found::document);
        if save.id_in_path.is_some() && found.is_none() {
            let detail = format!("there is no {} with the id {id}", of.word());
            return Err(problems::not_found(detail).into());
        }
        if save.work.is_some()
            && draft.id.is_none()
            && save.id_in_path.is_none()
            && let (Some(found), Some(stored)) = (&found, stored)
        {
            // Only this very piece of work has this id: it was done before.
            return Ok(Arc::new(Entry::new(
                id,
                stored.clone(),
                found.etag.clone(),
                found.size,
            )));
        }
        let mut ids = self.new_ids(save.work.as_deref());
        let now = self.now_ms();
        let document = pipeline::complete(draft, stored, id, &save.user, now, &mut || ids.uuid());
        if let Some(stored) = stored
            && save.stale_check
            && pipeline::is_stale(draft, stored, &document)
        {
            return Err(problems::stale(of, id, &draft.document, stored).into());
        }
        let name = Self::name_of(of, &document);
        let before = stored.map(|stored| Self::name_of(of, stored));
        let is_named_anew = before.is_none_or(|before| !is_same(&before, &name));
        if is_named_anew {
            self.check_room(&name, before.as_ref())?;
            self.reserve(&name, id).await?;
        }
        let condition = Self::unchanged(found.as_ref());
        // A name that was reserved for nothing is free again a moment later: see `reservation`.
        let entry = match self.write(of, id, document.clone(), condition).await {
            Ok(entry) => entry,
            Err(WriteError::Changed) => return Err(Attempt::Again),
            Err(WriteError::Refused(problem)) => return Err(Attempt::Refused(problem)),
        };
        if is_named_anew && !self.still_holds(&name, id).await? {
            self.take_back(of, id, &entry, stored).await?;
            return Err(problems::name_taken(of, name.name, name.application).into());
        }
        let change = if found.is_some() {
            Change::Updated
        } else {
            Change::Created
        };
        self.publish(of, id, change, &entry.body, None).await;
        if let Some(before) = before.filter(|before| !is_same(before, &name)) {
            self.release(&before, id).await;
        }
        Ok(entry)
    }

    /// Undoes a write whose name went to somebody else meanwhile, unless it was replaced already.
    pub(crate) async fn take_back(
        &self,
        of: ObjectType,
        id: &str,
        entry: &Entry,
        before: Option<&Context>,
    ) -> Result<(), Problem> {
        let condition = kork::ports::Condition::IfMatch(entry.etag.clone());
        let result = if let Some(before) = before {
            self.write(of, id, before.clone(), condition)
                .await
                .map(|_| ())
        } else {
            let result = self.bucket.delete(of, id, entry.etag.clone()).await;
            self.shelf(of).remove(id);
            result
        };
        match result {
            Ok(()) | Err(WriteError::Changed) => Ok(()),
            Err(WriteError::Refused(problem)) => Err(problem),
        }
    }

    fn check_room(&self, name: &Name<'_>, before: Option<&Name<'_>>) -> Result<(), Problem> {
        let stays =
            before.is_some_and(|before| before.application.eq_ignore_ascii_case(name.application));
        let max = self.limits.pipelines_per_application_max;
        if stays || self.shelf(name.of).count(&name.application.to_lowercase()) < max {
            return Ok(());
        }
        let (word, application) = (name.of.word(), name.application);
        let detail =
            format!("the application {application} has {max} documents of type {word} already");
        Err(problems::too_large(format!("{detail}, that is the most")))
    }

    async fn check_template(&self, document: &Context) -> Result<(), Problem> {
        let Some(template) = pipeline::needed_template(document) else {
            return Ok(());
        };
        match self.current(ObjectType::PipelineTemplate, template).await? {
            Some(_) => Ok(()),
            None => Err(problems::invalid_field(
                "/template/reference",
                format!("there is no pipeline template {template}; create it first"),
            )),
        }
    }

    /// One document by id, any case.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the stored bytes cannot be read.
    pub async fn pipeline(&self, of: ObjectType, id: &str) -> Result<Context, Problem> {
        let entry = self.current(of, id).await?;
        let entry = entry.ok_or_else(|| {
            problems::not_found(format!("there is no {} with the id {id}", of.word()))
        })?;
        Ok(entry.body.clone())
    }

    /// The document of an application with exactly this name; `index` is its place in the list.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn pipeline_by_name(
        &self,
        of: ObjectType,
        application: &str,
        name: &str,
    ) -> Result<Context, Problem> {
        let entry = self.find_named(of, application, name).await?;
        let entry = entry.filter(|entry| text(&entry.body, "name") == Some(name));
        let Some(entry) = entry else {
            let word = of.word();
            let detail = format!("there is no {word} {name} in the application {application}");
            return Err(problems::not_found(detail));
        };
        let mut document = entry.body.clone();
        if of == ObjectType::Pipeline {
            let earlier = |other: &Entry| {
                other.application == entry.application
                    && other.id != entry.id
                    && pipeline::order(&other.body, &entry.body).is_lt()
            };
            document.insert(
                "index".to_owned(),
                json!(self.shelf(of).filter(earlier).len()),
            );
        }
        Ok(document)
    }

    /// The document that has a name, any case: by memory, then by the record of the name.
    async fn find_named(
        &self,
        of: ObjectType,
        application: &str,
        name: &str,
    ) -> Result<Option<Arc<Entry>>, Problem> {
        let lower = application.to_lowercase();
        let is_it = |entry: &Arc<Entry>| {
            entry.application == lower && entry.name == name.trim().to_lowercase()
        };
        if let Some(known) = self.shelf(of).named(&lower, name)
            && let Some(entry) = self.current(of, &known.id).await?.filter(is_it)
        {
            return Ok(Some(entry));
        }
        if crate::domain::names::application("", application).is_some() {
            return Ok(None);
        }
        let name = Name {
            of,
            application,
            name,
        };
        // While the bucket is away, memory is all there is.
        let Ok(Some(id)) = self.holder(&name).await else {
            return Ok(None);
        };
        Ok(self.current(of, &id).await?.filter(is_it))
    }

    /// Documents of one application, or of all, in the order and shape of lists.
    ///
    /// # Errors
    /// `TooLarge` when they do not fit into one answer.
    pub fn pipelines(
        &self,
        of: ObjectType,
        application: Option<&str>,
        name_filter: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Vec<Context>, Problem> {
        let wanted = application.map(str::to_lowercase);
        let entries = self.shelf(of).filter(|entry| {
            wanted
                .as_ref()
                .is_none_or(|application| entry.application == *application)
        });
        let bodies: Vec<&Context> = entries.iter().map(|entry| &entry.body).collect();
        let renumber = of == ObjectType::Pipeline && application.is_some();
        let mut shown = pipeline::shown(bodies, name_filter, limit, renumber);
        if application.is_none() {
            shown.sort_by_cached_key(|document| {
                text(document, "application")
                    .unwrap_or_default()
                    .to_lowercase()
            });
        }
        if entries.iter().map(|entry| entry.size).sum::<usize>() > limits::ANSWER_BYTES_MAX {
            fits(of, &shown)?;
        }
        Ok(shown)
    }

    /// What triggers need to know of the next pipelines behind an id.
    pub fn triggers_after(&self, after: &str) -> Vec<Context> {
        let shelf = self.shelf(ObjectType::Pipeline);
        let entries = shelf.after(after, limits::TRIGGERS_PAGE);
        let mut bytes = 0;
        let fits = entries.iter().take_while(|entry| {
            let is_first = bytes == 0;
            bytes += entry.size;
            is_first || bytes <= limits::ANSWER_BYTES_MAX
        });
        fits.map(|entry| pipeline::triggers_of(&entry.body))
            .collect()
    }

    /// Removes a document by its application and name, any case.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_pipeline(
        &self,
        of: ObjectType,
        application: &str,
        name: &str,
    ) -> Result<Context, Problem> {
        let found = self.find_named(of, application, name).await?;
        let gone = match found {
            None => None,
            Some(entry) => self.delete_named(of, &entry).await?,
        };
        gone.ok_or_else(|| {
            let word = if of == ObjectType::Strategy {
                "pipeline strategy"
            } else {
                of.word()
            };
            problems::not_found(format!(
                "No {word} found with name '{name}' in application '{application}'"
            ))
        })
    }

    /// Removes a document while it still has the name that it is known by, and gives the name back.
    pub(crate) async fn delete_named(
        &self,
        of: ObjectType,
        entry: &Entry,
    ) -> Result<Option<Context>, Problem> {
        let is_it = |now: &Entry| now.application == entry.application && now.name == entry.name;
        let gone = self.discard(of, &entry.id, is_it).await?;
        if let Some(gone) = &gone {
            self.release(&Self::name_of(of, &gone.body), &entry.id)
                .await;
        }
        Ok(gone.map(|gone| gone.body))
    }

    /// Sets `index` of documents of an application. All ids are checked before any is written.
    ///
    /// # Errors
    /// `NotFound` for an id that the application does not have.
    pub async fn reorder(
        &self,
        of: ObjectType,
        application: &str,
        indices: &BTreeMap<String, i64>,
        user: &str,
    ) -> Result<(), Problem> {
        let missing = |id: &str| {
            let word = of.word();
            let detail =
                format!("there is no {word} with the id {id} in the application {application}");
            problems::not_found(detail)
        };
        let is_here = |document: &Context| {
            text(document, "application").is_some_and(|it| it.eq_ignore_ascii_case(application))
        };
        for id in indices.keys() {
            let entry = self.current(of, id).await?;
            entry
                .filter(|entry| is_here(&entry.body))
                .ok_or_else(|| missing(id))?;
        }
        for (id, index) in indices {
            self.replace(of, id, |stored| {
                let stored = stored
                    .filter(|stored| is_here(stored))
                    .ok_or_else(|| missing(id))?;
                if stored.get("index") == Some(&json!(index)) {
                    return Ok(None);
                }
                let mut document = stored.clone();
                let at = next_update_ts(Some(stored), self.now_ms());
                document.insert("index".to_owned(), json!(index));
                document.insert("updateTs".to_owned(), json!(at.to_string()));
                document.insert("lastModifiedBy".to_owned(), json!(author(user)));
                Ok(Some(document))
            })
            .await?;
        }
        Ok(())
    }
}

fn is_same(one: &Name<'_>, other: &Name<'_>) -> bool {
    one.application.to_lowercase() == other.application.to_lowercase()
        && one.name.to_lowercase() == other.name.to_lowercase()
}

/// Refuses a list that is too large for one message.
pub(crate) fn fits(of: ObjectType, documents: &[Context]) -> Result<(), Problem> {
    let bytes = serde_json::to_vec(documents).map_or(usize::MAX, |bytes| bytes.len());
    if bytes <= limits::ANSWER_BYTES_MAX {
        return Ok(());
    }
    let what = format!("{} documents of type {}", documents.len(), of.word());
    Err(problems::answer_too_large(
        &what,
        bytes,
        "ask with a limit, or page by page",
    ))
}
