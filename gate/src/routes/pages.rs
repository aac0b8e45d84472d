//! Pages for people: the API, and the error codes.

use kork::problem;
use serde_json::{Value, json};

use crate::{
    http::{
        answer::{Answer, Outcome},
        call::Call,
        negotiate,
        refusal::Refusal,
        route::{Gives, Route, Verb, run},
    },
    limit, openapi,
};

const TAG: &str = "about this API";
const HTML: &str = "text/html;charset=UTF-8";
const MARKDOWN: &str = "text/markdown;charset=UTF-8";
const PAGES: Gives = Gives::Media(&["text/markdown", "text/html", "application/json"]);

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/", "root", run!(root))
        .about(TAG, "Leads to /docs.")
        .gives(Gives::Redirect),
    Route::new(Verb::Get, "/docs", "docs", run!(docs))
        .about(TAG, "This API as a page.")
        .gives(Gives::Media(&["text/html"])),
    Route::new(Verb::Get, "/openapi.json", "openapi", run!(document))
        .about(TAG, "This API as an OpenAPI 3.1 document.")
        .json("Object"),
    Route::new(Verb::Get, "/errors", "errors", run!(errors))
        .about(
            TAG,
            "Every error code; JSON, Markdown or HTML by the Accept header.",
        )
        .gives(PAGES),
    Route::new(Verb::Get, "/errors/{code}", "error", run!(error))
        .about(
            TAG,
            "What an error code means and what to do; Markdown, HTML or JSON.",
        )
        .gives(PAGES),
];

async fn root(_: Call) -> Outcome {
    std::future::ready(Answer::redirect("/docs")).await
}

async fn docs(call: Call) -> Outcome {
    std::future::ready(Answer::of_type(HTML, call.gate.page.clone())).await
}

async fn document(call: Call) -> Outcome {
    let document = call.gate.document.clone();
    std::future::ready(Answer::of_type(crate::http::answer::JSON, document)).await
}

async fn errors(call: Call) -> Outcome {
    let lines = problem::all()
        .iter()
        .map(|e| format!("- [{0}](/errors/{0}) {1}", e.code, e.title));
    let text = format!("# Errors\n\n{}\n", lines.collect::<Vec<_>>().join("\n"));
    let entries: Vec<Value> = problem::all()
        .iter()
        .map(|e| json!({"code": e.code, "title": e.title, "page": format!("/errors/{}", e.code)}))
        .collect();
    std::future::ready(shown(&call, "Errors", &text, &json!(entries))).await
}

async fn error(call: Call) -> Outcome {
    let wanted = call.part("code").to_ascii_uppercase();
    let Some(found) = problem::lookup(&wanted) else {
        let short: String = wanted.chars().take(limit::ERROR_CODE_BYTES_MAX).collect();
        let detail = format!("there is no error {short}; /errors lists all");
        return std::future::ready(Err(Refusal::not_found(detail))).await;
    };
    let body = json!({"code": found.code, "title": found.title, "markdown": found.page});
    shown(
        &call,
        &format!("{}: {}", found.code, found.title),
        found.page,
        &body,
    )
}

/// HTML for browsers, JSON for who asks for JSON alone, Markdown for all others.
fn shown(call: &Call, title: &str, markdown: &str, json: &Value) -> Outcome {
    let accept = call.header("accept").unwrap_or("*/*");
    let named = |media: &str| accept.to_ascii_lowercase().contains(media);
    if named("text/html") {
        Answer::of_type(HTML, openapi::error_page(title, markdown))
    } else if named("json")
        && !named("markdown")
        && negotiate::accepts(Some(accept), "application/json")
    {
        Answer::json(json)
    } else {
        Answer::of_type(MARKDOWN, markdown.to_owned())
    }
}
