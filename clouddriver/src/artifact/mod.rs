//! Programs and files that server groups are made from: fetched, checked, placed read-only.
//!
//! Types: `embedded/base64` (the reference holds the bytes), `http/file` (the reference is a URL),
//! `local/file` (the reference is a path below a configured directory). Archives are not unpacked.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use kork_model::{Kind, Problem};

use crate::{
    app::ports::{ArtifactSource, Placed},
    config::{Artifacts, Config},
};
use crate::{
    app::store::sha256,
    domain::group::{ARTIFACT_TYPES, Artifact},
};
/// Redirects that a download follows.
const REDIRECTS_MAX: usize = 5;
/// Longest file name, bytes.
const NAME_BYTES_MAX: usize = 200;
/// The directory of a server group can be read and entered, its file also run.
const READ_ONLY: u32 = 0o555;
const WRITABLE: u32 = 0o755;

/// Artifacts in directories below one root.
pub(crate) struct LocalArtifacts {
    root: Utf8PathBuf,
    config: Artifacts,
    http: reqwest::Client,
}

impl LocalArtifacts {
    /// Places artifacts below `config.data_dir`.
    pub(crate) fn new(config: &Config) -> Result<Self, Problem> {
        let unusable = |error: &dyn std::fmt::Display| {
            let text = format!(
                "the directory of artifacts in {} cannot be used: {error}",
                config.data_dir
            );
            Problem::new("CLOUDDRIVER-0019", Kind::Unavailable, text)
        };
        let root = Utf8Path::new(&config.data_dir).join("groups");
        std::fs::create_dir_all(&root).map_err(|e| unusable(&e))?;
        let root = root.canonicalize_utf8().map_err(|e| unusable(&e))?;
        let http = kork_http::client()
            .timeout(Duration::from_millis(config.artifacts.timeout_ms))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .build()
            .map_err(|e| unusable(&e))?;
        Ok(Self {
            root,
            config: config.artifacts.clone(),
            http,
        })
    }

    async fn bytes(&self, artifact: &Artifact) -> Result<Bytes, Problem> {
        match artifact.kind.as_str() {
            "embedded/base64" => {
                let engine = base64::engine::general_purpose::STANDARD;
                let text: String = artifact.reference.split_ascii_whitespace().collect();
                engine
                    .decode(text)
                    .map(Bytes::from)
                    .map_err(|e| refused(artifact, "its reference is not base64").because(&e))
            }
            "http/file" => self.download(artifact).await,
            "local/file" => self.read(artifact).await,
            other => {
                let text = format!(
                    "the type {other} is not known; there are {}",
                    ARTIFACT_TYPES.join(", ")
                );
                Err(refused(artifact, &text))
            }
        }
    }

    async fn download(&self, artifact: &Artifact) -> Result<Bytes, Problem> {
        let url = url::Url::parse(&artifact.reference)
            .map_err(|e| refused(artifact, "its reference is not a URL").because(&e))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(artifact, "its URL is neither http nor https"));
        }
        let failed = |e: reqwest::Error| {
            let text = format!("the artifact {} cannot be fetched", label(artifact));
            Problem::new("CLOUDDRIVER-0008", Kind::Unavailable, text).because(&e.without_url())
        };
        let answer = self
            .http
            .get(url)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(failed)?;
        let mut bytes = bytes::BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&part);
            self.check_size(artifact, bytes.len() as u64)?;
        }
        Ok(bytes.freeze())
    }

    async fn read(&self, artifact: &Artifact) -> Result<Bytes, Problem> {
        let unreadable = |e: std::io::Error| {
            let text = format!("the artifact {} cannot be read", label(artifact));
            Problem::new("CLOUDDRIVER-0008", Kind::Unavailable, text).because(&e)
        };
        let path = Utf8Path::new(&artifact.reference)
            .canonicalize_utf8()
            .map_err(unreadable)?;
        let roots = self.config.local_roots.iter();
        let allowed = roots.filter_map(|r| Utf8Path::new(r).canonicalize_utf8().ok());
        if !allowed.into_iter().any(|root| path.starts_with(root)) {
            return Err(refused(
                artifact,
                "it lies outside of the directories that are allowed (artifacts.localRoots)",
            ));
        }
        let size = tokio::fs::metadata(&path).await.map_err(unreadable)?.len();
        self.check_size(artifact, size)?;
        tokio::fs::read(&path)
            .await
            .map(Bytes::from)
            .map_err(unreadable)
    }

    fn check_size(&self, artifact: &Artifact, size: u64) -> Result<(), Problem> {
        let max = self.config.bytes_max;
        if size <= max {
            return Ok(());
        }
        let text = format!("the artifact {} has more than {max} bytes", label(artifact));
        Err(Problem::new("CLOUDDRIVER-0010", Kind::TooLarge, text))
    }
}

