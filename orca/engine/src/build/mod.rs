//! Makes an execution out of a pipeline definition and a trigger, or says what is wrong with them.

mod artifacts;
mod stages;
mod trigger;

use kork_model::{
    Authentication, Context, Execution, ExecutionId, ExecutionType, FieldError, Timestamp,
};
use serde_json::Value;

use crate::{
    command::Invalid,
    context::{flag, spelled, text},
    expression::{self, Scope},
    limits::EXECUTION_BYTES_MAX,
};

/// What an execution is made of.
pub struct Request<'a> {
    pub id: ExecutionId,
    pub now: Timestamp,
    /// The definition; it may carry its trigger under `trigger`.
    pub pipeline: &'a Context,
    /// Over the definition's own.
    pub trigger: Option<&'a Context>,
    pub user: &'a str,
    pub origin: &'a str,
    /// Artifacts of the newest earlier execution of this pipeline, for `usePriorArtifact`.
    pub prior_artifacts: &'a [Value],
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Built {
    /// It can start.
    Ready(Box<Execution>),
    /// It cannot; it is recorded as failed, so that people see it, and the caller is told.
    Refused {
        execution: Box<Execution>,
        invalid: Invalid,
    },
}

/// Builds an execution of a pipeline.
///
/// # Errors
/// [`Invalid`] when the definition cannot even be recorded: a wrong type, too many stages.
pub fn pipeline(request: &Request<'_>) -> Result<Built, Invalid> {
    let mut trigger = trigger::normalised(request)?;
    let refusal = prepare(request, &mut trigger).err();
    let mut definition = request.pipeline.clone();
    definition.insert("trigger".to_owned(), Value::Object(trigger));
    let definition = evaluated_at_start(request, definition);
    let mut execution = execution(request, &definition)?;
    if let Some(invalid) = refusal {
        return Ok(Built::Refused {
            execution: Box::new(execution),
            invalid,
        });
    }
    execution
        .trigger
        .entry("expectedArtifacts")
        .or_insert_with(|| Value::Array(Vec::new()));
    Ok(Built::Ready(Box::new(execution)))
}

/// The definition as it would start: `plan: true` of `POST /pipelines/start`. Parameters and refIds
/// are filled in; expressions stay for the moment in which they count.
pub fn planned(request: &Request<'_>) -> Result<Context, Invalid> {
    trigger::normalised(request)?;
    let mut trigger = trigger::planned(request);
    trigger::fill_parameters(request, &mut trigger)?;
    check_enabled(request)?;
    let mut definition = request.pipeline.clone();
    if let Some(Value::Array(list)) = definition.get_mut("stages") {
        stages::chain(list);
    }
    definition.insert("trigger".to_owned(), Value::Object(trigger));
    Ok(definition)
}

/// Builds the execution of a task: its jobs run one after the other.
///
/// # Errors
/// [`Invalid`] with the pointers of everything that is wrong.
pub fn orchestration(request: &Request<'_>) -> Result<Execution, Invalid> {
    let task = request.pipeline;
    let mut errors = Vec::new();
    for key in ["application", "description"] {
        if text(task, key).is_none_or(|t| t.trim().is_empty()) {
            errors.push(error(format!("/{key}"), "must be a text that is not empty"));
        }
    }
    let jobs = match task.get("job") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(jobs)) => jobs.clone(),
        Some(_) => {
            errors.push(error("/job", "must be a list of jobs, each with a type"));
            Vec::new()
        }
    };
    for (at, job) in jobs.iter().enumerate() {
        if job.get("type").and_then(Value::as_str).is_none() {
            errors.push(error(
                format!("/job/{at}/type"),
                "must name the type of the job",
            ));
        }
    }
    if !errors.is_empty() {
        let detail = "the task cannot be run".to_owned();
        return Err(Invalid {
            code: "ORCA-0011",
            detail,
            errors,
        });
    }
    let mut trigger = trigger::normalised(request)?;
    let artifacts = crate::artifact::all(trigger.get("artifacts"));
    trigger.insert("artifacts".to_owned(), Value::Array(artifacts));
    for key in ["expectedArtifacts", "resolvedExpectedArtifacts"] {
        trigger.insert(key.to_owned(), Value::Array(Vec::new()));
    }
    let mut execution = execution_of(request, task, trigger);
    execution.kind = ExecutionType::Orchestration;
    execution.name = None;
    execution.description = text(task, "description").map(str::to_owned);
    execution.stages = stages::jobs(&execution.id, &jobs)?;
    check_size(&execution)?;
    Ok(execution)
}

/// A parameter that must be given and is not: starts by name are refused for it.
pub fn missing_parameter(pipeline: &Context, trigger: &Context) -> Option<Invalid> {
    let given = trigger.get("parameters").and_then(Value::as_object);
    let configured = pipeline.get("parameterConfig").and_then(Value::as_array);
    let missing: Vec<FieldError> = configured
        .into_iter()
        .flatten()
        .filter_map(|p| p.as_object())
        .filter(|p| flag(p, "required") == Some(true))
        .filter(|p| p.get("default").is_none_or(Value::is_null))
        .filter_map(|p| text(p, "name"))
        .filter(|name| given.and_then(|g| g.get(*name)).is_none_or(Value::is_null))
        .map(|name| {
            error(
                format!("/parameters/{name}"),
                "is required and has no default",
            )
        })
        .collect();
    let first = missing
        .first()?
        .pointer
        .trim_start_matches("/parameters/")
        .to_owned();
    Some(Invalid {
        code: "ORCA-0012",
        detail: format!("Required parameter {first} is missing"),
        errors: missing,
    })
}

