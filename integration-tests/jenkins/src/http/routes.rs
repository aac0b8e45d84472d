//! The routes of the Remote API, and those of the double itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::{Method, header::HeaderValue};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Ask, Caller, Inner, Reply, Rule, Shared, Stats, is_allowed, page, reply};
use crate::{
    shown::Shown,
    state::{Accepted, Cancelled, Force, Refusal},
    tree::Tree,
};

/// Deepest path that is looked at.
const SEGMENTS_MAX: usize = 64;

/// Routes of the Remote API.
pub(super) fn route(inner: &mut Inner, base: &str, caller: &Caller, ask: &Ask) -> Reply {
    let Some(segments) = segments(&ask.path) else {
        return page(404, "Not Found");
    };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (path, rest) = split_job(&segments);
    let shown = Shown {
        state: &inner.state,
        base,
    };
    match (path.is_empty(), rest) {
        (true, ["api", "json"]) => json_reply(ask, shown.root()),
        (true, ["crumbIssuer", "api", "json"]) => crumb(inner, caller),
        (true, ["queue", "api", "json"]) => json_reply(ask, shown.queue()),
        (true, ["queue", "item", id, "api", "json"]) => {
            let item = id
                .parse()
                .ok()
                .and_then(|id: u64| inner.state.items.get(&id));
            let item = item.filter(|i| inner.state.job(&i.path).is_some());
            item.map_or_else(missing, |item| json_reply(ask, shown.item(item)))
        }
        (true, ["queue", "cancelItem"]) => post(ask, caller, || cancel(inner, ask)),
        // A page is below its own address.
        (false, []) if !ask.path.ends_with('/') => moved(301, &format!("{}/", ask.path)),
        (false, ["api", "json"]) => match inner.state.job(&path) {
            Some(job) => json_reply(ask, shown.job(&path, job)),
            None => missing(),
        },
        (false, ["build"]) => post(ask, caller, || trigger(inner, base, &path, ask, false)),
        (false, ["buildWithParameters"]) => {
            post(ask, caller, || trigger(inner, base, &path, ask, true))
        }
        (false, [number, rest @ ..]) => match number.parse() {
            Ok(number) => build(inner, base, caller, ask, (&path, number, rest)),
            Err(_) => missing(),
        },
        (true | false, _) => missing(),
    }
}

/// Routes of one build.
fn build(
    inner: &mut Inner,
    base: &str,
    caller: &Caller,
    ask: &Ask,
    (path, number, rest): (&[String], u64, &[&str]),
) -> Reply {
    let now_ms = inner.state.now_ms;
    let Some(build) = inner.state.build(path, number) else {
        return missing();
    };
    match rest {
        ["api", "json"] => json_reply(
            ask,
            Shown {
                state: &inner.state,
                base,
            }
            .build(build),
        ),
        ["logText", "progressiveText"] => progressive(ask, build.console(now_ms), !build.finalized),
        ["consoleText"] => reply(
            200,
            "text/plain;charset=UTF-8",
            build.console(now_ms).to_vec(),
        ),
        ["artifact", file @ ..] => {
            let file = build.script.artifacts.get(&file.join("/"));
            let file = file.filter(|_| build.end_ms.is_some());
            file.map_or_else(missing, |f| {
                reply(200, "application/octet-stream", f.clone())
            })
        }
        ["testReport", "api", "json"] => {
            match build.script.tests.filter(|_| build.end_ms.is_some()) {
                Some(t) => json_reply(
                    ask,
                    json!({
                        "_class": "hudson.tasks.junit.TestResult", "failCount": t.failed, "skipCount": t.skipped,
                        "passCount": t.total - t.failed - t.skipped, "duration": 1.5, "suites": [],
                    }),
                ),
                None => missing(),
            }
        }
        [how @ ("stop" | "term" | "kill")] => {
            let how = match *how {
                "stop" => Force::Stop,
                "term" => Force::Term,
                _ => Force::Kill,
            };
            post(ask, caller, || {
                inner.state.stop(path, number, how);
                moved(302, "..")
            })
        }
        ["submitDescription"] => post(ask, caller, || {
            if let Some(build) = inner.state.build_mut(path, number) {
                build.description = fields(ask).remove("description");
            }
            moved(302, "..")
        }),
        _ => missing(),
    }
}

fn trigger(inner: &mut Inner, base: &str, path: &[String], ask: &Ask, form: bool) -> Reply {
    let mut given = fields(ask);
    let delay = given.remove("delay").map(|d| delay_ms(&d));
    let asked = inner.state.trigger(path, form.then_some(&given), delay);
    match asked {
        Ok(Accepted { item, folded }) => {
            let status = if folded { 303 } else { 201 };
            moved(status, &format!("{base}queue/item/{item}/"))
        }
        Err(Refusal::NotFound) => missing(),
        Err(Refusal::Disabled) => page(409, "is not buildable"),
        Err(Refusal::Vetoed) => moved(302, "."),
        Err(refusal @ Refusal::NeedsForm) => page(400, &refusal.to_string()),
        Err(refusal @ (Refusal::NoParameters | Refusal::BadChoice)) => {
            page(500, &format!("Oops! {refusal} id=4711"))
        }
    }
}

/// `5sec` is five seconds, a bare number is milliseconds.
fn delay_ms(text: &str) -> u64 {
    let seconds = text
        .strip_suffix("secs")
        .or_else(|| text.strip_suffix("sec"));
    match seconds {
        Some(seconds) => seconds.trim().parse::<u64>().unwrap_or(0) * 1000,
        None => text.trim().parse::<u64>().unwrap_or(0) / 1000 * 1000,
    }
}

