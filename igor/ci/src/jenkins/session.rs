//! Who we are to Jenkins: credentials, and for passwords a crumb with the cookie it belongs to.

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::shapes;
use crate::{CiError, Controller, secret::SecretSource};

/// Most cookies that are kept of one answer.
const COOKIES_MAX: usize = 20;

/// User and password, or a bearer token of a proxy.
pub(crate) struct Credentials {
    username: String,
    password: Option<SecretSource>,
    token: Option<SecretSource>,
}

impl Credentials {
    pub(crate) fn new(controller: &Controller) -> Self {
        Self {
            username: controller.username.clone(),
            password: controller.password(),
            token: controller.token(),
        }
    }

    /// The password wins when both are given: two values of one header confuse proxies.
    pub(crate) fn sign(&self, request: RequestBuilder) -> Result<RequestBuilder, CiError> {
        match (&self.password, &self.token) {
            (Some(password), _) => {
                Ok(request.basic_auth(&self.username, Some(password.get()?.reveal())))
            }
            (None, Some(token)) => Ok(request.bearer_auth(token.get()?.reveal())),
            (None, None) => Ok(request),
        }
    }
}

/// What lasts between calls, until Jenkins restarts.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// `X-Jenkins-Session` of the last answer.
    run: Option<String>,
    crumb: Option<Crumb>,
}

/// A crumb, worthless without its cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crumb {
    field: String,
    value: String,
    cookies: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn crumb(&self) -> Option<Crumb> {
        self.crumb.clone()
    }

    pub(crate) fn forget(&mut self) {
        self.crumb = None;
    }

    pub(crate) fn keep(&mut self, crumb: Option<Crumb>) {
        self.crumb = crumb;
    }

    /// After a restart neither crumb nor cookie is worth anything.
    pub(crate) fn seen(&mut self, headers: &HeaderMap) {
        let run = headers
            .get("X-Jenkins-Session")
            .and_then(|v| v.to_str().ok());
        let Some(run) = run else { return };
        if self.run.as_deref().is_some_and(|known| known != run) {
            self.crumb = None;
        }
        self.run = Some(run.to_owned());
    }
}

impl Crumb {
    /// The crumb of an answer of the issuer; `None` when it makes no sense.
    pub(crate) fn read(body: &Value, headers: &HeaderMap) -> Option<Self> {
        let set = headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|v| v.to_str().ok());
        let pairs = set.filter_map(|line| line.split(';').next()?.trim().split_once('='));
        Some(Self {
            field: shapes::text(body, "crumbRequestField")?,
            value: shapes::text(body, "crumb")?,
            cookies: pairs
                .take(COOKIES_MAX)
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        })
    }

    pub(crate) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(&self.field, &self.value);
        if self.cookies.is_empty() {
            return request;
        }
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        request.header("cookie", pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_restart_takes_the_crumb_away() {
        let headers = |run: &str| {
            HeaderMap::from_iter([("x-jenkins-session".parse().unwrap(), run.parse().unwrap())])
        };
        let mut session = Session::default();
        session.seen(&headers("one"));
        let body = json!({"crumbRequestField": "Jenkins-Crumb", "crumb": "c"});
        session.keep(Crumb::read(&body, &headers("one")));
        session.seen(&headers("one"));
        session.seen(&HeaderMap::new());
        assert!(session.crumb().is_some());
        session.seen(&headers("two"));
        assert!(session.crumb().is_none());
        assert!(Crumb::read(&json!({"crumb": 1}), &HeaderMap::new()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_cookie_breaks_it(line in "[ -~]{0,40}") {
            let headers = HeaderMap::from_iter([("set-cookie".parse().unwrap(), line.parse().unwrap())]);
            let body = json!({"crumbRequestField": "Jenkins-Crumb", "crumb": "c"});
            proptest::prop_assert!(Crumb::read(&body, &headers).is_some());
        }
    }
}
