//! `gennaker pipeline`: save, get, list, delete, execute.

use serde_json::{Value, json};

use super::{columns, execution, file, items};
use crate::{
    args::PipelineCommand,
    client::{Client, Failure},
    exit::Exit,
    output::{Out, Table, member, moment},
};

pub(super) async fn run(
    client: &Client,
    command: &PipelineCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        PipelineCommand::Save { file } => {
            let document = file::read(file)?;
            let pipelines = match document {
                Value::Array(list) => list,
                one => vec![one],
            };
            for pipeline in pipelines {
                let (application, name) = save(client, pipeline).await?;
                out.note(&format!("pipeline {name} of {application} is saved"));
            }
            Ok(Exit::Success)
        }
        PipelineCommand::Get {
            application,
            pipeline,
        } => {
            let path = ["applications", application, "pipelineConfigs", pipeline];
            out.document(&client.get(&path, &[]).await?);
            Ok(Exit::Success)
        }
        PipelineCommand::List { application } => list(client, application, out).await,
        PipelineCommand::Delete {
            application,
            pipeline,
        } => {
            // Gate deletes by name; a pipeline that is not there is told here.
            let path = ["applications", application, "pipelineConfigs", pipeline];
            let name = member(&client.get(&path, &[]).await?, "name");
            client.delete(&["pipelines", application, &name]).await?;
            out.note(&format!("pipeline {name} of {application} is deleted"));
            Ok(Exit::Success)
        }
        PipelineCommand::Execute {
            application,
            pipeline,
            parameters,
            watch,
            dry_run,
        } => {
            let values = parameters
                .iter()
                .map(|(k, v)| (k.clone(), Value::from(v.clone())));
            let parameters = Value::Object(values.collect());
            if *dry_run {
                return plan(client, application, pipeline, &parameters, out).await;
            }
            let id = client.execute(application, pipeline, &parameters).await?;
            if *watch {
                out.note(&format!("execution {id} started"));
                return execution::watch(client, &id, out).await;
            }
            out.data(&json!({"id": id}), |_| id.clone());
            out.note(&format!("follow it with: gennaker execution watch {id}"));
            Ok(Exit::Success)
        }
    }
}

/// Saves one pipeline over the stored one of the same name; its application and name.
pub(crate) async fn save(
    client: &Client,
    mut pipeline: Value,
) -> Result<(String, String), Failure> {
    let (application, name) = (member(&pipeline, "application"), member(&pipeline, "name"));
    let missing: Vec<&str> = [("application", &application), ("name", &name)]
        .into_iter()
        .filter_map(|(key, value)| value.trim().is_empty().then_some(key))
        .collect();
    if !missing.is_empty() {
        return Err(Failure::input(
            format!("the pipeline has no {}", missing.join(" and no ")),
            "add it at the top of the document",
        ));
    }
    let stored = client
        .find(&["applications", &application, "pipelineConfigs", &name])
        .await?;
    if let Some(id) = stored.as_ref().and_then(|s| s.get("id")) {
        pipeline["id"] = id.clone();
    }
    client.post(&["pipelines"], &pipeline).await?;
    Ok((application, name))
}

async fn list(client: &Client, application: &str, out: &Out) -> Result<Exit, Failure> {
    let all = client
        .get(&["applications", application, "pipelineConfigs"], &[])
        .await?;
    out.data(&all, |paint| {
        let mut table = Table::new(
            &[
                "NAME",
                "ID",
                "STAGES",
                "TRIGGERS",
                "ENABLED",
                "UPDATED (UTC)",
            ],
            "there are no pipelines; `gennaker pipeline save -f FILE` makes one",
        );
        for one in items(&all) {
            let count = |key: &str| one.get(key).map_or(0, |list| items(list).len()).to_string();
            let disabled = one
                .get("disabled")
                .and_then(Value::as_bool)
                .unwrap_or_default();
            table.row([
                member(one, "name"),
                member(one, "id"),
                count("stages"),
                count("triggers"),
                if disabled { "no" } else { "yes" }.to_owned(),
                member(one, "updateTs")
                    .parse()
                    .map(moment)
                    .unwrap_or_default(),
            ]);
        }
        table.render(paint, columns(out))
    });
    Ok(Exit::Success)
}

/// Shows the pipeline as it would run. Nothing is started.
async fn plan(
    client: &Client,
    application: &str,
    pipeline: &str,
    parameters: &Value,
    out: &Out,
) -> Result<Exit, Failure> {
    let path = ["applications", application, "pipelineConfigs", pipeline];
    let mut stored = client.get(&path, &[]).await?;
    stored["plan"] = json!(true);
    stored["trigger"] = json!({"type": "manual", "parameters": parameters});
    out.document(&client.post(&["pipelines", "start"], &stored).await?);
    out.note("this is the pipeline as it would run; nothing was started");
    Ok(Exit::Success)
}
