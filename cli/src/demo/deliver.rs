//! One delivery: start the pipeline, show it, answer its judgment.

use std::{collections::BTreeSet, time::Duration};

use kork_model::{Execution, Stage as PipelineStage, StageId, Status};
use serde_json::json;
use tokio::sync::oneshot;

use super::{APPLICATION, PIPELINE, Release, Stage, builds::Builds, summary::Delivery};
use crate::{
    args::Judgment,
    client::{Client, Failure, follow},
    command::judge_stage,
    output::{Progress, now},
};

/// How often a live drawing is brought up to date when nothing happens.
const REDRAW_MS: u64 = 150;
/// Longest time that one delivery may take, apart from waiting for the person.
const DELIVERY_TIMEOUT: Duration = Duration::from_mins(5);

/// Delivers a release and waits for the end.
pub(super) async fn deliver(
    client: &Client,
    stage: &Stage<'_>,
    release: &Release,
    builds: Option<&Builds>,
) -> Result<Delivery, Failure> {
    let id = if let Some(builds) = builds {
        builds.build(client, stage, release).await?
    } else {
        let parameters = json!({"version": release.version, "broken": release.broken.to_string()});
        client.execute(APPLICATION, PIPELINE, &parameters).await?
    };
    let mut changes = follow(client, &id);
    let mut progress = stage.progress();
    let mut redraw = tokio::time::interval(Duration::from_millis(REDRAW_MS));
    let mut answered: BTreeSet<StageId> = BTreeSet::new();
    let mut last: Option<Execution> = None;
    let mut declined = false;
    let mut deadline = tokio::time::Instant::now() + DELIVERY_TIMEOUT;
    loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(Ok(execution)) => {
                    progress.update(&execution, now());
                    let waiting = waiting(&execution, &answered).cloned();
                    last = Some(execution);
                    if let Some(judgment) = waiting {
                        let answer = ask(stage, &judgment, release, &mut progress).await?;
                        declined |= answer == Judgment::Stop;
                        judge_stage(client, &id, &judgment, answer, None).await?;
                        answered.insert(judgment.id);
                        deadline = tokio::time::Instant::now() + DELIVERY_TIMEOUT;
                    }
                }
                Some(Err(failure)) => return Err(failure),
                None => break,
            },
            _ = redraw.tick(), if progress.is_live() => {
                if let Some(execution) = &last {
                    progress.update(execution, now());
                }
            }
            () = tokio::time::sleep_until(deadline) => {
                return Err(Failure::TimedOut {
                    detail: format!("the delivery of version {} ({id}) does not end", release.version),
                    next: format!("look at it: gennaker execution get {id} --gate {}", client.base()),
                });
            }
        }
    }
    last.map(|execution| Delivery::new(release, &execution, declined))
        .ok_or_else(|| Failure::Ended {
            detail: format!("execution {id} could not be followed"),
            next: format!("look at it: gennaker execution get {id}"),
        })
}

fn waiting<'a>(
    execution: &'a Execution,
    answered: &BTreeSet<StageId>,
) -> Option<&'a PipelineStage> {
    execution.stages.iter().find(|s| {
        s.kind == "manualJudgment" && s.status == Status::Running && !answered.contains(&s.id)
    })
}

async fn ask(
    stage: &Stage<'_>,
    judgment: &PipelineStage,
    release: &Release,
    progress: &mut Progress<'_>,
) -> Result<Judgment, Failure> {
    if stage.yes {
        progress.say(&format!("{} yes (--yes)", judgment.name));
        return Ok(Judgment::Continue);
    }
    let question = format!("Shall version {} go to production? [Y/n] ", release.version);
    loop {
        stage.out.ask(&question);
        let Some(text) = line().await else {
            return Err(Failure::Interrupted);
        };
        progress.asked(&format!("{question}{}", text.trim_end()));
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "y" | "yes" => return Ok(Judgment::Continue),
            "n" | "no" => return Ok(Judgment::Stop),
            other => progress.say(&format!("{other:?} is neither yes nor no")),
        }
    }
}

/// A line from the terminal; none at its end. A thread of its own reads it, so that nobody waits for
/// the terminal when the demo is interrupted.
async fn line() -> Option<String> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = std::io::stdin().read_line(&mut text);
        let line = read.ok().filter(|bytes| *bytes > 0).map(|_| text);
        // The receiver is gone when the demo was interrupted.
        sender.send(line).ok();
    });
    receiver.await.ok().flatten()
}
