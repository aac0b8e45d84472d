//! Executions: lists and searches.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use kork_model::{
    Execution, ExecutionType, Kind,
    api::orca::{ExecutionFilter, GetExecution, ListExecutions},
};

use super::param::{
    EVENT_ID, EXECUTION_IDS, EXPAND, LIMIT, PIPELINE_CONFIG_IDS, PIPELINE_NAME,
    PIPELINE_NAME_FILTER, REVERSE, SIZE, START_INDEX, STATUSES, TRIGGER, TRIGGER_TIME_END,
    TRIGGER_TIME_START, TRIGGER_TYPES,
};
use crate::{
    http::{
        answer::{Answer, Outcome},
        call::{Call, read_json},
        refusal::Refusal,
        route::{Route, Verb, run},
    },
    limit,
};

const TAG: &str = "executions";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/applications/{application}/pipelines",
        "applicationExecutions",
        run!(of_application),
    )
    .about(
        TAG,
        "The newest executions of each pipeline of an application, by rising start time.",
    )
    .query(&[&LIMIT, &STATUSES, &EXPAND, &PIPELINE_NAME_FILTER])
    .json("Execution[]"),
    Route::new(Verb::Get, "/executions", "executions", run!(by_ids))
        .about(
            TAG,
            "Executions by their ids, or the newest of each named pipeline.",
        )
        .query(&[
            &PIPELINE_CONFIG_IDS,
            &EXECUTION_IDS,
            &LIMIT,
            &STATUSES,
            &EXPAND,
        ])
        .json("Execution[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/executions/search",
        "searchExecutions",
        run!(search),
    )
    .about(
        TAG,
        "Executions of an application (`*`: of all) by their trigger, newest first.",
    )
    .query(&[
        &TRIGGER_TYPES,
        &PIPELINE_NAME,
        &EVENT_ID,
        &TRIGGER,
        &TRIGGER_TIME_START,
        &TRIGGER_TIME_END,
        &STATUSES,
        &START_INDEX,
        &SIZE,
        &REVERSE,
        &EXPAND,
    ])
    .json("Execution[]"),
];

async fn of_application(call: Call) -> Outcome {
    // As in Spinnaker, `limit=0` means the default here, and nothing in `/executions`.
    let limit = call
        .query
        .number(&LIMIT, limit::PAGE_SIZE_MAX)?
        .filter(|limit| *limit > 0);
    let filter = ExecutionFilter {
        application: Some(call.part("application")),
        statuses: call.query.statuses(&STATUSES)?,
        pipeline_name_filter: call.query.text(&PIPELINE_NAME_FILTER).map(str::to_owned),
        ..ExecutionFilter::default()
    };
    let list = ListExecutions {
        filter,
        limit_per_config: Some(limit.unwrap_or(limit::EXECUTIONS_PER_PIPELINE)),
        expand: call.query.flag(&EXPAND)?.unwrap_or(true),
        ..ListExecutions::default()
    };
    let mut found = fetch(&call, list).await?;
    found.sort_by(|a, b| {
        let start = |e: &Execution| e.start_time.unwrap_or_default();
        start(a).cmp(&start(b)).then_with(|| b.id.cmp(&a.id))
    });
    Answer::json(&found)
}

pub(super) async fn by_ids(call: Call) -> Outcome {
    let pipeline_config_ids = call.query.list(&PIPELINE_CONFIG_IDS)?;
    let execution_ids = call.query.list(&EXECUTION_IDS)?;
    let statuses = call.query.statuses(&STATUSES)?;
    let limit = call.query.number(&LIMIT, limit::PAGE_SIZE_MAX)?;
    let expand = call.query.flag(&EXPAND)?.unwrap_or(true);
    let nothing_asked = pipeline_config_ids.is_empty() && execution_ids.is_empty();
    if nothing_asked || limit == Some(0) {
        return Answer::json(&[(); 0]);
    }
    let by_config = execution_ids.is_empty();
    let filter = ExecutionFilter {
        pipeline_config_ids,
        execution_ids,
        statuses,
        ..Default::default()
    };
    let list = ListExecutions {
        filter,
        limit_per_config: by_config.then(|| limit.unwrap_or(limit::EXECUTIONS_BY_CONFIG)),
        expand,
        ..ListExecutions::default()
    };
    Answer::json(&fetch(&call, list).await?)
}

