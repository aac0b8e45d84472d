//! Executions: lists and searches.

use std::{cmp::Reverse, collections::VecDeque, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use kork_model::{
    Execution, ExecutionType, Kind, Shown, Timestamp,
    api::orca::{ExecutionFilter, GetExecution, ListExecutions},
};
use serde::Deserialize;

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
    let gate = Arc::clone(&call.gate);
    gate.asked.once(call.question(), listed(call)).await
}

async fn listed(call: Call) -> Outcome {
    let limit = per_pipeline(&call)?;
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
    found.sort_by_cached_key(by_start);
    Answer::texts(found.iter().map(Shown::text))
}

/// How many of each pipeline. As in Spinnaker, `limit=0` is no limit of its own but the default.
fn per_pipeline(call: &Call) -> Result<Option<u32>, Refusal> {
    let limit = call.query.number(&LIMIT, limit::PAGE_SIZE_MAX)?;
    Ok(limit.filter(|limit| *limit > 0))
}

/// The order of lists: what has not started first, then by rising start time.
pub(super) fn by_start(shown: &Shown) -> (Timestamp, Reverse<String>) {
    let head = Head::of(shown);
    (head.start_time.unwrap_or_default(), Reverse(head.id))
}

/// What lists are ordered by.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Head {
    id: String,
    start_time: Option<Timestamp>,
}

impl Head {
    fn of(shown: &Shown) -> Self {
        // Every execution has these two in this shape, or not at all.
        shown.read().unwrap_or_default()
    }
}

pub(super) async fn by_ids(call: Call) -> Outcome {
    let pipeline_config_ids = call.query.list(&PIPELINE_CONFIG_IDS)?;
    let execution_ids = call.query.list(&EXECUTION_IDS)?;
    let statuses = call.query.statuses(&STATUSES)?;
    let limit = per_pipeline(&call)?;
    let expand = call.query.flag(&EXPAND)?.unwrap_or(true);
    match (pipeline_config_ids.is_empty(), execution_ids.is_empty()) {
        (true, true) => return Answer::json(&[(); 0]),
        (false, false) => {
            let detail = "Only pipelineConfigIds OR executionIds can be specified";
            return Err(Refusal::invalid("GATE-0008", detail).field("?executionIds", detail));
        }
        (true, false) | (false, true) => {}
    }
    // Whoever names executions wants these, whatever their status.
    let by_config = execution_ids.is_empty();
    let filter = ExecutionFilter {
        pipeline_config_ids,
        execution_ids: execution_ids.clone(),
        statuses: if by_config { statuses } else { Vec::new() },
        ..Default::default()
    };
    let list = ListExecutions {
        filter,
        limit_per_config: by_config.then(|| limit.unwrap_or(limit::EXECUTIONS_BY_CONFIG)),
        expand,
        ..ListExecutions::default()
    };
    let mut found = fetch(&call, list).await?;
    if by_config {
        found.sort_by_cached_key(by_start);
    } else {
        found.sort_by_cached_key(|shown| {
            let head = Head::of(shown);
            execution_ids.iter().position(|id| *id == head.id)
        });
    }
    Answer::texts(found.iter().map(Shown::text))
}

async fn search(call: Call) -> Outcome {
    let query = &call.query;
    let size = query.number(&SIZE, limit::PAGE_SIZE_MAX)?.unwrap_or(10);
    if size == 0 {
        return Err(SIZE.refuse("must be greater than 0"));
    }
    let offset = query.number(&START_INDEX, u32::MAX)?.unwrap_or(0);
    let list = ListExecutions {
        filter: searched(&call)?,
        offset,
        limit: Some(size),
        expand: query.flag(&EXPAND)?.unwrap_or(false),
        ..ListExecutions::default()
    };
    let oldest_first = query.flag(&REVERSE)?.unwrap_or(false);
    let found = if oldest_first {
        oldest(&call, list, offset as usize, size as usize).await?
    } else {
        fetch(&call, list).await?
    };
    Answer::texts(found.iter().map(Shown::text))
}

/// What a search is for.
fn searched(call: &Call) -> Result<ExecutionFilter, Refusal> {
    let query = &call.query;
    let text = |param| query.text(param).map(str::to_owned);
    let (start, end) = (
        query.time(&TRIGGER_TIME_START)?,
        query.time(&TRIGGER_TIME_END)?,
    );
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(TRIGGER_TIME_START.refuse("must not be after triggerTimeEndBoundary"));
    }
    let mut trigger_types = query.list(&TRIGGER_TYPES)?;
    if trigger_types == ["*"] {
        trigger_types.clear();
    }
    Ok(ExecutionFilter {
        application: Some(call.part("application")).filter(|name| name != "*"),
        statuses: query.statuses(&STATUSES)?,
        trigger_types,
        pipeline_name: text(&PIPELINE_NAME),
        event_id: text(&EVENT_ID),
        trigger_time_start: start,
        trigger_time_end: end,
        trigger: query.text(&TRIGGER).map(read_trigger).transpose()?,
        ..ExecutionFilter::default()
    })
}

/// A page counted from the oldest match. Lists come newest first, so all pages are read, and only
/// the executions that can still be in the answer are kept.
async fn oldest(
    call: &Call,
    list: ListExecutions,
    offset: usize,
    size: usize,
) -> Result<Vec<Shown>, Refusal> {
    let mut last: VecDeque<Shown> = VecDeque::new();
    let mut read = 0_usize;
    loop {
        let page = ListExecutions {
            offset: read as u32,
            limit: Some(limit::EXECUTIONS_PAGE),
            ..list.clone()
        };
        let page = fetch(call, page).await?;
        if page.is_empty() {
            break;
        }
        read += page.len();
        if read > limit::SEARCHED_MAX {
            let most = limit::SEARCHED_MAX;
            let detail = format!("more than {most} executions match");
            return Err(REVERSE.refuse(&format!("cannot be followed: {detail}; narrow the search")));
        }
        last.extend(page);
        let surplus = last.len().saturating_sub(offset.saturating_add(size));
        last.drain(..surplus);
    }
    Ok(last.into_iter().rev().skip(offset).take(size).collect())
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
pub(super) async fn fetch(call: &Call, list: ListExecutions) -> Result<Vec<Shown>, Refusal> {
    match call.ask(&list).await {
        Err(refusal) if refusal.problem().kind == Kind::TooLarge => {}
        other => return other,
    }
    let wanted = list.limit.unwrap_or(limit::PAGE_SIZE_MAX) as usize;
    let mut size = limit::EXECUTIONS_PAGE;
    let mut found: Vec<Shown> = Vec::new();
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
