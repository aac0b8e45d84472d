//! One guard for URLs that users supply: schemes, private addresses, redirects, time.

use std::{net::IpAddr, sync::Arc, time::Duration};

use kork::problem::chain;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::config::WebhookConfig;

/// Why a call was not made, or not answered.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error("{url:?} is not a URL that can be called: {reason}")]
    Url { url: String, reason: String },
    #[error("the request cannot be made: {reason}")]
    Request { reason: String },
    #[error("the call of {url} failed: {}", chain(.source))]
    Call {
        url: String,
        #[source]
        source: reqwest::Error,
    },
}

impl GuardError {
    /// The name could not be resolved or the answer did not come in time: it may, later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Url { .. } | Self::Request { .. } => false,
            Self::Call { source, .. } => source.is_timeout() || chain(source).contains("dns error"),
        }
    }
}

/// A client that keeps to the rules on every redirect and every resolved address.
pub(super) fn client(config: &WebhookConfig) -> Result<reqwest::Client, reqwest::Error> {
    let rules = config.clone();
    let redirects = config.redirects_max;
    let policy = reqwest::redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > redirects {
            return attempt.error(format!("more than {redirects} redirects"));
        }
        match check(attempt.url(), &rules) {
            Ok(()) => attempt.follow(),
            Err(error) => attempt.error(error),
        }
    });
    kork_http::client()
        .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
        .timeout(Duration::from_millis(config.call_timeout_ms))
        .redirect(policy)
        .dns_resolver(Arc::new(Resolver {
            allow_private: config.allow_private_addresses,
        }))
        .user_agent(concat!("gennaker/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// A URL that may be called.
pub(super) fn checked(text: &str, config: &WebhookConfig) -> Result<Url, GuardError> {
    let refuse = |reason: &str| GuardError::Url {
        url: text.to_owned(),
        reason: reason.to_owned(),
    };
    // The parser would quietly encode what is left of an expression that could not be evaluated.
    if text.contains("${") {
        return Err(refuse(
            "it still holds an expression that could not be evaluated",
        ));
    }
    let url = Url::parse(text).map_err(|e| refuse(&e.to_string()))?;
    check(&url, config)?;
    Ok(url)
}

fn check(url: &Url, config: &WebhookConfig) -> Result<(), GuardError> {
    let refuse = |reason: &str| GuardError::Url {
        url: url.to_string(),
        reason: reason.to_owned(),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("only http and https are allowed"));
    }
    let literal = match url.host() {
        None => return Err(refuse("it has no host")),
        Some(Host::Domain(_)) => None,
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
    };
    if literal.is_some_and(|ip| !config.allow_private_addresses && is_private(ip)) {
        return Err(refuse("private addresses are not allowed here"));
    }
    Ok(())
}

/// Loopback, link-local, private and other addresses that are not somebody else's on the internet.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => {
            ip.to_ipv4_mapped()
                .is_some_and(|v4| is_private(IpAddr::V4(v4)))
                || ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || (ip.segments()[0] & 0xfe00) == 0xfc00
                || (ip.segments()[0] & 0xffc0) == 0xfe80
        }
    }
}

/// Resolves names and drops forbidden addresses; the connection uses what was checked.
struct Resolver {
    allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found
                .filter(|a| allow_private || !is_private(a.ip()))
                .collect();
            if allowed.is_empty() {
                return Err("private addresses are not allowed here".into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_when_they_are_not_allowed() {
        let strict = WebhookConfig {
            allow_private_addresses: false,
            ..WebhookConfig::default()
        };
        let open = WebhookConfig::default();
        for url in [
            "http://127.0.0.1/x",
            "http://10.1.2.3/",
            "http://169.254.169.254/latest",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://100.64.0.1/",
            "http://0x7f000001/",
        ] {
            assert!(checked(url, &strict).is_err(), "{url}");
            assert!(checked(url, &open).is_ok(), "{url}");
        }
        assert!(checked("https://example.org/", &strict).is_ok());
    }

    #[test]
    fn only_http_is_called() {
        let open = WebhookConfig::default();
        for url in [
            "ftp://example.org/x",
            "file:///etc/passwd",
            "nonsense",
            "http://",
            "http://h/${nope}",
        ] {
            assert!(checked(url, &open).is_err(), "{url}");
        }
    }
}
