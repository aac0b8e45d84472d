//! Search: a case-insensitive look at names.

use kork_model::{
    Context,
    api::{
        clouddriver::{ListLoadBalancers, ListServerGroups},
        front50::{ListApplications, ListPipelines, ListProjects},
    },
};
use serde_json::{Value, json};

use super::param::{ALLOW_SHORT_QUERY, PAGE, PAGE_SIZE, QUERY, TYPE};
use crate::{
    http::{
        answer::{Answer, Outcome},
        call::Call,
        refusal::Refusal,
        route::{Route, Verb, run},
    },
    limit,
};

/// Shortest text that is looked for unless the caller insists.
const QUERY_CHARS_MIN: usize = 3;
/// Results on a page when the caller names no size.
const PAGE_RESULTS: u32 = 100;

pub(crate) const ROUTES: &[Route] = &[Route::new(Verb::Get, "/search", "search", run!(search))
    .about(
        "search",
        "Things whose name contains a text, any case: one page, or an empty list.",
    )
    .query(&[&QUERY, &TYPE, &PAGE_SIZE, &PAGE, &ALLOW_SHORT_QUERY])
    .json("SearchPage[]")];

async fn search(call: Call) -> Outcome {
    let kind = call.query.required(&TYPE)?.to_owned();
    let text = call
        .query
        .text(&QUERY)
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let size = call
        .query
        .number(&PAGE_SIZE, limit::PAGE_SIZE_MAX)?
        .unwrap_or(PAGE_RESULTS);
    let page = call.query.number(&PAGE, u32::MAX)?.unwrap_or(1).max(1);
    let short = call.query.flag(&ALLOW_SHORT_QUERY)?.unwrap_or(false);
    if text.is_empty() || (text.chars().count() < QUERY_CHARS_MIN && !short) {
        return Answer::json(&json!([]));
    }
    let mut found: Vec<Value> = candidates(&call, &kind)
        .await?
        .into_iter()
        .filter(|candidate| name(candidate).to_lowercase().contains(&text))
        .map(|candidate| result(&kind, &candidate))
        .collect();
    let total = found.len();
    if total == 0 {
        return Answer::json(&json!([]));
    }
    let skipped = (page as usize - 1).saturating_mul(size as usize).min(total);
    found.drain(..skipped);
    found.truncate(size as usize);
    Answer::json(&json!([{
        "query": text,
        "pageNumber": page,
        "pageSize": size,
        "platform": "gennaker",
        "totalMatches": total,
        "results": found,
    }]))
}

async fn candidates(call: &Call, kind: &str) -> Result<Vec<Context>, Refusal> {
    match kind {
        "applications" => call.ask(&ListApplications {}).await,
        "pipelines" => call.ask(&ListPipelines::default()).await,
        "projects" => call.ask(&ListProjects {}).await,
        "serverGroups" => {
            call.ask(&ListServerGroups {
                application: String::new(),
            })
            .await
        }
        "loadBalancers" => {
            call.ask(&ListLoadBalancers {
                application: String::new(),
            })
            .await
        }
        _ => Ok(Vec::new()),
    }
}

fn name(candidate: &Context) -> &str {
    candidate
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn result(kind: &str, candidate: &Context) -> Value {
    let copied = [
        "id",
        "name",
        "application",
        "account",
        "region",
        "cluster",
        "email",
        "provider",
    ];
    let mut result: Context = copied
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), candidate.get(*key)?.clone())))
        .collect();
    result.insert("type".to_owned(), kind.into());
    let named = name(candidate);
    match kind {
        "applications" => {
            let lower = named.to_lowercase();
            result.insert("application".to_owned(), lower.clone().into());
            result.insert("name".to_owned(), lower.into());
        }
        "serverGroups" => {
            result.insert("serverGroup".to_owned(), named.into());
        }
        "loadBalancers" => {
            result.insert("loadBalancer".to_owned(), named.into());
        }
        _ => {}
    }
    result.into()
}