/// The artifact for people: its name, else its reference, never its bytes.
fn label(artifact: &Artifact) -> &str {
    match (&artifact.name, artifact.kind.as_str()) {
        (Some(name), _) => name,
        (None, "embedded/base64") => "(embedded)",
        (None, _) => &artifact.reference,
    }
}

fn refused(artifact: &Artifact, why: &str) -> Problem {
    let text = format!("the artifact {} is refused: {why}", label(artifact));
    Problem::new("CLOUDDRIVER-0010", Kind::Invalid, text)
}

/// The file's name: the artifact's name, else the last part of its reference. One plain part, so
/// that it stays in its directory.
fn file_name(artifact: &Artifact) -> Result<String, Problem> {
    let name = match (artifact.name.as_deref(), artifact.kind.as_str()) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, "embedded/base64") => "artifact".to_owned(),
        _ => {
            let path = artifact
                .reference
                .split(['?', '#'])
                .next()
                .unwrap_or_default();
            path.trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        }
    };
    let mut parts = Utf8Path::new(&name).components();
    let plain =
        matches!((parts.next(), parts.next()), (Some(Utf8Component::Normal(p)), None) if p == name);
    if plain && name.len() <= NAME_BYTES_MAX && !name.contains(['\0', '\\']) {
        return Ok(name);
    }
    Err(refused(
        artifact,
        &format!("{name:?} is not a plain file name, it could lead out of the directory"),
    ))
}

#[async_trait]
impl ArtifactSource for LocalArtifacts {
    async fn prepare(&self, group: &str, artifact: Option<&Artifact>) -> Result<Placed, Problem> {
        let placed = self.placed(group, artifact)?;
        let bytes = match artifact {
            Some(artifact) => Some(self.fetch(artifact).await?),
            None => None,
        };
        let (to, group) = (placed.clone(), group.to_owned());
        let written = tokio::task::spawn_blocking(move || {
            if to.dir.exists() {
                set_mode(&to.dir, WRITABLE)?;
                std::fs::remove_dir_all(&to.dir)?;
            }
            std::fs::create_dir_all(&to.dir)?;
            if let (Some(file), Some(bytes)) = (&to.file, bytes) {
                std::fs::write(file, bytes)?;
                set_mode(file, READ_ONLY)?;
            }
            set_mode(&to.dir, READ_ONLY)
        });
        let written = written
            .await
            .unwrap_or_else(|e| Err(std::io::Error::other(e)));
        written.map_err(|e| {
            let text = format!("the files of server group {group} cannot be written");
            Problem::new("CLOUDDRIVER-0019", Kind::Unavailable, text).because(&e)
        })?;
        Ok(placed)
    }

    fn placed(&self, group: &str, artifact: Option<&Artifact>) -> Result<Placed, Problem> {
        let dir = self.root.join(group).join("app");
        let file = artifact
            .map(file_name)
            .transpose()?
            .map(|name| dir.join(name));
        Ok(Placed { dir, file })
    }

    async fn fetch(&self, artifact: &Artifact) -> Result<Bytes, Problem> {
        let bytes = self.bytes(artifact).await?;
        self.check_size(artifact, bytes.len() as u64)?;
        let Some(expected) = artifact.sha256() else {
            return Ok(bytes);
        };
        let actual = sha256(&bytes);
        if actual == expected {
            return Ok(bytes);
        }
        let text = format!(
            "the artifact {} has the sha256 {actual}, not {expected}",
            label(artifact)
        );
        Err(Problem::new("CLOUDDRIVER-0009", Kind::Invalid, text))
    }

