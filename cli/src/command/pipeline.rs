//! `gennaker pipeline`: save, get, list, delete, execute.

use serde_json::{Map, Value, json};

use super::{columns, execution, file, items, must_be_known};
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
            save_all(client, pipelines, out).await?;
            Ok(Exit::Success)
        }
        PipelineCommand::Get {
            application,
            pipeline,
        } => {
            let path = ["applications", application, "pipelineConfigs", pipeline];
            out.document(&client.object(&path, &[]).await?);
            Ok(Exit::Success)
        }
        PipelineCommand::List { application } => list(client, application, out).await,
        PipelineCommand::Delete {
            application,
            pipeline,
        } => {
            // Gate deletes by name; a pipeline that is not there is told here.
            let path = ["applications", application, "pipelineConfigs", pipeline];
            let name = member(&client.object(&path, &[]).await?, "name");
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
            let parameters = bind(parameters)?;
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

/// The parameters of an execution; each is given once.
fn bind(given: &[(String, String)]) -> Result<Value, Failure> {
    let mut values = Map::new();
    for (key, value) in given {
        if values.insert(key.clone(), value.clone().into()).is_some() {
            return Err(Failure::input(
                format!("the parameter {key} is given twice"),
                "give each parameter once: -p KEY=VALUE",
            ));
        }
    }
    Ok(Value::Object(values))
}

/// Saves pipelines; none when one of them cannot be saved as it is.
async fn save_all(client: &Client, pipelines: Vec<Value>, out: &Out) -> Result<(), Failure> {
    if pipelines.is_empty() {
        return Err(Failure::input(
            "the list has no pipelines",
            "put at least one in it; `gennaker pipeline delete` removes pipelines",
        ));
    }
    for (at, pipeline) in pipelines.iter().enumerate() {
        check(pipeline, (pipelines.len() > 1).then_some(at))?;
    }
    for pipeline in pipelines {
        let (application, name) = save(client, pipeline).await?;
        out.note(&format!("pipeline {name} of {application} is saved"));
        if client
            .find(&["applications", &application])
            .await?
            .is_none()
        {
            out.note(&format!(
                "the application {application} is not there yet; make it: gennaker application \
                 save {application} --email you@example.com"
            ));
        }
    }
    Ok(())
}

/// What every pipeline needs; `at` is its place in a list.
fn check(pipeline: &Value, at: Option<usize>) -> Result<(), Failure> {
    let which = at.map_or_else(
        || "the pipeline".to_owned(),
        |at| format!("the pipeline at /{at}"),
    );
    if !pipeline.is_object() {
        return Err(Failure::input(
            format!("{which} is not an object"),
            "write it as `application: shop`, `name: Deliver`, `stages: [...]`",
        ));
    }
    let missing = ["application", "name"]
        .into_iter()
        .filter(|key| member(pipeline, key).trim().is_empty());
    let missing: Vec<&str> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::input(
        format!("{which} has no {}", missing.join(" and no ")),
        "add it at the top of the document",
    ))
}

/// Saves one pipeline over the stored one of the same name; its application and name.
pub(crate) async fn save(
    client: &Client,
    mut pipeline: Value,
) -> Result<(String, String), Failure> {
    check(&pipeline, None)?;
    let (application, name) = (member(&pipeline, "application"), member(&pipeline, "name"));
    references_as_text(&mut pipeline);
    let stored = client
        .find(&["applications", &application, "pipelineConfigs", &name])
        .await?;
    if let Some(id) = stored.as_ref().and_then(|s| s.get("id")) {
        pipeline["id"] = id.clone();
    }
    client.post(&["pipelines"], &pipeline).await?;
    Ok((application, name))
}

/// In YAML a stage is soon called 1, which is a number there; Spinnaker's references are texts.
fn references_as_text(pipeline: &mut Value) {
    let as_text = |value: &mut Value| {
        if value.is_u64() {
            *value = Value::from(value.to_string());
        }
    };
    let stages = pipeline.get_mut("stages").and_then(Value::as_array_mut);
    for stage in stages.into_iter().flatten() {
        if let Some(reference) = stage.get_mut("refId") {
            as_text(reference);
        }
        let required = stage.get_mut("requisiteStageRefIds");
        let required = required.and_then(Value::as_array_mut);
        required.into_iter().flatten().for_each(as_text);
    }
}

async fn list(client: &Client, application: &str, out: &Out) -> Result<Exit, Failure> {
    let all = client
        .list(&["applications", application, "pipelineConfigs"], &[])
        .await?;
    must_be_known(client, application, &all).await?;
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
    let mut stored = client.object(&path, &[]).await?;
    stored["plan"] = json!(true);
    stored["trigger"] = json!({"type": "manual", "parameters": parameters});
    out.document(&client.post(&["pipelines", "start"], &stored).await?);
    out.note("this is the pipeline as it would run; nothing was started");
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_stages_become_texts_and_nothing_else_does() {
        let mut pipeline = json!({"limit": 1, "stages": [
            {"refId": 1, "waitTime": 3}, {"refId": "b", "requisiteStageRefIds": [1, "x"]}, null]});
        references_as_text(&mut pipeline);
        let expected = json!({"limit": 1, "stages": [
            {"refId": "1", "waitTime": 3}, {"refId": "b", "requisiteStageRefIds": ["1", "x"]}, null]});
        assert_eq!(pipeline, expected);
        let mut without = json!({"stages": "none"});
        references_as_text(&mut without);
        assert_eq!(without, json!({"stages": "none"}));
    }

    #[test]
    fn a_parameter_is_given_once() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            bind(&[pair("a", "1"), pair("b", "")]).unwrap(),
            json!({"a": "1", "b": ""})
        );
        let twice = bind(&[pair("a", "1"), pair("a", "2")]).unwrap_err();
        assert!(twice.to_string().contains("a is given twice"), "{twice}");
    }
}
