//! `gennaker application`: save, get, list, delete.

use serde_json::{Map, Value, json};

use super::{columns, file, items};
use crate::{
    args::ApplicationCommand,
    client::{Client, Failure, run_task},
    exit::Exit,
    output::{Out, Table, member},
};

pub(super) async fn run(
    client: &Client,
    command: &ApplicationCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        ApplicationCommand::Save {
            name,
            email,
            description,
            file,
        } => {
            let mut application = match file {
                Some(file) => object(file::read(file)?)?,
                None => Map::new(),
            };
            let given = [
                ("name", name),
                ("email", email),
                ("description", description),
            ];
            for (key, value) in given {
                if let Some(value) = value {
                    application.insert(key.to_owned(), Value::from(value.clone()));
                }
            }
            save(client, Value::Object(application), out).await?;
        }
        ApplicationCommand::Get { name } => {
            let application = client
                .object(&["applications", name], &[("expand", "false")])
                .await?;
            out.document(application.get("attributes").unwrap_or(&application));
        }
        ApplicationCommand::List => {
            let all = client.list(&["applications"], &[]).await?;
            out.data(&all, |paint| {
                let mut table = Table::new(
                    &["NAME", "EMAIL", "ACCOUNTS", "DESCRIPTION"],
                    "there are no applications; `gennaker application save NAME` makes one",
                );
                for one in items(&all) {
                    table.row(["name", "email", "accounts", "description"].map(|k| member(one, k)));
                }
                table.render(paint, columns(out))
            });
        }
        ApplicationCommand::Delete { name } => {
            client
                .object(&["applications", name], &[("expand", "false")])
                .await?;
            let job = json!({"type": "deleteApplication", "application": {"name": name}});
            let description = format!("Delete Application: {name}");
            run_task(client, name, &description, &[job], |step| out.note(step)).await?;
            out.note(&format!("application {name} is deleted"));
        }
    }
    Ok(Exit::Success)
}

/// Creates or changes an application through a task, and says so on stderr.
pub(super) async fn save(client: &Client, application: Value, out: &Out) -> Result<(), Failure> {
    let name = member(&application, "name");
    if name.trim().is_empty() {
        return Err(Failure::input(
            "the application has no name",
            "give it one: gennaker application save NAME, or `name` in the file",
        ));
    }
    let known = client.find(&["applications", &name]).await?.is_some();
    if !known && member(&application, "email").trim().is_empty() {
        return Err(Failure::input(
            format!("the new application {name} has no email"),
            format!(
                "say whom to write to: gennaker application save {name} --email you@example.com"
            ),
        ));
    }
    let (kind, verb) = if known {
        ("updateApplication", "Update")
    } else {
        ("createApplication", "Create")
    };
    let job = json!({"type": kind, "application": application});
    let description = format!("{verb} Application: {name}");
    run_task(client, &name, &description, &[job], |_| {}).await?;
    out.note(&format!(
        "application {name} is {}",
        if known { "changed" } else { "created" }
    ));
    Ok(())
}

fn object(value: Value) -> Result<Map<String, Value>, Failure> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(Failure::input(
            format!("an application is an object, not {other}"),
            "write it as `name: shop` and so on",
        )),
    }
}