    async fn remove(&self, group: &str) -> Result<(), Problem> {
        let dir = self.root.join(group);
        let removed = tokio::task::spawn_blocking(move || {
            if !dir.exists() {
                return Ok(());
            }
            let app = dir.join("app");
            if app.exists() {
                set_mode(&app, WRITABLE)?;
            }
            std::fs::remove_dir_all(dir)
        });
        removed
            .await
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(|e| {
                let text = format!("the files of server group {group} cannot be removed");
                Problem::new("CLOUDDRIVER-0019", Kind::Unavailable, text).because(&e)
            })
    }
}

fn set_mode(path: &Utf8Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn artifact(kind: &str, name: Option<&str>, reference: &str) -> Artifact {
        Artifact {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            reference: reference.to_owned(),
            ..Artifact::default()
        }
    }

    fn source(roots: &[&str]) -> (tempfile::TempDir, LocalArtifacts) {
        let temp = tempfile::tempdir().unwrap();
        let mut config = Config {
            data_dir: temp.path().to_str().unwrap().to_owned(),
            ..Config::default()
        };
        config.artifacts.local_roots = roots.iter().map(|r| (*r).to_owned()).collect();
        config.artifacts.bytes_max = 100;
        (temp, LocalArtifacts::new(&config).unwrap())
    }

    #[test]
    fn names_that_lead_out_of_the_directory_are_refused() {
        for name in ["../x", "/etc/passwd", "a/b", "..", ".", "a\\b", "x/", "./x"] {
            let wrong = file_name(&artifact("embedded/base64", Some(name), "")).unwrap_err();
            assert_eq!(wrong.code, "CLOUDDRIVER-0010", "{name}");
        }
        for (reference, name) in [
            ("https://h/a/app?x=/../y", "app"),
            ("http://h/app.tgz/", "app.tgz"),
        ] {
            assert_eq!(
                file_name(&artifact("http/file", None, reference)).unwrap(),
                name
            );
        }
        assert!(file_name(&artifact("http/file", None, "http://h/..")).is_err());
    }

    #[tokio::test]
    async fn the_checksum_is_checked_before_anything_is_placed() {
        let (_temp, source) = source(&[]);
        let mut good = artifact("embedded/base64", Some("hello"), "aGVsbG8=");
        let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        good.metadata.insert(
            "sha256".to_owned(),
            json!(format!("sha256:{}", sum.to_uppercase())),
        );
        let placed = source.prepare("a-v000", Some(&good)).await.unwrap();
        let file = placed.file.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"hello");
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            READ_ONLY
        );
        good.metadata.insert("sha256".to_owned(), json!("00"));
        let wrong = source.prepare("a-v001", Some(&good)).await.unwrap_err();
        assert_eq!(wrong.code, "CLOUDDRIVER-0009");
        assert!(!source.root.join("a-v001").exists());
        source.remove("a-v000").await.unwrap();
        assert!(!source.root.join("a-v000").exists());
    }

    #[tokio::test]
    async fn files_are_read_only_below_an_allowed_directory() {
        let allowed = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let file = allowed.path().join("app");
        std::fs::write(&file, "x").unwrap();
        let link = allowed.path().join("link");
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        let (_temp, source) = source(&[allowed.path().to_str().unwrap()]);
        let read = |path: &std::path::Path| artifact("local/file", None, path.to_str().unwrap());
        assert_eq!(source.fetch(&read(&file)).await.unwrap(), "x");
        for refused in [link, outside.path().to_owned()] {
            let wrong = source.fetch(&read(&refused)).await.unwrap_err();
            assert_eq!(wrong.code, "CLOUDDRIVER-0010", "{}", refused.display());
        }
        std::fs::write(&file, "x".repeat(101)).unwrap();
        assert_eq!(
            source.fetch(&read(&file)).await.unwrap_err().kind,
            Kind::TooLarge
        );
    }
}
