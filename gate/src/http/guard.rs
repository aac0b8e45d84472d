//! What protects a server without login from the browser beside it.
//!
//! Any page may make a browser send requests to loopback. Two rules stop that: the `Host` header
//! must name this machine (a rebound DNS name does not), and a request that changes something must
//! not come from a page of another origin unless that origin is configured.

use std::net::IpAddr;

use actix_web::http::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};
use kork_model::{Kind, Problem};

use super::refusal::Refusal;
use crate::config::Config;

/// Headers that a page of an allowed origin may send, as Deck does.
const ALLOWED_HEADERS: &str = "x-requested-with, content-type, authorization, X-RateLimit-App, \
     X-Spinnaker-Priority, Last-Event-ID, Idempotency-Key";
/// Methods that a page of an allowed origin may use.
const ALLOWED_METHODS: &str = "POST, GET, OPTIONS, DELETE, PUT, PATCH";
/// Headers of an answer that such a page may read.
const EXPOSED_HEADERS: &str = "X-AUTH-REDIRECT-URL, X-SPINNAKER-REQUEST-ID";
/// Seconds for which a browser may remember the answer to a preflight request.
const PREFLIGHT_AGE_S: &str = "3600";

/// From where a request comes, as far as a browser says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Not a browser, or a page of this server.
    Own,
    /// A page of a configured origin.
    Allowed(String),
    /// Any other page.
    Foreign(String),
}

/// Refuses a request that was sent to another name than this machine's.
pub(crate) fn check_host(headers: &HeaderMap, config: &Config) -> Result<(), Refusal> {
    let Some(host) = headers.get(header::HOST) else {
        return Ok(());
    };
    let text = host.to_str().unwrap_or_default();
    let name = without_port(text);
    let known = is_loopback_name(name)
        || config
            .allowed_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name));
    if known {
        return Ok(());
    }
    let detail = format!(
        "this gate is for callers on its own machine, and the request was sent to {text:?}; \
         use localhost, or add the name to allowedHosts"
    );
    Err(Problem::new("GATE-0010", Kind::Denied, detail).into())
}

/// From where a request comes.
pub(crate) fn source(headers: &HeaderMap, config: &Config) -> Source {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(value) = headers.get(header::ORIGIN) {
        let Ok(origin) = value.to_str() else {
            return Source::Foreign("unreadable".to_owned());
        };
        if config
            .cors_origins
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin))
        {
            return Source::Allowed(origin.to_owned());
        }
        let own = text(header::HOST)
            .is_some_and(|host| origin.eq_ignore_ascii_case(&format!("http://{host}")));
        return if own {
            Source::Own
        } else {
            Source::Foreign(origin.to_owned())
        };
    }
    match headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok())
    {
        Some(site @ ("cross-site" | "same-site")) => Source::Foreign(site.to_owned()),
        _ => Source::Own,
    }
}

/// Refuses a request that changes something and comes from a page of a foreign origin.
pub(crate) fn check_source(method: &Method, source: &Source) -> Result<(), Refusal> {
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match source {
        Source::Foreign(origin) if changes => {
            let detail = format!(
                "a page of {origin:?} may not change anything here; add its origin to corsOrigins"
            );
            Err(Problem::new("GATE-0011", Kind::Denied, detail).into())
        }
        Source::Own | Source::Allowed(_) | Source::Foreign(_) => Ok(()),
    }
}

/// True for the question that a browser asks before it lets a page call.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets a page of an allowed origin read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, source: &Source, preflight: bool) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Source::Allowed(origin) = source else {
        return;
    };
    let Ok(origin) = HeaderValue::from_str(origin) else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let fixed = |text| HeaderValue::from_static(text);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, fixed("true"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        fixed(EXPOSED_HEADERS),
    );
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed(ALLOWED_METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fixed(ALLOWED_HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, fixed(PREFLIGHT_AGE_S));
    }
}

/// True for names and addresses that always mean this machine.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let bare = name
        .strip_prefix('[')
        .and_then(|n| n.strip_suffix(']'))
        .unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let lower = name.to_ascii_lowercase();
    lower == "localhost" || lower.ends_with(".localhost")
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = header::HeaderName::from_static(name);
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        let config = Config {
            allowed_hosts: vec!["Gate.lan".to_owned()],
            ..Config::default()
        };
        for (host, good) in [
            ("localhost:8084", true),
            ("LOCALHOST", true),
            ("gennaker.localhost:1", true),
            ("127.0.0.1:8084", true),
            ("127.9.9.9", true),
            ("[::1]:8084", true),
            ("gate.lan:80", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:8084", false),
            ("192.168.1.7", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(
                check_host(&headers(&[("host", host)]), &config).is_ok(),
                good,
                "{host:?}"
            );
        }
        assert!(check_host(&HeaderMap::new(), &config).is_ok());
    }

    #[test]
    fn a_foreign_page_reads_at_most() {
        let config = Config::default();
        for (given, expected) in [
            (headers(&[]), Source::Own),
            (
                headers(&[("origin", "http://localhost:9000")]),
                Source::Allowed("http://localhost:9000".to_owned()),
            ),
            (
                headers(&[
                    ("origin", "http://localhost:8084"),
                    ("host", "localhost:8084"),
                ]),
                Source::Own,
            ),
            (
                headers(&[("origin", "null")]),
                Source::Foreign("null".to_owned()),
            ),
            (
                headers(&[
                    ("origin", "http://localhost:9001"),
                    ("host", "localhost:8084"),
                ]),
                Source::Foreign("http://localhost:9001".to_owned()),
            ),
            (
                headers(&[("sec-fetch-site", "same-site")]),
                Source::Foreign("same-site".to_owned()),
            ),
            (headers(&[("sec-fetch-site", "same-origin")]), Source::Own),
        ] {
            let source = source(&given, &config);
            assert_eq!(source, expected);
            assert!(check_source(&Method::GET, &source).is_ok());
            let foreign = matches!(source, Source::Foreign(_));
            assert_eq!(check_source(&Method::PATCH, &source).is_err(), foreign);
        }
    }
}
