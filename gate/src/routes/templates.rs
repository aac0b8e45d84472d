//! Pipeline templates (v2). Changes are answered with a finished task, failed ones too.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use kork_model::{
    Context, Kind,
    api::front50::{DeleteTemplate, GetObject, ListObjects, ListPipelines, SaveTemplate},
    templated,
};
use serde_json::{Value, json};

use super::{
    engine,
    param::{APPLICATION, DIGEST, SCOPES, SKIP_PLAN_DEPENDENTS, TAG as VERSION},
    told::Told,
};
use crate::http::{
    answer::{Answer, Outcome},
    call::{Call, USER},
    refusal::Refusal,
    route::{BodyRule, Route, Verb, run},
};

const TAG: &str = "templates";
/// Type of the objects in front50.
const TEMPLATE: &str = "pipelineTemplate";
/// Application of the tasks about templates that are for more than one application.
const SPINNAKER: &str = "spinnaker";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/v2/pipelineTemplates",
        "pipelineTemplates",
        run!(list),
    )
    .about(TAG, "Every version of every template.")
    .query(&[&SCOPES])
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/pipelineTemplates",
        "pipelineTemplatesOfAnyVersion",
        run!(list),
    )
    .about(
        TAG,
        "As `/v2/pipelineTemplates`: both kinds lie in one place.",
    )
    .query(&[&SCOPES])
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/pipelineTemplates/{id}",
        "pipelineTemplateOfAnyVersion",
        run!(get),
    )
    .about(TAG, "As `/v2/pipelineTemplates/{id}`.")
    .query(&[&VERSION, &DIGEST])
    .json("Object"),
    Route::new(
        Verb::Get,
        "/v2/pipelineTemplates/versions",
        "pipelineTemplateVersions",
        run!(versions),
    )
    .about(TAG, "The versions of each template, by its id.")
    .query(&[&SCOPES])
    .json("Object"),
    Route::new(
        Verb::Get,
        "/v2/pipelineTemplates/{id}",
        "pipelineTemplate",
        run!(get),
    )
    .about(
        TAG,
        "One version of a template; without tag and digest the plain one.",
    )
    .query(&[&VERSION, &DIGEST])
    .json("Object"),
    Route::new(
        Verb::Get,
        "/v2/pipelineTemplates/{id}/dependents",
        "pipelineTemplateDependents",
        run!(dependents),
    )
    .about(TAG, "The pipelines that are made from a template.")
    .json("Object[]"),
    Route::new(
        Verb::Post,
        "/v2/pipelineTemplates/create",
        "createPipelineTemplate",
        run!(create),
    )
    .about(TAG, "Creates a template; read the status of the task.")
    .query(&[&VERSION])
    .body(BodyRule::Required("Object"))
    .json("Task"),
    Route::new(
        Verb::Post,
        "/v2/pipelineTemplates/update/{id}",
        "updatePipelineTemplate",
        run!(update),
    )
    .about(TAG, "Replaces a template; read the status of the task.")
    .query(&[&VERSION, &SKIP_PLAN_DEPENDENTS])
    .body(BodyRule::Required("Object"))
    .json("Task"),
    Route::new(
        Verb::Delete,
        "/v2/pipelineTemplates/{id}",
        "deletePipelineTemplate",
        run!(delete),
    )
    .about(
        TAG,
        "Deletes a version that no pipeline needs; read the status of the task.",
    )
    .query(&[&VERSION, &DIGEST, &APPLICATION])
    .status(202)
    .json("Task"),
    Route::new(
        Verb::Post,
        "/v2/pipelineTemplates/plan",
        "planPipelineTemplate",
        run!(plan),
    )
    .about(TAG, "The pipeline that a templated pipeline is.")
    .body(BodyRule::Required("Object"))
    .json("Object"),
];

async fn list(call: Call) -> Outcome {
    Answer::json(&all(&call).await?)
}

async fn versions(call: Call) -> Outcome {
    let mut by_id: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for template in all(&call).await? {
        let id = template.get("id").and_then(Value::as_str);
        by_id
            .entry(id.unwrap_or_default().to_owned())
            .or_default()
            .push(template);
    }
    Answer::json(&by_id)
}

