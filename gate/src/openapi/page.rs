//! Self-contained pages: the API by its document, and the page of an error code.

use std::fmt::Write;

use serde_json::Value;

const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--soft:#59636e;--line:#d1d9e0;--back:#fff;--code:#f3f5f7;--go:#0a58ca}\
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1;--line:#3d444d;--back:#0d1117;--code:#161b22;--go:#6ea8fe}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:68rem;padding:1.5rem;font:1rem/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}\
h1{font-size:1.6rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}a{color:var(--go)}\
code,pre{font:.9em ui-monospace,monospace;background:var(--code);border-radius:.25rem;padding:.1em .3em}\
input{width:100%;padding:.6rem;font:inherit;color:inherit;background:var(--code);border:1px solid var(--line);border-radius:.4rem}\
details{border-bottom:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer;display:grid;grid-template-columns:4.5rem 1fr;gap:.2rem .6rem;align-items:baseline}\
summary b{font:.8rem ui-monospace,monospace;text-align:center;border:1px solid var(--line);border-radius:.25rem}\
summary code{background:none;padding:0;overflow-wrap:anywhere}summary span{grid-column:2;color:var(--soft)}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line)}\
[hidden]{display:none}@media(max-width:40rem){body{padding:.8rem}}";

const SCRIPT: &str = "\
const box=document.querySelector('input');\
const find=()=>{const words=box.value.toLowerCase().split(/\\s+/);\
document.querySelectorAll('details').forEach(d=>{d.hidden=!words.every(w=>d.dataset.find.includes(w))});\
document.querySelectorAll('section').forEach(s=>{s.hidden=!s.querySelector('details:not([hidden])')})};\
box.addEventListener('input',find);find();\
const open=()=>{const d=document.getElementById(decodeURIComponent(location.hash.slice(1)));if(d){d.open=true;d.scrollIntoView()}};\
addEventListener('hashchange',open);open();";

/// Adds formatted text to a page.
macro_rules! add {
    ($page:expr, $($text:tt)*) => {
        $page.write_fmt(format_args!($($text)*)).expect("a String takes everything")
    };
}

/// Text for the inside of an element or an attribute in double quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn whole(title: &str, body: &str, script: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}<script>{script}</script>\
         </body></html>\n",
        escape(title)
    )
}

/// The page that shows the document.
pub(crate) fn page(document: &Value) -> String {
    let mut body = String::from(
        "<h1>Gennaker gate</h1><p>Spinnaker Gate's API, and a few paths of our own. The document: \
         <a href=\"/openapi.json\">/openapi.json</a>. Errors: <a href=\"/errors\">/errors</a>.</p>\
         <p><input type=\"search\" aria-label=\"Search\" placeholder=\"Search: path, method, words\" \
         autofocus></p>",
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let tag = tag["name"].as_str().unwrap_or_default();
        add!(body, "<section><h2>{}</h2>", escape(tag));
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag {
                    body.push_str(&operation_html(path, method, operation));
                }
            }
        }
        body.push_str("</section>");
    }
    body.push_str("<section><h2>Shapes</h2>");
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        body.push_str(&schema_html(name, schema));
    }
    body.push_str("</section>");
    whole("Gennaker gate: API", &body, SCRIPT)
}

fn operation_html(path: &str, method: &str, operation: &Value) -> String {
    let text = |key: &str| operation[key].as_str().unwrap_or_default();
    let (verb, summary, id) = (
        method.to_ascii_uppercase(),
        text("summary"),
        text("operationId"),
    );
    let find = format!("{verb} {path} {summary} {id}").to_lowercase();
    let mut html = format!(
        "<details id=\"{}\" data-find=\"{}\"><summary><b>{verb}</b><code>{}</code><span>{}</span>\
         </summary>",
        escape(id),
        escape(&find),
        escape(path),
        escape(summary)
    );
    let parameters = operation["parameters"]
        .as_array()
        .filter(|list| !list.is_empty());
    if let Some(parameters) = parameters {
        html.push_str("<table><tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr>");
        for parameter in parameters {
            let text = |key: &str| escape(parameter[key].as_str().unwrap_or_default());
            add!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                text("name"),
                text("in"),
                kind(&parameter["schema"]),
                text("description")
            );
        }
        html.push_str("</table>");
    }
    if let Some(body) = operation.get("requestBody") {
        let needed = if body["required"] == true {
            ""
        } else {
            " (optional)"
        };
        add!(html, "<p>Body{needed}: {}</p>", contents(&body["content"]));
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        if status != "default" {
            let what = contents(&response["content"]);
            let what = if what.is_empty() {
                "no body".to_owned()
            } else {
                what
            };
            add!(html, "<p>Answer <code>{status}</code>: {what}</p>");
        }
    }
    html.push_str("</details>");
    html
}

