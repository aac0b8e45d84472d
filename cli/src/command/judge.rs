//! `gennaker judge`: answers a manual judgment.

use kork_model::{Execution, Stage, Status};
use serde_json::json;

use super::execution::find_stage;
use crate::{
    args::{JudgeArgs, Judgment},
    client::{Client, Failure},
    exit::Exit,
    output::Out,
};

pub(super) async fn run(client: &Client, args: &JudgeArgs, out: &Out) -> Result<Exit, Failure> {
    let execution = client.execution(&args.execution).await?;
    let stage = to_judge(&execution, args.stage.as_deref())?;
    judge_stage(
        client,
        &args.execution,
        stage,
        args.judgment,
        args.input.as_deref(),
    )
    .await?;
    let verdict = verdict(args.judgment);
    out.note(&format!(
        "stage {} of execution {}: {verdict}",
        stage.name, args.execution
    ));
    Ok(Exit::Success)
}

/// Answers one judgment.
pub(crate) async fn judge_stage(
    client: &Client,
    execution: &str,
    stage: &Stage,
    judgment: Judgment,
    input: Option<&str>,
) -> Result<(), Failure> {
    let mut body = json!({"judgmentStatus": verdict(judgment)});
    if let Some(input) = input {
        body["judgmentInput"] = json!(input);
    }
    client
        .patch(
            &["pipelines", execution, "stages", stage.id.as_str()],
            &body,
        )
        .await?;
    Ok(())
}

const fn verdict(judgment: Judgment) -> &'static str {
    match judgment {
        Judgment::Continue => "continue",
        Judgment::Stop => "stop",
    }
}

fn to_judge<'a>(execution: &'a Execution, named: Option<&str>) -> Result<&'a Stage, Failure> {
    if let Some(text) = named {
        let stage = find_stage(execution, text)?;
        if stage.kind == "manualJudgment" && stage.status == Status::Running {
            return Ok(stage);
        }
        if stage.kind == "manualJudgment" {
            return Err(Failure::input(
                format!(
                    "stage {:?} waits for no judgment, it is {}",
                    stage.name, stage.status
                ),
                format!("look at it: gennaker execution get {}", execution.id),
            ));
        }
        let detail = format!(
            "stage {:?} is a {}, not a manual judgment",
            stage.name, stage.kind
        );
        return Err(Failure::input(
            detail,
            "name a stage of type manualJudgment",
        ));
    }
    let waiting: Vec<&Stage> = execution
        .stages
        .iter()
        .filter(|s| s.kind == "manualJudgment" && s.status == Status::Running)
        .collect();
    match waiting.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::input(
            format!(
                "execution {} ({}) waits for no judgment",
                execution.id, execution.status
            ),
            format!("look at it with: gennaker execution get {}", execution.id),
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|s| s.name.as_str()).collect();
            let detail = format!("{} judgments wait: {}", names.len(), names.join(", "));
            Err(Failure::input(detail, "choose one with --stage"))
        }
    }
}
