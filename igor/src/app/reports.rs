//! What CI servers post of builds that they were told to start. It is kept in the object store, by the order, before
//! the post is answered: whoever follows the build reads it there, now or after taking the order over. Each igor looks
//! into the folder for what others took in, so that whoever follows does not sleep on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use igor_ci::{Controller, Report, config};
use igor_inbound::{Received, Source};
use kork::ports::{Condition, ObjectStore, ObjectStoreError};
use kork_model::{Problem, inbound::Verified};
use serde_json::Value;

use super::{
    Igor,
    accounts::Accounts,
    orders::Followed,
    records::{self, RACES_MAX, REPORTS, away},
};

/// How often it is looked for posts that another igor took in.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The reports that were there at the last look, by key of the object, with their etags.
type Seen = BTreeMap<String, String>;

/// Wakes those who follow a build of which another igor took a post in; until it is dropped.
pub(crate) async fn watch(igor: Arc<Igor>) {
    let mut seen = Seen::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let accounts = igor.accounts.now();
        let posts = accounts.ci_servers().any(Controller::posts);
        if !posts || igor.followed.is_empty() {
            continue;
        }
        match look(&*igor.ports.objects, &igor.followed, &seen).await {
            Ok(now) => seen = now,
            Err(error) => {
                tracing::debug!(%error, "posts of others are seen later");
                seen = Seen::new();
            }
        }
    }
}

/// One look; what is there now.
async fn look(
    objects: &dyn ObjectStore,
    followed: &Followed,
    seen: &Seen,
) -> Result<Seen, ObjectStoreError> {
    let listed = objects.list(REPORTS).await?.into_iter();
    let now: Seen = listed.map(|report| (report.key, report.etag)).collect();
    let news = now
        .iter()
        .filter(|(key, etag)| seen.get(*key) != Some(*etag));
    let names = news.filter_map(|(key, _)| key.rsplit('/').next()?.strip_suffix(".json"));
    let names: BTreeSet<&str> = names.collect();
    if !names.is_empty() {
        followed.wake_where(|key| names.contains(&*records::plain(key)));
    }
    Ok(now)
}

impl Igor {
    /// What was posted of the build of an order that is done is not read again.
    pub(crate) async fn forget_report(&self, master: &str, key: &str) {
        if !self
            .accounts
            .now()
            .controller(master)
            .is_some_and(Controller::posts)
        {
            return;
        }
        let place = place(master, key);
        if let Err(error) = self.ports.objects.erase(&place).await {
            // It goes with what is old.
            tracing::debug!(%error, key, "what was posted of a build stays");
        }
    }

    /// Takes in what a delivery says of a build of ours; a sentence on what was done with it, or none when it speaks
    /// of no such build.
    ///
    /// Where the server is asked how its builds are, a post only says that it is time to, and which number a build
    /// has. Where it is not, only what a secret proves is believed.
    pub(crate) async fn reported(
        &self,
        received: &Received,
        accounts: &Accounts,
        source: &str,
    ) -> Result<Option<String>, Problem> {
        let source = accounts.source(source);
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
    let controller = accounts.controller(name).filter(|known| known.posts())?;
    Some((name.clone(), Arc::new(controller.generic.clone()?)))
}

/// By server as well: a secret of one proves nothing of the builds of another.
fn place(master: &str, key: &str) -> String {
    format!(
        "{REPORTS}{}/{}.json",
        records::plain(master),
        records::plain(key)
    )
}

#[cfg(test)]
mod tests {
    use kork::embedded::{Embedded, SeededIds, TokioClock};
    use kork_model::{Timestamp, WorkKey};
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_follows_is_woken_by_what_another_igor_took_in() {
        let clock = TokioClock::shared(Timestamp(1));
        let ids = Arc::new(SeededIds::new(5, clock.clone()));
        let objects = Embedded::in_memory(clock, ids).ports().objects;
        let put = async |key: &str, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            objects
                .put(&place("builder", key), body, Condition::Always)
                .await
                .unwrap();
        };
        let followed = Followed::default();
        let keys = ["e/s/1", "e/s/2"].map(|key| WorkKey(key.to_owned()));
        let [one, two] = keys
            .each_ref()
            .map(|key| followed.begin(key, CancellationToken::new()));
        let woken = async |following: &super::super::orders::Following<'_>| {
            tokio::time::timeout(Duration::from_millis(1), following.news())
                .await
                .is_ok()
        };
        put("e/s/1", "{}").await;
        put("e/s/9", "{}").await;
        let seen = look(&*objects, &followed, &Seen::new()).await.unwrap();
        assert!(woken(&one).await && !woken(&two).await);
        let seen = look(&*objects, &followed, &seen).await.unwrap();
        assert!(!woken(&one).await, "there is nothing new");
        put("e/s/1", "{\"number\": 41}").await;
        put("e/s/2", "{}").await;
        look(&*objects, &followed, &seen).await.unwrap();
        assert!(woken(&one).await && woken(&two).await);
    }
}
