//! Google's keys for identity tokens: fetched when a source asks for them, or read from a file.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use igor_inbound::{Authentication, Delivery, KeySet, Source};
use kork_model::{Kind, Problem, Timestamp};
use tokio::sync::Mutex;

use super::accounts::{Accounts, bounded};

/// Where Google serves them.
const URL: &str = "https://www.googleapis.com/oauth2/v3/certs";
/// Bytes of a key set.
const BYTES_MAX: u64 = 256 * 1024;
/// How long fetched keys are taken for those that count; a token that names another one is looked for sooner.
const FRESH_MS: u64 = 3_600_000;
/// Between two times that they are fetched, whatever tokens come in.
const PAUSE_MS: u64 = 10_000;
const WAIT: Duration = Duration::from_secs(5);

/// The keys as they were last.
pub(crate) struct Google {
    http: reqwest::Client,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The file or the address that they are from.
    place: String,
    keys: Option<Arc<KeySet>>,
    fetched: Option<Timestamp>,
    tried: Option<Timestamp>,
    stamp: Option<(SystemTime, u64)>,
}

impl Google {
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            held: Mutex::default(),
        }
    }

    /// The keys for a delivery, if its source wants a token of Google.
    pub(crate) async fn keys(
        &self,
        accounts: &Accounts,
        delivery: &Delivery<'_>,
        source: Option<&Source>,
    ) -> Result<Option<Arc<KeySet>>, Problem> {
        let wanted = source.map(|source| &source.authentication);
        if !matches!(wanted, Some(Authentication::Google { .. })) {
            return Ok(None);
        }
        let mut held = self.held.lock().await;
        if let Some(path) = &accounts.google_keys_file {
            held.read(path)?;
        } else {
            let url = accounts.google_keys_url.as_deref().unwrap_or(URL);
            self.refresh(&mut held, url, delivery).await?;
        }
        Ok(held.keys.clone())
    }

    /// Fetches them when they are old or lack the one that a token names, and not again and again.
    async fn refresh(
        &self,
        held: &mut Held,
        url: &str,
        delivery: &Delivery<'_>,
    ) -> Result<(), Problem> {
        held.at(url);
        let now = delivery.received;
        let within = |at: Option<Timestamp>, ms| at.is_some_and(|at| now.ms_since(at) < ms);
        let has_key = held
            .keys
            .as_ref()
            .is_some_and(|keys| keys.has_key_of(delivery));
        let is_fresh = has_key && within(held.fetched, FRESH_MS);
        if !is_fresh && !within(held.tried, PAUSE_MS) {
            held.tried = Some(now);
            match self.fetch(url).await {
                Ok(keys) => {
                    held.keys = Some(Arc::new(keys));
                    held.fetched = Some(now);
                }
                Err(problem) if held.keys.is_none() => return Err(problem),
                Err(problem) => {
                    tracing::warn!(error = %problem, "the keys of Google stay as they were");
                }
            }
        }
        if held.keys.is_none() {
            let text = format!("the keys of Google at {url} could not be fetched a moment ago");
            return Err(Problem::new("IGOR-0005", Kind::Unavailable, text).retry_after(5));
        }
        Ok(())
    }

    async fn fetch(&self, url: &str) -> Result<KeySet, Problem> {
        let unreadable = |why: &(dyn std::error::Error + 'static)| unreadable(url, why);
        let call = async {
            let mut answer = self.http.get(url).send().await?.error_for_status()?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() as u64 > BYTES_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(body)
        };
        let body = tokio::time::timeout(WAIT, call).await;
        let body = body.map_err(|late| unreadable(&late))?;
        let body = body.map_err(|error| unreadable(&error))?;
        KeySet::parse(&body).map_err(|error| unreadable(&error))
    }
}

impl Held {
    /// What is from elsewhere does not count.
    fn at(&mut self, place: &str) {
        if self.place != place {
            *self = Self {
                place: place.to_owned(),
                ..Self::default()
            };
        }
    }

    /// Reads the file when it has changed.
    fn read(&mut self, path: &Path) -> Result<(), Problem> {
        let place = path.display().to_string();
        self.at(&place);
        let unreadable = |why: &(dyn std::error::Error + 'static)| unreadable(&place, why);
        let stamp = std::fs::metadata(path).and_then(|m| Ok((m.modified()?, m.len())));
        let stamp = stamp.map_err(|error| unreadable(&error))?;
        if self.stamp != Some(stamp) {
            let text = bounded(path, BYTES_MAX).map_err(|error| unreadable(&error))?;
            let keys = KeySet::parse(text.as_bytes()).map_err(|error| unreadable(&error))?;
            self.keys = Some(Arc::new(keys));
            self.stamp = Some(stamp);
        }
        Ok(())
    }
}

fn unreadable(place: &str, why: &(dyn std::error::Error + 'static)) -> Problem {
    let text = format!("the keys of Google in {place} cannot be read");
    Problem::new("IGOR-0005", Kind::Unavailable, text)
        .because(why)
        .retry_after(5)
}
