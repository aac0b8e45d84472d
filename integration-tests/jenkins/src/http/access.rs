//! Who asks: Basic authentication, sessions and crumbs.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use base64::Engine;
use hyper::HeaderMap;

/// A user of the double.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
    pub token: String,
    /// May only look.
    pub read_only: bool,
}

/// The web sessions of one run of the server.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Changes with every restart.
    pub run: u64,
    issued: u64,
    users: BTreeMap<String, String>,
}

/// Who asks, and how that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub name: String,
    pub by_token: bool,
    pub read_only: bool,
    pub session: Option<String>,
}

impl Sessions {
    /// What a restart leaves: nothing.
    pub(crate) fn restart(&mut self) {
        self.users.clear();
        self.run += 1;
    }

    pub(crate) fn caller(&self, users: &[User], headers: &HeaderMap) -> Option<Caller> {
        let (name, secret) = credentials(headers)?;
        let user = users.iter().find(|u| u.name == name)?;
        let by_token = secret == user.token;
        if !by_token && secret != user.password {
            return None;
        }
        let session = cookie(headers).filter(|id| self.users.get(id) == Some(&name));
        Some(Caller {
            name,
            by_token,
            read_only: user.read_only,
            session,
        })
    }

    /// The session of a caller; a new one when there is none.
    pub(crate) fn open(&mut self, caller: &Caller) -> String {
        if let Some(session) = &caller.session {
            return session.clone();
        }
        self.issued += 1;
        let id = format!("node{}s{}", self.run, self.issued);
        self.users.insert(id.clone(), caller.name.clone());
        id
    }

    /// The crumb of a user in a session: worthless in any other.
    pub(crate) fn crumb(&self, user: &str, session: &str) -> String {
        let mut hasher = DefaultHasher::new();
        (self.run, user, session).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    pub(crate) fn is_crumb(&self, caller: &Caller, headers: &HeaderMap) -> bool {
        let given = headers.get("Jenkins-Crumb").and_then(|v| v.to_str().ok());
        let session = caller.session.as_deref();
        given
            .zip(session)
            .is_some_and(|(given, session)| given == self.crumb(&caller.name, session))
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let header = headers.get("authorization")?.to_str().ok()?;
    let encoded = header.strip_prefix("Basic ")?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':')
        .map(|(n, s)| (n.to_owned(), s.to_owned()))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers
        .get_all("cookie")
        .iter()
        .filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';'));
    pairs.find_map(|p| {
        p.trim()
            .strip_prefix("JSESSIONID.double=")
            .map(str::to_owned)
    })
}