/// Every version, of the wanted scopes.
async fn all(call: &Call) -> Result<Vec<Value>, Refusal> {
    let scopes = call.query.list(&SCOPES)?;
    let is_wanted = |template: &Value| {
        let own = template
            .pointer("/metadata/scopes")
            .and_then(Value::as_array);
        let mut own = own.into_iter().flatten().filter_map(Value::as_str);
        scopes.is_empty() || own.any(|own| scopes.iter().any(|s| s.eq_ignore_ascii_case(own)))
    };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = ListObjects {
            object_type: TEMPLATE.to_owned(),
            after,
        };
        let mut page = call.ask(&page).await?;
        if let Some(Value::Array(objects)) = page.remove("objects") {
            found.extend(objects.into_iter().filter(is_wanted));
        }
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn get(call: Call) -> Outcome {
    let id = call.part("id");
    let stored_id = match (call.query.text(&VERSION), call.query.text(&DIGEST)) {
        (None, None) => id,
        (Some(tag), None) => format!("{id}:{tag}"),
        (None, Some(digest)) => format!("{id}@sha256:{digest}"),
        (Some(_), Some(_)) => return Err(VERSION.refuse("and digest cannot be given both")),
    };
    let mut template = stored(&call, stored_id).await?;
    // Which version it is, is the storage's own business.
    for own in ["tag", "digest"] {
        template.remove(own);
    }
    Answer::json(&template)
}

async fn stored(call: &Call, id: String) -> Result<Context, Refusal> {
    let object_type = TEMPLATE.to_owned();
    call.ask(&GetObject { object_type, id }).await
}

async fn dependents(call: Call) -> Outcome {
    let id = call.part("id");
    let pipelines = call.ask(&ListPipelines::default()).await?;
    let is_made_from = |pipeline: &&Context| {
        pipeline.get("type").and_then(Value::as_str) == Some("templatedPipeline")
            && templated::stored_id(pipeline).is_some_and(|of| of.eq_ignore_ascii_case(&id))
    };
    let shown = pipelines.iter().filter(is_made_from).map(|pipeline| {
        json!({
            "application": pipeline.get("application"),
            "pipelineConfigId": pipeline.get("id"),
            "pipelineName": pipeline.get("name"),
        })
    });
    Answer::json(&shown.collect::<Vec<_>>())
}

async fn create(call: Call) -> Outcome {
    save(call, None).await
}

async fn update(call: Call) -> Outcome {
    let id = call.part("id");
    save(call, Some(id)).await
}

async fn save(call: Call, id: Option<String>) -> Outcome {
    let skip_plan = call.query.flag(&SKIP_PLAN_DEPENDENTS)?.unwrap_or(false);
    let mut template: Context = call.json()?;
    let schema = template.entry("schema").or_insert(Value::Null);
    match schema {
        Value::Null => *schema = json!("v2"),
        Value::String(version) if version == "v2" => {}
        _ => {
            let detail = "Pipeline template schema version is invalid";
            return Err(Refusal::invalid("GATE-0006", detail).field("/schema", "must be v2"));
        }
    }
    if !template.get("metadata").is_some_and(Value::is_object) {
        let refusal = Refusal::invalid("GATE-0006", "Pipeline template is invalid");
        return Err(refusal.field("/metadata", "must be an object"));
    }
    let is_other = |id: &String| template.get("id").is_some_and(|own| own != id.as_str());
    if id.as_ref().is_some_and(is_other) {
        let refusal = Refusal::invalid("GATE-0006", "the body is another template than the path");
        return Err(refusal.field("/id", "must be the id in the path, or absent"));
    }
    let (verb, kind) = match id {
        None => ("create", "createV2PipelineTemplate"),
        Some(_) => ("update", "updateV2PipelineTemplate"),
    };
    if let Some(id) = &id {
        template.insert("id".to_owned(), json!(id));
    }
    let tag = call.query.text(&VERSION).map(str::to_owned);
    let encoded = STANDARD.encode(json!(template).to_string());
    let mut context = Context::from_iter([("pipelineTemplate".to_owned(), json!(encoded))]);
    if let Some(id) = &id {
        context.insert("id".to_owned(), json!(id));
        context.insert("skipPlanDependents".to_owned(), json!(skip_plan));
    }
    if let Some(tag) = &tag {
        context.insert("tag".to_owned(), json!(tag));
    }
    let job = Job {
        verb,
        kind,
        shown: template
            .get("metadata")
            .and_then(|m| m.get("name"))
            .cloned(),
        application: application(&template),
        template: version_id(&template, tag.as_deref()),
        context,
    };
    let request = SaveTemplate {
        template,
        tag,
        create: id.is_none(),
        user: USER.to_owned(),
    };
    Answer::json(&job.run(&call, &request).await?)
}

/// The version that a save is about, as notifications name it.
fn version_id(template: &Context, tag: Option<&str>) -> Value {
    let id = template
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    json!(tag.map_or_else(|| id.to_owned(), |tag| format!("{id}:{tag}")))
}

/// A template of one scope is that application's.
fn application(template: &Context) -> String {
    let scopes = template.get("metadata").and_then(|m| m.get("scopes"));
    match scopes.and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::String(one)]) => one.clone(),
        _ => SPINNAKER.to_owned(),
    }
}