fn schema_html(name: &str, schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let find = format!("{name} {text}").to_lowercase();
    let mut html = format!(
        "<details id=\"{name}\" data-find=\"{}\"><summary><b>{{}}</b><code>{name}</code>\
         <span>{}</span></summary><table>",
        escape(&find),
        escape(text)
    );
    for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
        add!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(member),
            kind(schema),
            escape(schema["description"].as_str().unwrap_or_default())
        );
    }
    for value in schema["enum"].as_array().into_iter().flatten() {
        add!(
            html,
            "<tr><td><code>{}</code></td></tr>",
            value.as_str().unwrap_or("")
        );
    }
    html.push_str("</table></details>");
    html
}

fn contents(content: &Value) -> String {
    let shown = content
        .as_object()
        .into_iter()
        .flatten()
        .map(|(media, content)| {
            format!(
                "{} <code>{}</code>",
                kind(&content["schema"]),
                escape(media)
            )
        });
    shown.collect::<Vec<_>>().join(" or ")
}

fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

/// A page of the error catalogue: headings, paragraphs, lists and code of its Markdown.
pub(crate) fn error_page(title: &str, markdown: &str) -> String {
    let mut html = String::new();
    for block in markdown
        .split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
    {
        if let Some(heading) = block.strip_prefix("## ") {
            add!(html, "<h2>{}</h2>", inline(heading));
        } else if let Some(heading) = block.strip_prefix("# ") {
            add!(html, "<h1>{}</h1>", inline(heading));
        } else if block.starts_with("- ") {
            let items = block
                .split("\n- ")
                .map(|item| item.trim_start_matches("- "));
            let items: Vec<_> = items
                .map(|item| format!("<li>{}</li>", inline(item)))
                .collect();
            add!(html, "<ul>{}</ul>", items.concat());
        } else if let Some(code) = block
            .strip_prefix("```")
            .and_then(|b| b.strip_suffix("```"))
        {
            let code = code.split_once('\n').map_or("", |(_, code)| code);
            add!(html, "<pre>{}</pre>", escape(code));
        } else {
            add!(html, "<p>{}</p>", inline(block));
        }
    }
    html.push_str("<p><a href=\"/errors\">All errors</a></p>");
    whole(title, &html, "")
}

/// Code between backticks, and links `[text](/path)` to this server.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (position, part) in text.split('`').enumerate() {
        if position % 2 == 1 {
            add!(html, "<code>{}</code>", escape(part));
        } else {
            html.push_str(&links(part));
        }
    }
    html
}

fn links(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        html.push_str(&escape(before));
        let link = after.split_once("](").and_then(|(label, tail)| {
            let (target, tail) = tail.split_once(')')?;
            (target.starts_with('/') && !label.contains('[')).then_some((label, target, tail))
        });
        let Some((label, target, tail)) = link else {
            html.push('[');
            rest = after;
            continue;
        };
        add!(html, "<a href=\"{}\">{}</a>", escape(target), escape(label));
        rest = tail;
    }
    html.push_str(&escape(rest));
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_escape_and_load_nothing() {
        let html = error_page(
            "a <b>",
            "# T\n\n- one `<x>`\n- two\n\nsee [all](/errors) & [b]",
        );
        assert!(
            html.contains("<li>one <code>&lt;x&gt;</code></li><li>two</li>"),
            "{html}"
        );
        assert!(
            html.contains("see <a href=\"/errors\">all</a> &amp; [b]"),
            "{html}"
        );
        let page = page(&crate::openapi::document());
        for loaded in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(loaded), "{loaded}");
        }
    }
}
