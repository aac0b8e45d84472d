//! How a registry lets us in: Basic, or a token of the server that it names; tokens are kept while they last.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::sync::Mutex;
use url::Url;

use super::{answer, challenge::Challenge};
use crate::{
    Error,
    credentials::{Credentials, header},
    http,
};

/// Bytes of the answer of a token server.
const TOKEN_BYTES_MAX: usize = 256 << 10;
/// Tokens and challenges of one account that are kept.
const KEPT_MAX: usize = 1024;
/// A token is renewed at this part of its life, before it ends under way.
const RENEWED_AT: f64 = 0.9;

/// The way into one registry.
#[derive(Debug)]
pub(super) struct Auth {
    base: Url,
    allow_http: bool,
    credentials: Credentials,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By repository: what it asked for last, so that the next request brings it along.
    asked: HashMap<String, Challenge>,
    tokens: HashMap<Place, Token>,
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    realm: Url,
    service: Option<String>,
    scope: String,
}

#[derive(Debug)]
struct Token {
    value: HeaderValue,
    renewed_at: Instant,
}

impl Auth {
    pub(super) fn new(base: Url, allow_http: bool, credentials: Credentials) -> Self {
        Self {
            base,
            allow_http,
            credentials,
            state: Mutex::default(),
        }
    }

    /// `Authorization` for a request about `repository`, as far as it is known what is asked for.
    pub(super) async fn remembered(
        &self,
        http: &reqwest::Client,
        repository: &str,
    ) -> Result<Option<HeaderValue>, Error> {
        let challenge = self.state.lock().await.asked.get(repository).cloned();
        match challenge {
            None => Ok(None),
            Some(challenge) => self
                .answer(http, repository, &challenge, None)
                .await
                .map(Some),
        }
    }

    /// `Authorization` for what the registry asks for. `refused` was sent and did not do: a token like it is
    /// fetched anew, a password is not sent twice.
    pub(super) async fn asked(
        &self,
        http: &reqwest::Client,
        repository: &str,
        challenges: &[Challenge],
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        let is_bearer = |c: &&Challenge| matches!(c, Challenge::Bearer { .. });
        let challenge = challenges.iter().find(is_bearer).or(challenges.first());
        let challenge = challenge.ok_or_else(|| self.denied("it does not say how to be let in"))?;
        let value = self.answer(http, repository, challenge, refused).await?;
        let mut state = self.state.lock().await;
        if state.asked.len() >= KEPT_MAX {
            state.asked.clear();
        }
        state.asked.insert(repository.to_owned(), challenge.clone());
        Ok(value)
    }

    async fn answer(
        &self,
        http: &reqwest::Client,
        repository: &str,
        challenge: &Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        match challenge {
            Challenge::Basic => {
                let value = self.credentials.basic(self.base.as_str()).await?;
                let value = value.ok_or_else(|| {
                    self.denied("it asks for a user name and a password, and none is set")
                })?;
                if refused == Some(&value) {
                    return Err(self.denied("the user name or the password is wrong"));
                }
                Ok(value)
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let place = Place {
                    realm: self.realm(realm)?,
                    service: service.clone(),
                    scope: scope
                        .clone()
                        .unwrap_or_else(|| format!("repository:{repository}:pull")),
                };
                self.token(http, place, refused).await
            }
        }
    }

    /// One request at a time fetches a token; the others wait for it and find it here.
    async fn token(
        &self,
        http: &reqwest::Client,
        place: Place,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(token) = state.tokens.get(&place)
            && token.renewed_at > now
            && refused != Some(&token.value)
        {
            return Ok(token.value.clone());
        }
        let (value, lifetime_s) = self.fetch(http, &place).await?;
        if state.tokens.len() >= KEPT_MAX {
            state.tokens.retain(|_, token| token.renewed_at > now);
        }
        if state.tokens.len() >= KEPT_MAX {
            state.tokens.clear();
        }
        let token = Token {
            value: value.clone(),
            renewed_at: now + Duration::from_secs_f64(lifetime_s * RENEWED_AT),
        };
        state.tokens.insert(place, token);
        Ok(value)
    }

