//! Pages for people: the API, and the error codes.

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
    let codes = catalogue();
    let list: String = codes
        .iter()
        .map(|(c, t, _)| format!("- [{c}](/errors/{c}) {t}\n"))
        .collect();
    let entries: Vec<Value> = codes
        .iter()
        .map(|(code, title, _)| {
            json!({"code": code, "title": title, "page": format!("/errors/{code}")})
        })
        .collect();
    let text = format!("# Errors\n\n{list}");
    std::future::ready(shown(&call, "Errors", &text, &json!(entries))).await
}

async fn error(call: Call) -> Outcome {
    let wanted = call.part("code").to_ascii_uppercase();
    let codes = catalogue();
    let found = codes.iter().find(|(code, ..)| *code == wanted);
    let Some((code, title, text)) = found else {
        let short: String = wanted.chars().take(limit::ERROR_CODE_BYTES_MAX).collect();
        let detail = format!("there is no error {short}; /errors lists all");
        return std::future::ready(Err(Refusal::not_found(detail))).await;
    };
    let body = json!({"code": code, "title": title, "markdown": text});
    shown(&call, &format!("{code}: {title}"), text, &body)
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

/// Code, title and page of every error.
fn catalogue() -> Vec<(String, String, &'static str)> {
    [
        include_str!("../../../kork/src/problem/pages/GATE-0001.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0002.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0003.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0004.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0005.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0006.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0007.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0008.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0009.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0010.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0011.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0012.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0013.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0014.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0015.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0016.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0017.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0018.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0019.md"),
        include_str!("../../../kork/src/problem/pages/GATE-0020.md"),
    ]
    .into_iter()
    .enumerate()
    .map(|(position, text): (usize, &'static str)| {
        let title = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ")
            .to_owned();
        (format!("GATE-{:04}", position + 1), title, text)
    })
    .collect()
}