async fn delete(call: Call) -> Outcome {
    let id = call.part("id");
    let text = |param| call.query.text(param).map(str::to_owned);
    let request = DeleteTemplate {
        id: id.clone(),
        tag: text(&VERSION),
        digest: text(&DIGEST),
        user: USER.to_owned(),
    };
    let mut context = Context::from_iter([("pipelineTemplateId".to_owned(), json!(id))]);
    for (name, value) in [("tag", &request.tag), ("digest", &request.digest)] {
        if let Some(value) = value {
            context.insert(name.to_owned(), json!(value));
        }
    }
    let job = Job {
        verb: "delete",
        kind: "deleteV2PipelineTemplate",
        shown: Some(json!(id)),
        application: text(&APPLICATION).unwrap_or_else(|| SPINNAKER.to_owned()),
        template: json!(id),
        context,
    };
    // `spin pipeline-template delete` takes nothing but 202.
    Answer::accepted(&job.run(&call, &request).await?)
}

/// A change of a template as the task that clients know.
struct Job {
    verb: &'static str,
    kind: &'static str,
    /// What the description calls the template.
    shown: Option<Value>,
    application: String,
    template: Value,
    context: Context,
}

impl Job {
    /// A refusal fails the task; what is not known to have failed is no task at all.
    async fn run<C: kork_model::api::Call>(
        mut self,
        call: &Call,
        request: &C,
    ) -> Result<Value, Refusal> {
        let started = call.gate.ports.clock.now();
        let done = call.ask(request).await;
        let failure = match &done {
            Ok(_) => None,
            Err(refusal) => match refusal.problem().kind {
                Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::TooLarge => {
                    Some(refusal.problem())
                }
                Kind::Unauthenticated
                | Kind::Denied
                | Kind::UnsupportedMediaType
                | Kind::TooMany
                | Kind::Bug
                | Kind::Unavailable
                | Kind::Timeout => return done.map(|_| Value::Null),
            },
        };
        self.context.insert("user".to_owned(), json!(USER));
        if failure.is_none() {
            let notification = format!("{}pipelinetemplate", self.verb);
            self.context
                .insert("notification.type".to_owned(), json!(notification));
            self.context
                .insert("pipelineTemplate.id".to_owned(), self.template);
        }
        let name = self
            .shown
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or("Unknown");
        let title = match self.verb {
            "create" => "Create",
            "update" => "Update",
            _ => "Delete",
        };
        let told = Told {
            kind: self.kind,
            implementing_class: format!("front50.{}", self.kind),
            description: format!("{title} pipeline template '{name}'"),
            application: self.application.clone(),
            context: self.context,
            started,
            failure,
        };
        Ok(told.task(call))
    }
}

async fn plan(call: Call) -> Outcome {
    let config: Context = call.json()?;
    let invalid = |pointer: &str, detail: String| {
        Refusal::invalid("GATE-0006", "Pipeline template is invalid").field(pointer, detail)
    };
    let Some(id) = templated::stored_id(&config) else {
        let detail = "must name a stored template: spinnaker://<id>";
        return Err(invalid("/template/reference", detail.to_owned()));
    };
    let template = match stored(&call, id.to_owned()).await {
        Err(refusal) if refusal.problem().kind == Kind::NotFound => {
            let detail = format!("there is no pipeline template {id}");
            return Err(invalid("/template/reference", detail));
        }
        other => other?,
    };
    let mut pipeline = templated::pipeline(&template, &config).map_err(|missing| {
        let names = missing.join(", ");
        invalid(
            "/variables",
            format!("Missing variable values for: {names}"),
        )
    })?;
    if let Some(trigger) = config.get("trigger") {
        pipeline.insert("trigger".to_owned(), trigger.clone());
    }
    Answer::json(&engine::planned(&call, pipeline).await?)
}