    async fn fetch(
        &self,
        http: &reqwest::Client,
        place: &Place,
    ) -> Result<(HeaderValue, f64), Error> {
        let what = format!("the token server {} of {}", place.realm, self.base);
        let mut url = place.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &place.service {
                query.append_pair("service", service);
            }
            // More than one is asked for by the parameter, again and again.
            for scope in place.scope.split(' ').filter(|scope| !scope.is_empty()) {
                query.append_pair("scope", scope);
            }
        }
        let mut request = http.get(url);
        if let Some(basic) = self.credentials.basic(&what).await? {
            request = request.header(AUTHORIZATION, basic);
        }
        let response = request
            .send()
            .await
            .map_err(|e| http::unreachable(&what, e))?;
        let response = http::good(response, &what, answer::explanation).await?;
        let body = http::body(response, &what, TOKEN_BYTES_MAX).await?;
        let (token, lifetime_s) = answer::token(&body).map_err(|e| Error::answer(&what, e))?;
        let value = header(&what, &format!("Bearer {token}"))
            .map_err(|_| Error::answer(&what, "the token holds characters that cannot be sent"))?;
        Ok((value, lifetime_s))
    }

    /// The token server gets the password: it must be as safe as the registry is.
    fn realm(&self, text: &str) -> Result<Url, Error> {
        let refuse = |reason: String| Error::Unsafe {
            what: format!("the token server {text:?} of {}", self.base),
            reason,
        };
        let url = Url::parse(text).map_err(|e| refuse(e.to_string()))?;
        if self.base.scheme() == "https" && url.scheme() != "https" {
            return Err(refuse(
                "the registry is asked by https, its token server must be too".to_owned(),
            ));
        }
        http::check_scheme(&url, self.allow_http).map_err(refuse)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds credentials".to_owned()));
        }
        Ok(url)
    }

    pub(super) fn denied(&self, reason: &str) -> Error {
        Error::Denied {
            what: self.base.to_string(),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_server_is_as_safe_as_its_registry() {
        let auth = |base: &str, allow_http| {
            Auth::new(
                Url::parse(base).unwrap(),
                allow_http,
                Credentials::default(),
            )
        };
        for (base, allow_http, realm, fine) in [
            (
                "https://registry.example/",
                false,
                "https://auth.example/token",
                true,
            ),
            (
                "https://registry.example/",
                true,
                "http://registry.example/token",
                false,
            ),
            (
                "https://registry.example/",
                false,
                "http://localhost/token",
                false,
            ),
            (
                "https://registry.example/",
                false,
                "ftp://auth.example",
                false,
            ),
            (
                "https://registry.example/",
                false,
                "https://u:p@auth.example",
                false,
            ),
            ("https://registry.example/", false, "/token", false),
            (
                "http://localhost:5000/",
                false,
                "http://127.0.0.1:5001/token",
                true,
            ),
            (
                "http://localhost:5000/",
                false,
                "http://auth.example/token",
                false,
            ),
            (
                "http://localhost:5000/",
                false,
                "https://auth.example/token",
                true,
            ),
            (
                "http://registry.example/",
                true,
                "http://auth.example/token",
                true,
            ),
        ] {
            let checked = auth(base, allow_http).realm(realm);
            assert_eq!(checked.is_ok(), fine, "{base} {realm}: {checked:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_password_is_not_sent_twice() {
        let credentials = Credentials {
            username: "ana".to_owned(),
            ..Credentials::default()
        };
        let base = Url::parse("https://registry.example/").unwrap();
        let auth = Auth::new(base.clone(), false, credentials);
        let http = http::client().unwrap();
        let first = auth
            .asked(&http, "a", &[Challenge::Basic], None)
            .await
            .unwrap();
        let again = auth
            .asked(&http, "a", &[Challenge::Basic], Some(&first))
            .await;
        assert!(matches!(again, Err(Error::Denied { .. })), "{again:?}");

        let anonymous = Auth::new(base, false, Credentials::default());
        for challenges in [&[Challenge::Basic][..], &[]] {
            let refused = anonymous.asked(&http, "a", challenges, None).await;
            assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
        }
    }
}
