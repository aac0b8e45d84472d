//! Looks at projects of GitLab and repositories of GitHub: their builds have numbers of the whole server, and only
//! those projects are looked at that the account names.

#[cfg(test)]
mod tests;

use futures_util::{StreamExt, stream};
use kork_model::InboundEvent;

use super::{Cursor, JOBS_AT_ONCE, JobCursor, Polled};
use crate::{
    Build, CiError, JobPath,
    server::{BuildServer, Projects},
};

/// Builds of a page, and pages that are read of a project: what is older was missed for long.
pub(crate) const PAGE: usize = 100;
const PAGES_MAX: usize = 5;

/// What a look at a project found.
struct Found {
    cursor: JobCursor,
    events: Vec<((u64, u64), InboundEvent)>,
    /// At least so many were left out.
    skipped: u64,
}

/// Looks once at these projects.
///
/// The first look at a project reports nothing. A build that still runs is reported when it has ended. A project that
/// cannot be read stays where it was; fails only when none can be read.
pub async fn poll_projects(
    server: &dyn BuildServer,
    projects: &[String],
    most: usize,
    cursor: &Cursor,
) -> Result<Polled, CiError> {
    let mut polled = Polled::default();
    polled.cursor.polled_ms = server.now().millis();
    let Some(reader) = server.projects() else {
        return Ok(polled);
    };
    let looks = projects.iter().filter_map(|project| {
        let path = JobPath::parse(project).ok()?;
        Some((project.clone(), cursor.jobs.get(&path).cloned(), path))
    });
    let looks: Vec<_> = looks.collect();
    let all = looks.len();
    let looks = stream::iter(looks).map(async |(project, known, path)| {
        let looked = look(reader, &project, known.as_ref(), most).await;
        (path, known, looked)
    });
    let mut looks = looks.buffered(JOBS_AT_ONCE);
    let mut found = Vec::new();
    while let Some((path, known, looked)) = looks.next().await {
        match looked {
            Ok(look) => {
                found.extend(look.events);
                if look.skipped > 0 {
                    polled.skipped.push((path.clone(), look.skipped));
                }
                polled.cursor.jobs.insert(path, look.cursor);
            }
            Err(error) => {
                if let Some(known) = known {
                    polled.cursor.jobs.insert(path.clone(), known);
                }
                polled.failed.push((path, error));
            }
        }
    }
    drop(looks);
    if polled.failed.len() == all
        && let Some((_, error)) = polled.failed.pop()
    {
        return Err(error);
    }
    found.sort_by_key(|(order, _)| *order);
    polled.events = found.into_iter().map(|(_, event)| event).collect();
    Ok(polled)
}

async fn look(
    reader: &dyn Projects,
    project: &str,
    known: Option<&JobCursor>,
    most: usize,
) -> Result<Found, CiError> {
    let Some(known) = known else {
        let builds = reader.newest(project, 1).await?;
        let step = JobCursor::default().step(&builds, u64::MAX, most);
        return Ok(Found {
            cursor: step.cursor,
            events: Vec::new(),
            skipped: 0,
        });
    };
    let (builds, is_short) = builds_since(reader, project, known).await?;
    let step = known.step(&builds, 0, most);
    let mut events = Vec::new();
    for number in &step.reported {
        match reader.seen(project, *number).await {
            Ok((build, Some(event))) => events.push(((build.started_ms, *number), event)),
            // It starts nothing.
            Ok((_, None)) => {}
            // It was deleted.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Found {
        cursor: step.cursor,
        events,
        skipped: step.skipped + u64::from(is_short),
    })
}

/// The builds since the last look, and those that were running then; and whether there were more of them.
async fn builds_since(
    reader: &dyn Projects,
    project: &str,
    known: &JobCursor,
) -> Result<(Vec<Build>, bool), CiError> {
    let mut builds: Vec<Build> = Vec::new();
    let mut is_short = true;
    for page in 1..=PAGES_MAX {
        let more = reader.newest(project, page).await?;
        let is_last = more.len() < PAGE || more.iter().any(|build| build.number <= known.last);
        builds.extend(more);
        if is_last {
            is_short = false;
            break;
        }
    }
    for number in &known.running {
        if builds.iter().any(|build| build.number == *number) {
            continue;
        }
        match reader.seen(project, *number).await {
            Ok((build, _)) => builds.push(build),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    // A page may move on between two looks at it.
    builds.sort_by_key(|build| build.number);
    builds.dedup_by_key(|build| build.number);
    Ok((builds, is_short))
}
