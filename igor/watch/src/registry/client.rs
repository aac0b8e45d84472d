//! The calls: tags of a repository, the digest of a tag.

use reqwest::{
    Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LINK, WWW_AUTHENTICATE},
};
use sha2::{Digest as _, Sha256};

use super::{
    address::{Address, is_attachment, is_digest, is_tag},
    answer::{self, explanation},
    auth::Auth,
    challenge,
    config::Registry,
    link,
};
use crate::{Error, http, pattern::Pattern};

/// What a tag may point to. Without them an old registry converts the manifest, which has another digest then.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";
/// The old kind, whose digest is not that of its bytes.
const SIGNED_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// Bytes of a manifest; registries take no larger ones.
const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Bytes of one page of tags.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Pages of one list, and tags of all of them.
const PAGES_MAX: usize = 200;
const TAGS_LISTED_MAX: usize = 200_000;
/// Times one request is sent: bare, with a token from before, with a new one.
const SENDS_MAX: usize = 3;

/// One account of a registry. Keeps connections and tokens, so it is made once and kept.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    config: Registry,
    address: Address,
    pattern: Pattern,
    auth: Auth,
}

/// The tags of a repository as it lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    pub tags: Vec<String>,
    /// The list goes on, but is too long to be read to its end.
    pub cut: bool,
}

impl Client {
    /// `http` is made by [`crate::client`] and may be shared by any number of these.
    ///
    /// # Errors
    /// The configuration cannot be used; the error names everything that is wrong with it.
    pub fn new(http: reqwest::Client, config: &Registry) -> Result<Self, Error> {
        let wrong =
            |reason: String| Error::config(format!("the registry {:?}", config.name), reason);
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(wrong(problems.join("; ")));
        }
        let address = Address::parse(&config.address, config.allow_http).map_err(&wrong)?;
        let pattern =
            Pattern::new(config.tag_pattern.as_deref()).map_err(|e| wrong(e.to_string()))?;
        Ok(Self {
            auth: Auth::new(
                address.base.clone(),
                config.allow_http,
                config.credentials(),
            ),
            http,
            config: config.clone(),
            address,
            pattern,
        })
    }

    pub fn config(&self) -> &Registry {
        &self.config
    }

    /// What names of this registry's images begin with: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.address.registry
    }

    /// The path of a repository, of a path or of the whole name of an image of this registry:
    /// `library/nginx` of `nginx` and of `docker.io/library/nginx` on Docker Hub.
    ///
    /// # Errors
    /// `Config`: it cannot be one, or is the image of another registry.
    pub fn repository(&self, name: &str) -> Result<String, Error> {
        self.address.repository(name).ok_or_else(|| {
            let reason = format!("{name:?} is no repository of it");
            Error::config(format!("the registry {}", self.address.registry), reason)
        })
    }

    /// The image is one of this registry's.
    pub fn holds(&self, image: &str) -> bool {
        let path = self.address.path_of(image);
        path.is_some_and(|path| self.address.repository(path).is_some())
    }

    pub(super) fn watches(&self, tag: &str) -> bool {
        self.pattern.matches(tag) && !is_attachment(tag)
    }

    /// All tags, page by page, in the order of the registry: by letters, not by time.
    pub async fn tags(&self, repository: &str) -> Result<Tags, Error> {
        let repository = self.repository(repository)?;
        let what = format!("{}/{repository}", self.address.registry);
        let mut url = self.address.api(&repository, "tags/list");
        url.set_query(Some(&format!("n={}", self.config.page_size)));
        let mut tags = Vec::new();
        for _ in 0..PAGES_MAX {
            let response = self.send(Method::GET, &url, &repository, &what).await?;
            let response = http::good(response, &what, explanation).await?;
            let links = response.headers().get_all(LINK);
            let next = links
                .iter()
                .find_map(|value| link::next_query(value.to_str().ok()?))
                .map(str::to_owned);
            let body = http::body(response, &what, PAGE_BYTES_MAX).await?;
            let page = answer::tags(&body).map_err(|e| Error::answer(&what, e.to_string()))?;
            tags.extend(page);
            if tags.len() > TAGS_LISTED_MAX {
                tags.truncate(TAGS_LISTED_MAX);
                break;
            }
            match next {
                None => return Ok(Tags { tags, cut: false }),
                Some(next) if Some(next.as_str()) == url.query() => {
                    let reason = "a page of its tags names itself as the next one";
                    return Err(Error::answer(what, reason));
                }
                Some(next) => url.set_query(Some(&next)),
            }
        }
        Ok(Tags { tags, cut: true })
    }

    /// The digest that a tag points to now; none when there is no such tag.
    pub async fn digest(&self, repository: &str, tag: &str) -> Result<Option<String>, Error> {
        let repository = self.repository(repository)?;
        let what = format!("{}/{repository}:{tag}", self.address.registry);
        if !is_tag(tag) {
            return Err(Error::config(what, "this cannot be a tag"));
        }
        let url = self.address.api(&repository, &format!("manifests/{tag}"));
        // HEAD does not count as a pull, where pulls are counted.
        let head = self.send(Method::HEAD, &url, &repository, &what).await?;
        if head.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        // Some proxies do not let HEAD through.
        if head.status() != StatusCode::METHOD_NOT_ALLOWED {
            let head = http::good(head, &what, explanation).await?;
            if let Some(digest) = told_digest(&head) {
                return Ok(Some(digest));
            }
        }
        let get = self.send(Method::GET, &url, &repository, &what).await?;
        if get.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let get = http::good(get, &what, explanation).await?;
        if let Some(digest) = told_digest(&get) {
            return Ok(Some(digest));
        }
        let kind = get.headers().get(CONTENT_TYPE).cloned();
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(SIGNED_MANIFEST.as_bytes())) {
            let reason = "it has the format of before 2016, whose digest is not told; push it anew";
            return Err(Error::answer(what, reason));
        }
        let body = http::body(get, &what, MANIFEST_BYTES_MAX).await?;
        Ok(Some(format!("sha256:{}", hex(&Sha256::digest(&body)))))
    }

    /// Sends until it is let in; any other answer goes to the caller.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        repository: &str,
        what: &str,
    ) -> Result<Response, Error> {
        let mut authorization = self.auth.remembered(&self.http, repository).await?;
        for attempt in 1.. {
            let mut request = self.http.request(method.clone(), url.clone());
            if url.path().contains("/manifests/") {
                request = request.header(ACCEPT, MANIFESTS);
            }
            if let Some(value) = &authorization {
                request = request.header(AUTHORIZATION, value.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|e| http::unreachable(what, e))?;
            if response.status() != StatusCode::UNAUTHORIZED || attempt >= SENDS_MAX {
                return Ok(response);
            }
            let challenges: Vec<_> = response
                .headers()
                .get_all(WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(challenge::parse)
                .collect();
            let refused = authorization.take();
            let asked = self
                .auth
                .asked(&self.http, repository, &challenges, refused.as_ref());
            authorization = Some(asked.await?);
        }
        unreachable!("the loop ends with its last attempt")
    }
}

fn told_digest(response: &Response) -> Option<String> {
    let value = response.headers().get("docker-content-digest")?;
    let digest = value.to_str().ok()?.trim();
    is_digest(digest).then(|| digest.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to text cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
