//! What a build leaves: its log, its artifacts, its property file.

use kork_model::Context;

use super::Jenkins;
use crate::{
    Build, CiError, JobPath, PropertiesError,
    calls::{Bound, Reply},
    path::encoded,
    properties,
    server::{LogPage, LogStart},
};

/// Largest page of a log.
const LOG_PAGE_BYTES_MAX: usize = 1024 * 1024;
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
        let page = async |start: String| {
            self.bytes(&path, &[("start", &start)], Bound::Cut(LOG_PAGE_BYTES_MAX))
                .await
        };
        match start {
            LogStart::At(from) => Ok(log_page(from, &page(from.to_string()).await?)),
            LogStart::Tail(bytes) => match page(format!("-{bytes}")).await {
                Ok(reply) => Ok(log_page(0, &reply)),
                // Older releases know no negative start.
                Err(CiError::Unavailable { .. } | CiError::Rejected { .. }) => {
                    Ok(log_page(0, &page("0".to_owned()).await?))
                }
                Err(error) => Err(error),
            },
        }
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
        Ok(self.bytes(&path, &[], Bound::Refuse(bytes_max)).await?.body)
    }

    /// The values of a property file of a build whose artifacts are known.
    pub async fn property_file(
        &self,
        job: &JobPath,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let found = properties::find(&build.artifacts, file)?;
        let path = &found.relative_path;
        let bytes = self
            .artifact(job, build.number, path, PROPERTY_FILE_BYTES_MAX)
            .await?;
        Ok(properties::parse(path, &bytes, &build.artifacts)?)
    }
}

fn log_page(from: u64, reply: &Reply) -> LogPage {
    let read = from.saturating_add(reply.body.len() as u64);
    let size = reply
        .header("x-text-size")
        .and_then(|size| size.parse().ok());
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
