//! Objects on any S3 that honours conditional writes and keeps versions. Which it does is found out at
//! the start.

mod key;
mod versions;

use std::{hash::BuildHasher, sync::Arc};

use async_trait::async_trait;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::{
    Client,
    config::{Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::ByteStream,
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use kork::{
    model::Timestamp,
    ports::{
        Clock, Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Stored,
        limit::OBJECT_BYTES_MAX,
    },
};

use crate::{ClusterConfig, ClusterError};

/// How long one request may take, and the connection to the server.
const REQUEST_MAX: std::time::Duration = std::time::Duration::from_secs(20);
/// How long a server may be silent behind a request with a small body: the connection may be none any
/// more.
const SMALL_BYTES_MAX: usize = 1024 * 1024;
const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(6);
const CONNECT_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Mark of an object that is being deleted.
const DELETED: &str = "gennaker-deleted";
/// Where it is tried out whether the server honours conditions.
const PROBE: &str = ".gennaker-probe";

pub(crate) struct S3Objects {
    client: Client,
    bucket: String,
    prefix: String,
    clock: Arc<dyn Clock>,
}

/// Why a request failed: the HTTP status, the code and what the server says.
struct Refusal {
    status: u16,
    code: String,
    reason: String,
}

impl Refusal {
    fn is_missing(&self) -> bool {
        // A delete marker answers 405, a version that never was 400.
        matches!(self.status, 400 | 404 | 405)
    }

    fn is_condition(&self) -> bool {
        matches!(self.status, 404 | 409 | 412)
    }
}

fn refusal<E>(error: &SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map_or(0, |r| r.status().as_u16());
    let request = error.request_id().unwrap_or("unknown");
    Refusal {
        status,
        code: error.code().unwrap_or_default().to_owned(),
        reason: format!("{} (request {request})", kork::problem::chain(error)),
    }
}

fn unavailable(refusal: Refusal) -> ObjectStoreError {
    ObjectStoreError::Unavailable {
        reason: refusal.reason,
    }
}

fn time_of(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Timestamp {
    // Some answers know milliseconds and some do not: all are told in seconds.
    Timestamp(time.map_or(0, |t| u64::try_from(t.secs()).unwrap_or(0)) * 1_000)
}

impl S3Objects {
    pub(crate) async fn connect(
        config: &ClusterConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let mut shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(config.s3_region.clone()));
        if let Some(path) = &config.s3_credentials_file {
            let files = EnvConfigFiles::builder()
                .with_file(EnvConfigFileKind::Credentials, path)
                .build();
            shared = shared.profile_files(files);
        }
        let shared = shared.load().await;
        let mut settings = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(config.s3_path_style)
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(REQUEST_MAX)
                    .connect_timeout(CONNECT_MAX)
                    .build(),
            );
        if !config.s3_endpoint.is_empty() {
            settings = settings.endpoint_url(config.s3_endpoint.clone());
        }
        let store = Self {
            client: Client::from_conf(settings.build()),
            bucket: config.s3_bucket.clone(),
            prefix: config.s3_prefix.clone(),
            clock,
        };
        let server = if config.s3_endpoint.is_empty() {
            "AWS"
        } else {
            &config.s3_endpoint
        };
        let prepared = store.prepare().await;
        prepared.map_err(|reason| ClusterError {
            server: format!("S3 bucket {} at {server}", config.s3_bucket),
            reason,
        })?;
        Ok(store)
    }

    /// Makes the bucket when it is not there, sees to its versions, and tries its conditions out.
    async fn prepare(&self) -> Result<(), String> {
        let bucket = self.client.head_bucket().bucket(&self.bucket).send().await;
        if let Err(error) = bucket {
            let error = refusal(&error);
            if error.status != 404 {
                return Err(error.reason);
            }
            let made = self
                .client
                .create_bucket()
                .bucket(&self.bucket)
                .send()
                .await;
            if let Err(error) = made.map_err(|e| refusal(&e)) {
                // Another process of the suite was first.
                if !error.code.starts_with("BucketAlready") {
                    return Err(error.reason);
                }
            }
        }
        self.keep_versions().await?;
        let name = format!("{PROBE}/{}", self.unique());
        let first = self.write(&name, Bytes::new(), &Condition::IfAbsent).await;
        let second = self.write(&name, Bytes::new(), &Condition::IfAbsent).await;
        let erased = self.erase(&name).await;
        first.map_err(|e| e.to_string())?;
        erased.map_err(|e| e.to_string())?;
        match second {
            Err(ObjectStoreError::ConditionFailed { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err(
                "it does not honour `If-None-Match`: two writers could overwrite each other; use a \
                 server with conditional writes, such as MinIO, SeaweedFS or AWS"
                    .to_owned(),
            ),
        }
    }

    /// A name that nobody else uses for a probe at the same moment.
    fn unique(&self) -> String {
        let nonce = std::hash::RandomState::new().hash_one(0);
        format!("{}-{nonce:x}", self.clock.now().millis())
    }

    async fn keep_versions(&self) -> Result<(), String> {
        let asked = self.client.get_bucket_versioning().bucket(&self.bucket);
        let known = asked.send().await.map_err(|e| refusal(&e).reason)?;
        if known.status() == Some(&BucketVersioningStatus::Enabled) {
            return Ok(());
        }
        let on = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        let set = self.client.put_bucket_versioning().bucket(&self.bucket);
        let set = set.versioning_configuration(on).send().await;
        set.map(drop)
            .map_err(|e| format!("versions cannot be kept: {}", refusal(&e).reason))
    }

    fn stored(&self, key: &str) -> String {
        format!("{}{}", self.prefix, key::encode(key))
    }

    async fn write(
        &self,
        key: &str,
        body: Bytes,
        condition: &Condition,
    ) -> Result<Stored, ObjectStoreError> {
        let small = body.len() <= SMALL_BYTES_MAX;
        let mut put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.stored(key))
            .body(ByteStream::from(body));
        put = match condition {
            Condition::Always => put,
            Condition::IfAbsent => put.if_none_match("*"),
            Condition::IfMatch(etag) => put.if_match(etag),
        };
        let mut times = if small { impatient() } else { patient() };
        if *condition != Condition::Always {
            // A second try could meet what the first one wrote.
            times = times.retry_config(RetryConfig::disabled());
        }
        let answer = put.customize().config_override(times).send().await;
        let answer = answer.map_err(|error| Self::refused(key, refusal(&error), condition))?;
        Ok(Stored {
            etag: answer.e_tag().unwrap_or_default().to_owned(),
            version: answer.version_id().unwrap_or_default().to_owned(),
            modified: Timestamp(self.clock.now().millis() / 1_000 * 1_000),
        })
    }

    fn refused(key: &str, error: Refusal, condition: &Condition) -> ObjectStoreError {
        if *condition != Condition::Always && error.is_condition() {
            return ObjectStoreError::ConditionFailed {
                key: key.to_owned(),
            };
        }
        unavailable(error)
    }

    async fn read(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<Object>, ObjectStoreError> {
        let get = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.stored(key))
            .set_version_id(version.map(str::to_owned));
        let get = get.customize().config_override(impatient());
        let answer = match get.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = refusal(&error);
                let missing = error.status == 404 || (version.is_some() && error.is_missing());
                return if missing {
                    Ok(None)
                } else {
                    Err(unavailable(error))
                };
            }
        };
        if answer.metadata().is_some_and(|m| m.contains_key(DELETED)) {
            return Ok(None);
        }
        let info = ObjectInfo {
            key: key.to_owned(),
            etag: answer.e_tag().unwrap_or_default().to_owned(),
            version: answer.version_id().unwrap_or_default().to_owned(),
            modified: time_of(answer.last_modified()),
            size: usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0),
            deleted: false,
        };
        let body = answer.body.collect().await;
        let body = body.map_err(|error| ObjectStoreError::Unavailable {
            reason: format!("{key} was cut off: {}", kork::problem::chain(&error)),
        })?;
        Ok(Some(Object {
            body: body.into_bytes(),
            info,
        }))
    }

    /// Deletes exactly the object with this etag: first it is claimed by a conditional write, because
    /// few servers know a conditional delete.
    async fn delete_exactly(&self, key: &str, etag: &str) -> Result<(), ObjectStoreError> {
        let condition = Condition::IfMatch(etag.to_owned());
        let claimed = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.stored(key))
            .body(ByteStream::from_static(b""))
            .metadata(DELETED, "true")
            .if_match(etag)
            .customize()
            .config_override(impatient().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map_err(|e| Self::refused(key, refusal(&e), &condition))?;
        self.delete_now(key, None).await?;
        match claimed.version_id() {
            // The claim is no version that anybody wrote.
            Some(version) => self.delete_now(key, Some(version)).await,
            None => Ok(()),
        }
    }

    async fn delete_now(&self, key: &str, version: Option<&str>) -> Result<(), ObjectStoreError> {
        let delete = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(self.stored(key))
            .set_version_id(version.map(str::to_owned));
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) => match refusal(&error) {
                error if error.status == 404 => Ok(()),
                error => Err(unavailable(error)),
            },
        }
    }
}