/// What must hold before an execution may start; a failure is recorded and told.
fn prepare(request: &Request<'_>, trigger: &mut Context) -> Result<(), Invalid> {
    trigger::fill_parameters(request, trigger)?;
    artifacts::resolve(request, trigger)?;
    check_enabled(request)
}

fn check_enabled(request: &Request<'_>) -> Result<(), Invalid> {
    if flag(request.pipeline, "disabled") != Some(true) {
        return Ok(());
    }
    Err(Invalid {
        code: "ORCA-0013",
        detail: "Pipeline is disabled and cannot be started.".to_owned(),
        errors: vec![error("/disabled", "enable the pipeline first")],
    })
}

/// Everything in the definition that can be evaluated before anything runs. What cannot stays as it
/// is. Version v4 leaves the stages alone until each of them starts.
fn evaluated_at_start(request: &Request<'_>, definition: Context) -> Context {
    let nothing = Execution {
        trigger: definition
            .get("trigger")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
        template_variables: definition
            .get("templateVariables")
            .and_then(Value::as_object)
            .cloned(),
        ..Execution::default()
    };
    let root = Context::new();
    let scope = Scope {
        execution: &nothing,
        stage: None,
        root: &root,
        pipelines: &[],
        now: request.now,
        allow_unknown_keys: false,
    };
    let late = crate::context::is_v4(text(&definition, "spelEvaluator"));
    let mut definition = definition;
    let stages = late.then(|| definition.remove("stages")).flatten();
    let (mut evaluated, _) = expression::process_map(&definition, &scope);
    if let Some(stages) = stages {
        evaluated.insert("stages".to_owned(), stages);
    }
    evaluated
}

fn execution(request: &Request<'_>, definition: &Context) -> Result<Execution, Invalid> {
    let mut trigger = definition
        .get("trigger")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    // Not there while expressions are evaluated at the start: those that need it wait for the stage.
    trigger
        .entry("resolvedExpectedArtifacts")
        .or_insert_with(|| Value::Array(Vec::new()));
    let mut execution = execution_of(request, definition, trigger);
    execution.name = spelled(definition, "name");
    execution.pipeline_config_id = spelled(definition, "id");
    execution.limit_concurrent = flag(definition, "limitConcurrent").unwrap_or(false);
    execution.keep_waiting_pipelines = flag(definition, "keepWaitingPipelines").unwrap_or(false);
    let most = definition.get("maxConcurrentExecutions");
    let written = |v: &Value| v.as_str().and_then(|t| t.trim().parse().ok());
    let most = most.and_then(|v| v.as_u64().or_else(|| written(v)));
    let most = most.unwrap_or(0);
    execution.max_concurrent_executions = u32::try_from(most).unwrap_or(u32::MAX);
    execution.spel_evaluator = text(definition, "spelEvaluator").map(str::to_owned);
    execution.stages = stages::of_pipeline(&execution, definition)?;
    check_size(&execution)?;
    Ok(execution)
}

fn check_size(execution: &Execution) -> Result<(), Invalid> {
    let size = serde_json::to_string(execution).map_or(0, |text| text.len());
    if size <= EXECUTION_BYTES_MAX {
        return Ok(());
    }
    let detail =
        format!("the execution would have {size} bytes, at most {EXECUTION_BYTES_MAX} are allowed");
    let errors = vec![error(
        "",
        "send large values as artifacts, or split the pipeline",
    )];
    Err(Invalid {
        code: "ORCA-0010",
        detail,
        errors,
    })
}

fn execution_of(request: &Request<'_>, definition: &Context, trigger: Context) -> Execution {
    let list = |key: &str| definition.get(key).and_then(Value::as_array).cloned();
    let object = |key: &str| definition.get(key).and_then(Value::as_object).cloned();
    Execution {
        id: request.id.clone(),
        application: text(definition, "application")
            .unwrap_or_default()
            .to_owned(),
        build_time: Some(request.now),
        start_time_expiry: moment(definition, "startTimeExpiry"),
        authentication: Authentication {
            user: request.user.to_owned(),
            allowed_accounts: Vec::new(),
        },
        origin: request.origin.to_owned(),
        trigger,
        notifications: list("notifications").unwrap_or_default(),
        initial_config: Context::new(),
        template_variables: object("templateVariables"),
        source: definition.get("source").filter(|s| s.is_object()).cloned(),
        ..Execution::default()
    }
}

/// Milliseconds since the epoch, as a number or as its text.
fn moment(map: &Context, key: &str) -> Option<Timestamp> {
    let value = map.get(key)?;
    let text = || value.as_str().and_then(|t| t.trim().parse().ok());
    value.as_u64().or_else(text).map(Timestamp)
}

fn error(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError {
        pointer: pointer.into(),
        detail: detail.into(),
    }
}

/// Nulls inside objects are absent keys, as everywhere in Spinnaker's JSON; lists keep theirs.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
