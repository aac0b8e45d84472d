//! What CI servers post of builds that they were told to start. It is kept in the object store, by the order, before
//! the post is answered: whoever follows the build reads it there, now or after taking the order over.

use std::sync::Arc;

use bytes::Bytes;
use igor_ci::{Report, config};
use igor_inbound::{Received, Source};
use kork::ports::{Condition, ObjectStoreError};
use kork_model::{Problem, inbound::Verified};
use serde_json::Value;

use super::{
    Igor,
    accounts::Accounts,
    records::{self, RACES_MAX, REPORTS, away},
};

impl Igor {
    /// Takes in what a delivery says of a build of ours; a sentence on what was done with it, or none when it speaks
    /// of no such build.
    ///
    /// Where the server is asked how its builds are, a post only says that it is time to, and which number a build
    /// has. Where it is not, only what a secret proves is believed.
    pub(crate) async fn reported(
        &self,
        received: &Received,
        accounts: &Accounts,
        source: Option<&Source>,
    ) -> Result<Option<String>, Problem> {
        let Some((source, how)) = source.and_then(|source| Some((source, how(accounts, source)?)))
        else {
            return Ok(None);
        };
        // The body is the payload of what is read from it.
        let body = received.events.first().map(|event| &event.payload);
        let body = Value::Object(body.cloned().unwrap_or_default());
        let Some((key, report)) = Report::posted(&how.1, &body) else {
            return Ok(None);
        };
        let is_proved = received.verified != Verified::No;
        let may_ask = source.allow_unverified && how.1.is_asked();
        if !is_proved && !may_ask {
            let said =
                "ignored, because nothing proves who reports the build: give the source a secret";
            return Ok(Some(said.to_owned()));
        }
        let said = match records::waits(&self.ports, &key).await {
            Err(error) => return Err(away(&error)),
            Ok(false) => {
                format!("ignored, because no stage waits for a build with the key {key:?}")
            }
            Ok(true) => {
                if is_proved {
                    let kept = self.keep_report(&how.0, &key, report).await;
                    kept.map_err(|error| away(&error))?;
                }
                self.followed.wake(&key);
                format!("it reports the build of the order {key}")
            }
        };
        Ok(Some(said))
    }

    /// What a server posted of the build of an order; nothing yet is an empty report.
    pub(crate) async fn report_of(
        &self,
        master: &str,
        key: &str,
    ) -> Result<Report, ObjectStoreError> {
        let found = self.ports.objects.get(&place(master, key)).await?;
        let read = found.map(|object| serde_json::from_slice(&object.body).unwrap_or_default());
        Ok(read.unwrap_or_default())
    }

    async fn keep_report(
        &self,
        master: &str,
        key: &str,
        new: Report,
    ) -> Result<(), ObjectStoreError> {
        let place = place(master, key);
        for _ in 0..RACES_MAX {
            let found = self.ports.objects.get(&place).await?;
            let condition = match &found {
                Some(object) => Condition::IfMatch(object.info.etag.clone()),
                None => Condition::IfAbsent,
            };
            let earlier =
                found.map(|object| serde_json::from_slice(&object.body).unwrap_or_default());
            let report = new.clone().after(earlier.unwrap_or_default());
            let body = Bytes::from(serde_json::to_vec(&report).unwrap_or_default());
            match self.ports.objects.put(&place, body, condition).await {
                Err(ObjectStoreError::ConditionFailed { .. }) => {}
                put => return put.map(drop),
            }
        }
        Err(ObjectStoreError::ConditionFailed { key: place })
    }
}

/// How the server posts whose posts a source tells: its name, and its settings.
fn how(accounts: &Accounts, source: &Source) -> Option<(String, Arc<config::Generic>)> {
    let name = source.controller.as_ref().unwrap_or(&source.name);
    let how = accounts.controller(name)?.generic.clone()?;
    how.report.is_some().then(|| (name.clone(), Arc::new(how)))
}

/// By server as well: a secret of one proves nothing of the builds of another.
fn place(master: &str, key: &str) -> String {
    format!(
        "{REPORTS}{}/{}.json",
        records::plain(master),
        records::plain(key)
    )
}