/// For requests that are small and can be sent again.
fn impatient() -> aws_sdk_s3::config::Builder {
    let times = TimeoutConfig::builder()
        .read_timeout(SILENCE_MAX)
        .connect_timeout(CONNECT_MAX)
        .operation_attempt_timeout(REQUEST_MAX)
        .build();
    aws_sdk_s3::config::Config::builder().timeout_config(times)
}

fn patient() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Config::builder()
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        key::check(key)?;
        self.read(key, None).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        key::check(key)?;
        if body.len() > OBJECT_BYTES_MAX {
            return Err(ObjectStoreError::TooLarge {
                what: format!("the object {key}"),
                size: body.len(),
                max: OBJECT_BYTES_MAX,
            });
        }
        self.write(key, body, &condition).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        key::check(key)?;
        match condition {
            Condition::Always => self.delete_now(key, None).await,
            Condition::IfMatch(etag) => self.delete_exactly(key, &etag).await,
            Condition::IfAbsent => match self.read(key, None).await? {
                None => Ok(()),
                Some(_) => Err(ObjectStoreError::ConditionFailed {
                    key: key.to_owned(),
                }),
            },
        }
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        for info in self.versions(key).await? {
            self.delete_now(key, Some(&info.version)).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let mut found = self.list_beginning(&key::beginning(prefix)).await?;
        if prefix.ends_with('/') {
            // The key that is the prefix itself is stored otherwise than as a beginning.
            let exact = key::encode(prefix);
            let all = self.list_beginning(&exact).await?;
            found.extend(all.into_iter().filter(|info| info.key == prefix));
        }
        found.retain(|info| !info.key.starts_with(PROBE));
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        key::check(key)?;
        self.list_versions(key).await
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        key::check(key)?;
        self.read(key, Some(version)).await
    }
}