async fn search(call: Call) -> Outcome {
    let query = &call.query;
    let size = query.number(&SIZE, limit::PAGE_SIZE_MAX)?;
    if size == Some(0) {
        return Err(SIZE.refuse("must be greater than 0"));
    }
    let text = |param| query.text(param).map(str::to_owned);
    let filter = ExecutionFilter {
        application: Some(call.part("application")).filter(|name| name != "*"),
        statuses: query.statuses(&STATUSES)?,
        trigger_types: query.list(&TRIGGER_TYPES)?,
        pipeline_name: text(&PIPELINE_NAME),
        event_id: text(&EVENT_ID),
        trigger_time_start: query.time(&TRIGGER_TIME_START)?,
        trigger_time_end: query.time(&TRIGGER_TIME_END)?,
        trigger: query.text(&TRIGGER).map(read_trigger).transpose()?,
        ..ExecutionFilter::default()
    };
    let list = ListExecutions {
        filter,
        offset: query.number(&START_INDEX, u32::MAX)?.unwrap_or(0),
        limit: Some(size.unwrap_or(10)),
        expand: query.flag(&EXPAND)?.unwrap_or(false),
        ..ListExecutions::default()
    };
    let mut found = fetch(&call, list).await?;
    if query.flag(&REVERSE)?.unwrap_or(false) {
        found.reverse();
    }
    Answer::json(&found)
}

fn read_trigger(encoded: &str) -> Result<serde_json::Value, Refusal> {
    let decoded = STANDARD
        .decode(encoded)
        .or_else(|_| URL_SAFE.decode(encoded));
    let decoded = decoded.map_err(|e| TRIGGER.refuse(&format!("is not base64: {e}")))?;
    let trigger: kork_model::Context = read_json(&decoded)
        .map_err(|refusal| TRIGGER.refuse(&format!("is wrong: {}", refusal.problem().message())))?;
    Ok(trigger.into())
}

/// One execution of a kind; the other kind is not found under this address.
pub(super) async fn of_kind(
    call: &Call,
    id: String,
    kind: ExecutionType,
) -> Result<Execution, Refusal> {
    let execution = call.ask(&GetExecution { id: id.clone() }).await?;
    if execution.kind == kind {
        return Ok(execution);
    }
    let what = match kind {
        ExecutionType::Pipeline => "Pipeline",
        ExecutionType::Orchestration => "Task",
    };
    Err(Refusal::not_found(format!("{what} not found (id: {id})")))
}

/// A list of executions. When it does not fit into one message of the bus it is fetched in pages,
/// which are halved until they fit.
pub(super) async fn fetch(call: &Call, list: ListExecutions) -> Result<Vec<Execution>, Refusal> {
    match call.ask(&list).await {
        Err(refusal) if refusal.problem().kind == Kind::TooLarge => {}
        other => return other,
    }
    let wanted = list.limit.unwrap_or(limit::PAGE_SIZE_MAX) as usize;
    let mut size = limit::EXECUTIONS_PAGE;
    let mut found: Vec<Execution> = Vec::new();
    while found.len() < wanted {
        let left = (wanted - found.len()) as u32;
        let page = ListExecutions {
            offset: list.offset + found.len() as u32,
            limit: Some(size.min(left)),
            ..list.clone()
        };
        match call.ask(&page).await {
            Ok(page) if page.is_empty() => break,
            Ok(page) => found.extend(page),
            Err(refusal) if refusal.problem().kind == Kind::TooLarge && size > 1 => size /= 2,
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(found)
}
