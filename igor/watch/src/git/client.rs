//! The calls: branches and tags of a repository, without a clone.

use std::collections::BTreeMap;

use reqwest::{
    RequestBuilder, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};

use super::{
    config::{GitRepository, Place},
    refs::{self, Advertised, Refs},
    watch::Watch,
};
use crate::{
    Error,
    credentials::{Credentials, header},
    http,
};

/// Bytes of an answer with branches and tags; 300 000 of them fit.
const REFS_BYTES_MAX: usize = 32 << 20;
const ASKED: &str = "info/refs";
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const QUESTION: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";

/// One repository. Made once and kept.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    config: GitRepository,
    pub(super) place: Place,
    pub(super) watch: Watch,
    credentials: Credentials,
}

/// Branches and tags of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Without `refs/heads/`, if the server tells it.
    pub default_branch: Option<String>,
    /// Commit by whole name: `refs/heads/main`, `refs/tags/v1`. All that may be watched, and maybe more.
    pub commits: BTreeMap<String, String>,
}

impl Client {
    /// `http` is made by [`crate::client`] and may be shared by any number of these.
    ///
    /// # Errors
    /// The configuration cannot be used; the error names everything that is wrong with it.
    pub fn new(http: reqwest::Client, config: &GitRepository) -> Result<Self, Error> {
        let wrong =
            |reason: String| Error::config(format!("the git repository {:?}", config.name), reason);
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(wrong(problems.join("; ")));
        }
        Ok(Self {
            http,
            place: config.place().map_err(&wrong)?,
            watch: Watch::new(config).map_err(|e| wrong(e.to_string()))?,
            credentials: config.credentials(),
            config: config.clone(),
        })
    }

    pub fn config(&self) -> &GitRepository {
        &self.config
    }

    /// `host[:port]/path`, without `.git`: how events name the repository.
    pub fn place(&self) -> &str {
        &self.place.name
    }

    /// Branches and tags as they are now: by version 2 of the protocol, of which only those that may be
    /// watched are sent, or by an older one.
    pub async fn refs(&self) -> Result<Listed, Error> {
        let refs = self.all().await?;
        let head = refs.head.as_deref();
        Ok(Listed {
            default_branch: head
                .and_then(|head| head.strip_prefix("refs/heads/"))
                .map(str::to_owned),
            commits: refs.commits,
        })
    }

    pub(super) async fn all(&self) -> Result<Refs, Error> {
        let what = self.place.name.as_str();
        let authorization = self.authorization().await?;
        let mut url = self.place.url.clone();
        url.set_path(&format!("{}/{ASKED}", self.place.url.path()));
        url.set_query(Some("service=git-upload-pack"));
        let request = self
            .http
            .get(url)
            .header(ACCEPT, format!("{ADVERTISEMENT}, */*"));
        let (answered_by, body) = self
            .call(request, authorization.as_ref(), ADVERTISEMENT)
            .await?;
        let advertised = refs::advertised(&body).map_err(|e| Error::answer(what, e))?;
        let object_format = match advertised {
            Advertised::Refs(refs) => return Ok(refs),
            Advertised::Capabilities { object_format } => object_format,
        };
        let url = self.second(&answered_by)?;
        // Elsewhere the credentials are not known to be for.
        let authorization = authorization.filter(|_| url.origin() == self.place.url.origin());
        let question = refs::question(object_format.as_deref(), &self.watch.prefixes());
        let request = self
            .http
            .post(url)
            .header(ACCEPT, RESULT)
            .header(CONTENT_TYPE, QUESTION)
            .body(question);
        let (_, body) = self.call(request, authorization.as_ref(), RESULT).await?;
        refs::listed(&body).map_err(|e| Error::answer(what, e))
    }

    /// Where the second question goes: to whom the first one was redirected, as git does.
    fn second(&self, answered_by: &Url) -> Result<Url, Error> {
        let mut url = answered_by.clone();
        let path = url.path().strip_suffix(ASKED).map(str::to_owned);
        let path = path.ok_or_else(|| Error::Unsafe {
            what: self.place.name.clone(),
            reason: format!("it redirects to {}, which is no git repository", url.path()),
        })?;
        url.set_path(&format!("{path}git-upload-pack"));
        url.set_query(None);
        Ok(url)
    }

    async fn call(
        &self,
        request: RequestBuilder,
        authorization: Option<&HeaderValue>,
        kind: &str,
    ) -> Result<(Url, Vec<u8>), Error> {
        let what = self.place.name.as_str();
        let mut request = request.header("git-protocol", "version=2");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let response = request
            .send()
            .await
            .map_err(|e| http::unreachable(what, e))?;
        let response = http::good(response, what, |_| None).await?;
        let told = response.headers().get(CONTENT_TYPE);
        let told = told
            .and_then(|value| value.to_str().ok())
            .unwrap_or("nothing");
        if told.split(';').next().map(str::trim) != Some(kind) {
            let told = http::one_line(told);
            let reason = format!(
                "it is of the type {told}, not {kind}: this is no repository of a git server, or a page to log in"
            );
            return Err(Error::answer(what, reason));
        }
        let url = response.url().clone();
        Ok((url, http::body(response, what, REFS_BYTES_MAX).await?))
    }

    /// Sent from the start: private repositories answer that they are not there else.
    async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let what = self.place.name.as_str();
        let password = self.credentials.password(what).await?;
        if !self.credentials.username.is_empty() || password.is_empty() {
            return self.credentials.basic(what).await;
        }
        match self.config.source.token_user() {
            Some(user) => {
                let credentials = Credentials {
                    username: user.to_owned(),
                    ..self.credentials.clone()
                };
                credentials.basic(what).await
            }
            None => header(what, &format!("Bearer {}", password.reveal())).map(Some),
        }
    }
}