fn cancel(inner: &mut Inner, ask: &Ask) -> Reply {
    let id = fields(ask).get("id").and_then(|id| id.parse().ok());
    match inner.state.cancel_item(id.unwrap_or(0)) {
        Cancelled::Done => reply(204, "text/plain", ""),
        Cancelled::Unknown => missing(),
        Cancelled::Left => page(500, "Oops! A problem occurred while processing the request"),
        Cancelled::NotPossible => page(422, "Item could not be cancelled"),
    }
}

fn crumb(inner: &mut Inner, caller: &Caller) -> Reply {
    if !inner.csrf {
        return missing();
    }
    let session = inner.sessions.open(caller);
    let crumb = inner.sessions.crumb(&caller.name, &session);
    let body = json!({ "_class": "hudson.security.csrf.DefaultCrumbIssuer", "crumb": crumb, "crumbRequestField": "Jenkins-Crumb" });
    let mut reply = reply(200, "application/json;charset=utf-8", body.to_string());
    if let Ok(cookie) =
        format!("JSESSIONID.double={session}; Path=/; HttpOnly; SameSite=Lax").parse()
    {
        reply.headers_mut().append("Set-Cookie", cookie);
    }
    reply
}

fn progressive(ask: &Ask, log: &[u8], more: bool) -> Reply {
    let start = fields(ask)
        .get("start")
        .and_then(|s| s.parse::<i64>().ok())
        .unwrap_or(0);
    let len = log.len() as i64;
    // What lies behind the end starts over, and a negative start counts from the end.
    let from = if start < 0 {
        (len + start).max(0)
    } else if start > len {
        0
    } else {
        start
    };
    let mut reply = reply(
        200,
        "text/plain;charset=UTF-8",
        log[from as usize..].to_vec(),
    );
    let headers = reply.headers_mut();
    headers.insert("X-Text-Size", HeaderValue::from(len));
    if more {
        headers.insert("X-More-Data", HeaderValue::from_static("true"));
    }
    reply
}

/// Only POST, and only for who may build.
fn post(ask: &Ask, caller: &Caller, act: impl FnOnce() -> Reply) -> Reply {
    if ask.method != Method::POST {
        let mut reply = page(405, "Method Not Allowed");
        reply
            .headers_mut()
            .insert("Allow", HeaderValue::from_static("POST"));
        return reply;
    }
    if !is_allowed(caller) {
        return page(
            403,
            &format!("{} is missing the Job/Build permission", caller.name),
        );
    }
    act()
}

fn moved(status: u16, location: &str) -> Reply {
    let mut reply = reply(status, "text/plain", "");
    if let Ok(location) = location.parse() {
        reply.headers_mut().insert("Location", location);
    }
    reply
}

fn missing() -> Reply {
    page(404, "Not Found")
}

fn json_reply(ask: &Ask, value: Value) -> Reply {
    let value = match fields(ask).get("tree").map(|t| Tree::parse(t)) {
        None => value,
        Some(Ok(tree)) => tree.filter(value),
        Some(Err(error)) => return page(500, &error.to_string()),
    };
    reply(200, "application/json;charset=utf-8", value.to_string())
}

/// Fields of the query and of a form body.
fn fields(ask: &Ask) -> BTreeMap<String, String> {
    let query = form_urlencoded::parse(ask.query.as_bytes());
    let body: &Bytes = &ask.body;
    let all = query.chain(form_urlencoded::parse(body));
    all.map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

/// Names of a path, each decoded once.
fn segments(path: &str) -> Option<Vec<String>> {
    let raw = path.split('/').filter(|s| !s.is_empty());
    let names: Option<Vec<String>> = raw.map(decoded).collect();
    names.filter(|n| n.len() <= SEGMENTS_MAX)
}

/// Percent-decoded; `None` when it is not UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let hex = rest.get(..2).and_then(|h| std::str::from_utf8(h).ok())?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The job of `job/a/job/b/rest`, and the rest.
fn split_job<'a>(mut segments: &'a [&'a str]) -> (Vec<String>, &'a [&'a str]) {
    let mut path = Vec::new();
    while let ["job", name, rest @ ..] = segments {
        path.push((*name).to_owned());
        segments = rest;
    }
    (path, segments)
}

/// Routes of the double itself.
pub(super) fn admin(shared: &Shared, ask: &Ask) -> Reply {
    let fields = fields(ask);
    let number = |name: &str| fields.get(name).and_then(|n| n.parse::<u64>().ok());
    let mut inner = shared.lock();
    match (ask.method.as_str(), ask.path.as_str()) {
        ("POST", "/double/advance") => match number("ms") {
            Some(ms) => {
                inner.state.advance(ms);
                shared.happened.notify_one();
                reply(
                    200,
                    "application/json",
                    json!({ "now": inner.state.now_ms }).to_string(),
                )
            }
            None => page(400, "ms is missing"),
        },
        ("POST", "/double/faults") => match serde_json::from_slice::<Vec<Rule>>(&ask.body) {
            Ok(rules) => {
                inner.rules = rules;
                reply(204, "text/plain", "")
            }
            Err(error) => page(400, &error.to_string()),
        },
        ("POST", "/double/restart") => {
            inner.sessions.restart();
            inner.ready_ms = inner.state.now_ms + number("ms").unwrap_or(0);
            reply(204, "text/plain", "")
        }
        ("GET", "/double/stats") => {
            let simultaneous_max = shared
                .simultaneous_max
                .load(std::sync::atomic::Ordering::SeqCst);
            let stats = Stats {
                simultaneous_max,
                ..inner.stats
            };
            reply(200, "application/json", json!(stats).to_string())
        }
        _ => missing(),
    }
}
