//! Reading of all types alike: templates, service accounts, tags, plug-ins, and pages of any type.

use kork::model::{Context, Problem};
use serde_json::{Value, json};

use super::Front50;
use crate::domain::{ObjectType, limits::ANSWER_BYTES_MAX, problems};

/// Most documents of one page.
const PAGE_MAX: usize = 500;

impl Front50 {
    /// A page of documents by id: `{objects, next}`; `next` is the `after` of the next page, absent
    /// at the end. As many as fit into one message.
    ///
    /// # Errors
    /// `Invalid` for an unknown type.
    pub fn page(&self, word: &str, after: Option<&str>) -> Result<Context, Problem> {
        let of = known(word)?;
        let entries = self
            .shelf(of)
            .after(after.unwrap_or_default(), PAGE_MAX + 1);
        let (mut objects, mut bytes, mut next) = (Vec::new(), 0, None);
        let mut last = String::new();
        for entry in entries {
            bytes += entry.size + 1;
            // A document is never larger than an answer, but a foreign one may be.
            if objects.len() == PAGE_MAX || (bytes > ANSWER_BYTES_MAX && !objects.is_empty()) {
                next = Some(last);
                break;
            }
            last.clone_from(&entry.id);
            objects.push(Value::Object(entry.body.clone()));
        }
        let mut page = Context::from_iter([("objects".to_owned(), Value::Array(objects))]);
        if let Some(next) = next {
            page.insert("next".to_owned(), json!(next));
        }
        Ok(page)
    }

    /// One document of any type by id, any case.
    ///
    /// # Errors
    /// `Invalid` for an unknown type, `NotFound`, `Conflict` when the stored bytes cannot be read.
    pub async fn object(&self, word: &str, id: &str) -> Result<Context, Problem> {
        let of = known(word)?;
        let entry = self.current(of, id).await?;
        let entry = entry
            .ok_or_else(|| problems::not_found(format!("there is no {word} with the id {id}")))?;
        Ok(entry.body.clone())
    }

    /// Keys of objects that cannot be read, with the reasons.
    pub fn broken(&self) -> Vec<(String, String)> {
        let of_type = |of: ObjectType| {
            let broken = self.shelf(of).broken();
            broken
                .into_iter()
                .map(move |(id, reason)| (self.bucket.layout.object(of, &id), reason))
        };
        ObjectType::ALL.into_iter().flat_map(of_type).collect()
    }
}

fn known(word: &str) -> Result<ObjectType, Problem> {
    ObjectType::from_word(word).ok_or_else(|| {
        let words: Vec<&str> = ObjectType::ALL.into_iter().map(ObjectType::word).collect();
        let detail = format!(
            "there is no object type {word:?}; use one of {}",
            words.join(", ")
        );
        problems::invalid_field("/objectType", detail)
    })
}
