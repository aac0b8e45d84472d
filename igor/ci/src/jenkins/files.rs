//! What a build leaves: its log, its artifacts, its property file.

use std::sync::atomic::Ordering;

use kork_model::Context;

use super::{Jenkins, shapes};
use crate::{
    Build, BuildArtifact, CiError, JobPath, PropertiesError,
    calls::{Bound, Reply},
    path::encoded,
    properties,
    server::{LogPage, LogStart},
};

/// Largest page of a log.
const LOG_PAGE_BYTES_MAX: usize = 1024 * 1024;
/// How a release that does not know them answers a negative start of a page.
const NO_TAIL: &[u16] = &[400, 500];
/// Largest property file.
const PROPERTY_FILE_BYTES_MAX: usize = 1024 * 1024;

impl Jenkins {
    /// A page of the log of a build.
    ///
    /// Where a page is cut at its limit of 1 MiB the next one begins after what was read; annotations
    /// that Jenkins strips are not counted then, so that some text may come twice, but none is lost.
    pub async fn console(
        &self,
        job: &JobPath,
        number: u64,
        start: LogStart,
    ) -> Result<LogPage, CiError> {
        let path = format!("{}{number}/logText/progressiveText", job.url());
        let page = async |start: String, most: usize, expected: &'static [u16]| {
            let start = [("start", start.as_str())];
            self.bytes(&path, &start, Bound::Cut(most), expected).await
        };
        let from = match start {
            LogStart::At(from) => from,
            LogStart::Tail(bytes) => {
                if self.knows_tails.load(Ordering::Relaxed) {
                    let tail = page(format!("-{bytes}"), LOG_PAGE_BYTES_MAX, NO_TAIL).await?;
                    if !NO_TAIL.contains(&tail.status) {
                        return Ok(log_page(0, &tail));
                    }
                }
                // An older release: it knows no negative start.
                let begin = page("0".to_owned(), 1, &[]).await?;
                self.knows_tails.store(false, Ordering::Relaxed);
                text_size(&begin).unwrap_or(0).saturating_sub(bytes)
            }
        };
        let reply = page(from.to_string(), LOG_PAGE_BYTES_MAX, &[]).await?;
        Ok(log_page(from, &reply))
    }

    /// An archived file of at most `bytes_max`. `path` is the relative path of the artifact.
    pub async fn artifact(
        &self,
        job: &JobPath,
        number: u64,
        path: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, CiError> {
        let names: Vec<String> = path.split('/').map(encoded).collect();
        if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err(CiError::Invalid(format!(
                "{path:?} is not the path of an artifact"
            )));
        }
        let path = format!("{}{number}/artifact/{}", job.url(), names.join("/"));
        Ok(self
            .bytes(&path, &[], Bound::Refuse(bytes_max), &[])
            .await?
            .body)
    }

    /// The values of a property file of a build whose artifacts are known.
    pub async fn property_file(
        &self,
        job: &JobPath,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let all;
        let archived = if build.has_more_artifacts {
            all = self.all_artifacts(job, build.number).await?;
            &all
        } else {
            &build.artifacts
        };
        let path = &properties::find(archived, file)?.relative_path;
        let bytes = self
            .artifact(job, build.number, path, PROPERTY_FILE_BYTES_MAX)
            .await?;
        Ok(properties::parse(path, &bytes, archived)?)
    }

    async fn all_artifacts(
        &self,
        job: &JobPath,
        number: u64,
    ) -> Result<Vec<BuildArtifact>, CiError> {
        let path = format!("{}{number}/", job.url());
        let value = self.json(&path, shapes::ARTIFACTS_TREE).await?;
        Ok(shapes::artifacts(&value).collect())
    }
}

fn log_page(from: u64, reply: &Reply) -> LogPage {
    let read = from.saturating_add(reply.body.len() as u64);
    let size = text_size(reply);
    LogPage {
        text: String::from_utf8_lossy(&reply.body).into_owned(),
        next: if reply.cut {
            read
        } else {
            size.unwrap_or(read)
        },
        more: reply.cut || reply.header("x-more-data") == Some("true"),
    }
}

/// Where a log ends by now.
fn text_size(reply: &Reply) -> Option<u64> {
    reply.header("x-text-size")?.parse().ok()
}
