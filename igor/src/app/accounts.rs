//! What igor knows of the world: who may send, which servers there are, what is watched. From the
//! configuration, and from a file beside it that is read again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use igor_ci::{Controller, config::Masters};
use igor_inbound::{Secret, Source};
use igor_watch::{git::GitRepository, registry::Registry};
use kork_model::{Kind, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often the file is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);
/// Bytes of the file, and of a file with a secret.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Senders, servers, registries and repositories.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Accounts {
    /// Who may send under which name, and what they must prove.
    pub sources: Vec<Source>,
    /// CI servers.
    pub controllers: Vec<Controller>,
    /// Jenkins controllers in Spinnaker's words: `jenkins.masters`.
    pub jenkins: Masters,
    /// Registries whose repositories are asked for new tags.
    pub registries: Vec<Registry>,
    /// Git repositories that are asked for new commits and tags.
    pub repositories: Vec<GitRepository>,
    /// Where the keys of Google's identity tokens are fetched, for sources that Pub/Sub pushes to;
    /// <https://www.googleapis.com/oauth2/v3/certs> when absent.
    pub google_keys_url: Option<String>,
    /// A file with these keys, where nothing can be fetched.
    pub google_keys_file: Option<PathBuf>,
}

impl Accounts {
    /// The sender under a name.
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// All CI servers, in whatever words they were given.
    pub(crate) fn ci_servers(&self) -> impl Iterator<Item = &Controller> {
        let masters = self.jenkins.masters.iter().filter(|_| self.jenkins.enabled);
        self.controllers.iter().chain(masters)
    }

    /// The CI server of a name.
    pub(crate) fn controller(&self, name: &str) -> Option<&Controller> {
        self.ci_servers().find(|known| known.name == name)
    }

    fn and(&self, more: Self) -> Self {
        let mut all = self.clone();
        all.sources.extend(more.sources);
        all.controllers.extend(more.controllers);
        all.jenkins.masters.extend(more.jenkins.masters);
        all.registries.extend(more.registries);
        all.repositories.extend(more.repositories);
        all.google_keys_url = more.google_keys_url.or(all.google_keys_url);
        all.google_keys_file = more.google_keys_file.or(all.google_keys_file);
        all
    }
}

/// The accounts as they are now.
pub(crate) struct Book {
    fixed: Accounts,
    file: Option<PathBuf>,
    inner: Mutex<Inner>,
}

struct Inner {
    looked: Option<Instant>,
    stamp: Option<(SystemTime, u64)>,
    now: Arc<Accounts>,
    /// Why the file does not count as it is.
    wrong: Option<String>,
}

impl Book {
    pub(crate) fn new(fixed: Accounts, file: Option<PathBuf>) -> Self {
        let now = Arc::new(fixed.clone());
        Self {
            fixed,
            file,
            inner: Mutex::new(Inner {
                looked: None,
                stamp: None,
                now,
                wrong: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts, with what changed in the file up to a moment ago. A file that cannot be read leaves
    /// them as they were.
    pub(crate) fn now(&self) -> Arc<Accounts> {
        let mut inner = self.lock();
        let is_fresh = inner.looked.is_some_and(|at| at.elapsed() < LOOK);
        if let Some(path) = self.file.as_deref().filter(|_| !is_fresh) {
            inner.looked = Some(Instant::now());
            self.look(path, &mut inner);
        }
        Arc::clone(&inner.now)
    }

    /// Why the file does not count as it is.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.now();
        self.lock().wrong.clone()
    }

    fn look(&self, path: &Path, inner: &mut Inner) {
        let stamp = std::fs::metadata(path).and_then(|m| Ok((m.modified()?, m.len())));
        match &stamp {
            Ok(stamp) if inner.stamp == Some(*stamp) => return,
            Ok(stamp) => inner.stamp = Some(*stamp),
            Err(_) => inner.stamp = None,
        }
        match read(path) {
            Ok(more) => {
                inner.now = Arc::new(self.fixed.and(more));
                inner.wrong = None;
                tracing::info!(file = %path.display(), "accounts are read");
            }
            Err(wrong) => {
                if inner.wrong.as_ref() != Some(&wrong) {
                    tracing::error!(file = %path.display(), error = wrong, "accounts stay as they were");
                }
                inner.wrong = Some(wrong);
            }
        }
    }
}

/// The secrets of a source as they are now: of files and variables, one a line, so that they change without a
/// restart. Two at a time are right while one takes the place of the other. A source that names places with
/// secrets, and has none, is not one without secrets: somebody is about to write them.
pub(crate) fn secrets(source: &Source) -> Result<Vec<Secret>, Problem> {
    let problem = |what: String| {
        let text = format!(
            "a secret of the source {} cannot be read: {what}",
            source.name
        );
        Problem::new("IGOR-0005", Kind::Unavailable, text).retry_after(5)
    };
    let mut secrets = Vec::new();
    let mut add = |text: &str| {
        let lines = text.lines().map(str::trim);
        secrets.extend(lines.filter(|line| !line.is_empty()).map(Secret::new));
    };
    for path in &source.secret_files {
        let text = bounded(path, SECRET_BYTES_MAX)
            .map_err(|error| problem(format!("the file {}", path.display())).because(&error))?;
        add(&text);
    }
    for name in &source.secret_env {
        let value = std::env::var(name)
            .map_err(|error| problem(format!("the variable {name}")).because(&error))?;
        add(&value);
    }
    let is_promised = !source.secret_files.is_empty() || !source.secret_env.is_empty();
    if is_promised && secrets.is_empty() {
        return Err(problem(
            "all of its files and variables are empty".to_owned(),
        ));
    }
    Ok(secrets)
}

fn read(path: &Path) -> Result<Accounts, String> {
    let text = bounded(path, FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())
}

pub(crate) fn bounded(path: &Path, most: u64) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > most {
        return Err(std::io::Error::other(format!(
            "it has more than {most} bytes"
        )));
    }
    std::fs::read_to_string(path)
}
