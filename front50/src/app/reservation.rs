//! Names that only one document may have. A name is held by a record under our own root, made only
//! if absent, so that the object store decides between writers of any process.
//!
//! A record whose document is gone or has another name is taken over, but not while its writer may
//! still be at work. A writer that was overtaken finds out after its write and takes it back.

use bytes::Bytes;
use kork::{model::Problem, ports::Condition};
use serde::{Deserialize, Serialize};

use super::{Front50, WRITE_TRIES_MAX, bucket::WriteError, shelf::Entry};
use crate::domain::{ObjectType, problems, text};

/// How long a record without its document is left alone: its writer may be between the record and
/// the document. Far longer than a write may take.
pub(crate) const IN_FLIGHT_MS: u64 = 10_000;

/// The record of a name.
#[derive(Debug, Serialize, Deserialize)]
struct Reservation {
    /// Id of the document, lower case.
    id: String,
    name: String,
    application: String,
    /// When it was made, by the clock of the writer.
    at: u64,
}

/// A name: of which type, in which application (lower case, empty for projects).
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_field_names,
    reason = "`name` is Spinnaker's word for the text"
)]
pub(crate) struct Name<'a> {
    pub(crate) of: ObjectType,
    pub(crate) application: &'a str,
    pub(crate) name: &'a str,
}

impl Name<'_> {
    fn is_of(&self, entry: &Entry) -> bool {
        entry.application == self.application.to_lowercase()
            && entry.name == self.name.trim().to_lowercase()
    }

    fn taken(&self) -> Problem {
        problems::name_taken(self.of, self.name, self.application)
    }
}

impl Front50 {
    fn name_key(&self, name: &Name<'_>) -> String {
        self.bucket
            .layout
            .name(name.of, name.application, name.name)
    }

    async fn reservation(
        &self,
        key: &str,
    ) -> Result<Option<(Option<Reservation>, String)>, Problem> {
        let found = self.bucket.get(key).await?;
        Ok(found.map(|(body, etag)| (serde_json::from_slice(&body).ok(), etag)))
    }

    /// Id of the document that holds a name, by its record.
    pub(crate) async fn holder(&self, name: &Name<'_>) -> Result<Option<String>, Problem> {
        let record = self.reservation(&self.name_key(name)).await?;
        Ok(record
            .and_then(|(record, _)| record)
            .map(|record| record.id))
    }

    /// Reserves a name for an id; fine when the id holds it already.
    pub(crate) async fn reserve(&self, name: &Name<'_>, id: &str) -> Result<(), Problem> {
        let id = id.to_lowercase();
        // Documents that Spinnaker wrote have no record.
        let application = name.application.to_lowercase();
        if let Some(other) = self.shelf(name.of).named(&application, name.name)
            && other.id != id
            && self.has_name(name, &other.id).await?
        {
            return Err(name.taken());
        }
        let key = self.name_key(name);
        let record = Reservation {
            id: id.clone(),
            name: name.name.to_owned(),
            application: name.application.to_owned(),
            at: self.now_ms(),
        };
        let body = serde_json::to_vec(&record)
            .map(Bytes::from)
            .map_err(|error| problems::store("reserving a name", &error))?;
        for _ in 0..WRITE_TRIES_MAX {
            let condition = match self.reservation(&key).await? {
                None => Condition::IfAbsent,
                Some((Some(held), _)) if held.id == id => return Ok(()),
                Some((Some(held), etag)) => {
                    let is_in_flight = self.now_ms().saturating_sub(held.at) < IN_FLIGHT_MS;
                    if is_in_flight || self.has_name(name, &held.id).await? {
                        return Err(name.taken());
                    }
                    Condition::IfMatch(etag)
                }
                Some((None, etag)) => Condition::IfMatch(etag),
            };
            match self.bucket.put(&key, body.clone(), condition).await {
                Ok(_) => return Ok(()),
                Err(WriteError::Changed) => {}
                Err(WriteError::Refused(problem)) => return Err(problem),
            }
        }
        Err(problems::contended(name.of, &id, WRITE_TRIES_MAX))
    }

    /// True when the record still is the id's: nobody took the name over during a slow write.
    pub(crate) async fn still_holds(&self, name: &Name<'_>, id: &str) -> Result<bool, Problem> {
        Ok(self
            .holder(name)
            .await?
            .is_some_and(|holder| holder == id.to_lowercase()))
    }

    /// Gives a name back if the id holds it. A failure only delays the name's next use.
    pub(crate) async fn release(&self, name: &Name<'_>, id: &str) {
        let key = self.name_key(name);
        let result = match self.reservation(&key).await {
            Ok(Some((Some(held), etag))) if held.id == id.to_lowercase() => {
                self.bucket.remove(&key, Condition::IfMatch(etag)).await
            }
            Ok(_) => Ok(()),
            Err(problem) => Err(WriteError::Refused(problem)),
        };
        if let Err(WriteError::Refused(problem)) = result {
            tracing::warn!(name = name.name, %id, error = %problem, "a name was not given back");
        }
    }

    /// True when the bucket's document with this id has this name.
    async fn has_name(&self, name: &Name<'_>, id: &str) -> Result<bool, Problem> {
        let found = self.bucket.read(name.of, id).await?;
        let Some(document) = found.and_then(|found| found.body.ok()) else {
            return Ok(false);
        };
        Ok(name.is_of(&Entry::new(id, document, String::new(), 0)))
    }

    /// Name and application of a document, as they are spelled in it.
    pub(crate) fn name_of(of: ObjectType, document: &kork::model::Context) -> Name<'_> {
        Name {
            of,
            application: text(document, "application").unwrap_or_default(),
            name: text(document, "name").unwrap_or_default(),
        }
    }
}
