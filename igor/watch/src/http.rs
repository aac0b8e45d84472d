//! The one HTTP client of registries and git servers: redirects, bounded bodies, what a status means.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{
    Response, StatusCode, Url,
    header::{DATE, HeaderMap, RETRY_AFTER},
    redirect,
};

use crate::Error;

/// Until a connection is there, milliseconds.
const CONNECT_TIMEOUT_MS: u64 = 10_000;
/// Until the whole answer is there, milliseconds.
const CALL_TIMEOUT_MS: u64 = 60_000;
const REDIRECTS_MAX: usize = 5;
/// Characters of an answer that are quoted in an error.
const QUOTED_MAX: usize = 300;
/// Bytes of an answer with an error that are read.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// A client for any number of registries and git servers. It never follows a redirect from https to http,
/// and takes credentials off when it leaves a host.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    let policy = redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
        }
        let from = attempt.previous().last().map(Url::scheme);
        match (from, attempt.url().scheme()) {
            (_, "https") | (Some("http"), "http") => attempt.follow(),
            (_, to) => {
                let reason = format!("a redirect to {to} is not followed");
                attempt.error(reason)
            }
        }
    });
    kork_http::client()
        .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
        .timeout(Duration::from_millis(CALL_TIMEOUT_MS))
        .redirect(policy)
        .user_agent(concat!("gennaker/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The body, unless it has more than `bytes_max` bytes.
pub(crate) async fn body(
    mut response: Response,
    what: &str,
    bytes_max: usize,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|e| unreachable(what, e))?;
        let Some(chunk) = chunk else {
            return Ok(bytes);
        };
        if bytes.len() + chunk.len() > bytes_max {
            let reason = format!("it has more than {bytes_max} bytes");
            return Err(Error::answer(what, reason));
        }
        bytes.extend_from_slice(&chunk);
    }
}

pub(crate) fn unreachable(what: &str, source: reqwest::Error) -> Error {
    Error::Unreachable {
        what: what.to_owned(),
        // Links of redirects may hold signatures.
        source: source.without_url(),
    }
}

/// The answer when it is a good one, else what its status means; `explain` finds the server's words in a body.
pub(crate) async fn good(
    response: Response,
    what: &str,
    explain: fn(&[u8]) -> Option<String>,
) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after_ms = retry_after_ms(response.headers());
    let is_busy = status == StatusCode::SERVICE_UNAVAILABLE && retry_after_ms.is_some();
    if status == StatusCode::TOO_MANY_REQUESTS || is_busy {
        return Err(Error::Throttled {
            what: what.to_owned(),
            retry_after_ms,
        });
    }
    // What an error says is good to have, not needed.
    let text = body(response, what, ERROR_BYTES_MAX)
        .await
        .unwrap_or_default();
    let reason = explain(&text).unwrap_or_else(|| quoted(&text, status));
    let what = what.to_owned();
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied { what, reason },
        StatusCode::NOT_FOUND => Error::NotFound { what, reason },
        _ if status.is_server_error() => Error::Failed {
            what,
            status: status.as_u16(),
            reason,
        },
        _ => Error::answer(what, format!("status {}: {reason}", status.as_u16())),
    })
}

/// Milliseconds of `Retry-After`, in seconds or as a date of HTTP, by the clock of the server.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text| DateTimeParser::new().parse_timestamp(text).ok();
    let pause = text(RETRY_AFTER)?;
    if let Ok(seconds) = pause.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let then = date(pause)?.as_millisecond();
    let now = date(text(DATE)?)?.as_millisecond();
    u64::try_from(then.saturating_sub(now).max(0)).ok()
}

/// The start of a text in one line, without what a terminal would obey.
pub(crate) fn quoted(body: &[u8], status: StatusCode) -> String {
    let text = one_line(&String::from_utf8_lossy(body));
    if text.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("no reason")
            .to_lowercase()
    } else {
        text
    }
}

pub(crate) fn one_line(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(QUOTED_MAX).collect()
}

/// Whether a URL of `scheme` and `host` may be called, where http is only for this machine or what is allowed.
pub(crate) fn check_scheme(url: &Url, allow_http: bool) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(url) => Ok(()),
        "http" => Err(
            "it is plain http, which shows passwords to the network: use https, or allow it with \
                       allowHttp: true"
                .to_owned(),
        ),
        other => Err(format!("{other} is not spoken here, use https")),
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// `host[:port]` as images and repositories are named by it: without the port that goes with the scheme.
pub(crate) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waits(text: &[u8]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(text) {
            headers.insert(RETRY_AFTER, value);
        }
        let now = reqwest::header::HeaderValue::from_static("Thu, 01 Jan 1970 00:16:40 GMT");
        headers.insert(DATE, now);
        retry_after_ms(&headers)
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120_000)),
            (" 5 ", Some(5_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("Thu, 01 Jan 1970 00:17:00 GMT", Some(20_000)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(waits(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for (url, fine) in [
            ("https://registry.example", true),
            ("http://registry.example", false),
            ("http://10.0.0.1:5000", false),
            ("http://localhost:5000", true),
            ("http://127.0.0.2", true),
            ("http://[::1]:5000", true),
            ("http://localhost.example", false),
            ("ftp://localhost", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(check_scheme(&url, false).is_ok(), fine, "{url}");
        }
        let open = Url::parse("http://registry.example").unwrap();
        assert!(check_scheme(&open, true).is_ok());
    }

    proptest! {
        #[test]
        fn any_header_and_body_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            waits(&bytes);
            let line = quoted(&bytes, StatusCode::BAD_GATEWAY);
            prop_assert!(!line.is_empty() && line.chars().count() <= QUOTED_MAX);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
