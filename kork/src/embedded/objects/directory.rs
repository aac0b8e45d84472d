//! Objects as files: one directory per object, one file per version, nothing ever overwritten.
//!
//! A write is a file under a temporary name, synced, renamed to the next version, directory synced:
//! after a crash the object is as before or as after. The newest version is the object.

use std::{
    fs::{self, File},
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    VERSIONS_MAX, check, etag_of, hold,
    name::{Segment, Version, directory_of, directory_over, segment},
};
use crate::{
    embedded::{OpenError, store::lock},
    ports::{Clock, Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Stored},
};

/// Locks that writers share out among all keys.
const SHARDS: usize = 64;
/// Where files are written before they are renamed; no key has this path.
const TEMPORARY: &str = ".tmp";

#[derive(Clone)]
pub(in crate::embedded) struct DirectoryObjects {
    inner: Arc<Inner>,
}

struct Inner {
    root: Utf8PathBuf,
    clock: Arc<dyn Clock>,
    shards: Vec<Mutex<()>>,
    temporary: AtomicU64,
}

fn unavailable(path: &Utf8Path, error: &io::Error) -> ObjectStoreError {
    ObjectStoreError::Unavailable {
        reason: format!("{path}: {error}"),
    }
}

impl DirectoryObjects {
    pub(in crate::embedded) fn open(
        root: &Utf8Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let temporary = root.join(TEMPORARY);
        let io = |source| OpenError::Unavailable {
            path: temporary.clone(),
            source,
        };
        // What lies there was never answered for.
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&temporary).map_err(io)?;
        let inner = Inner {
            root: root.to_owned(),
            clock,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            temporary: AtomicU64::new(0),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Runs file work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ObjectStoreError> + Send + 'static,
    ) -> Result<T, ObjectStoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .unwrap_or_else(|ended| {
                let reason = format!("the work on files was stopped: {ended}");
                Err(ObjectStoreError::Unavailable { reason })
            })
    }
}

impl Inner {
    fn shard(&self, key: &str) -> &Mutex<()> {
        let hash = key.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        &self.shards[hash % self.shards.len()]
    }

    fn temporary(&self) -> Utf8PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join(TEMPORARY).join(number.to_string())
    }

    /// Versions of a key, newest first; empty when there never was one.
    fn versions(directory: &Utf8Path) -> Result<Vec<Version>, ObjectStoreError> {
        let names = match directory.read_dir_utf8() {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unavailable(directory, &error)),
        };
        let mut versions = Vec::new();
        for entry in names {
            let entry = entry.map_err(|error| unavailable(directory, &error))?;
            versions.extend(Version::parse(entry.file_name()));
        }
        versions.sort_unstable_by_key(|version| std::cmp::Reverse(version.sequence));
        Ok(versions)
    }

    fn body(
        directory: &Utf8Path,
        key: &str,
        version: &Version,
    ) -> Result<Option<Object>, ObjectStoreError> {
        let Some((size, etag)) = &version.body else {
            return Ok(None);
        };
        let path = directory.join(version.file_name());
        let body = match fs::read(&path) {
            Ok(body) => body,
            // Erased meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(&path, &error)),
        };
        if body.len() != *size || etag_of(&body) != *etag {
            let reason = format!("{path} is not what was written; restore it from a backup");
            return Err(ObjectStoreError::Unavailable { reason });
        }
        Ok(Some(Object {
            body: Bytes::from(body),
            info: version.info(key),
        }))
    }

    /// Adds a version, or a delete marker without a body, if the condition holds.
    fn write(
        &self,
        key: &str,
        body: Option<&Bytes>,
        condition: &Condition,
    ) -> Result<Option<Stored>, ObjectStoreError> {
        let directory = self.root.join(directory_of(key));
        let etag = body.map(|body| etag_of(body));
        let _shard = lock(self.shard(key));
        let versions = Self::versions(&directory)?;
        let newest = versions.first().filter(|version| version.body.is_some());
        let current = newest.and_then(|version| version.body.as_ref());
        hold(condition, key, current.map(|(_, etag)| etag.as_str()))?;
        if body.is_none() && current.is_none() {
            return Ok(None);
        }
        let version = Version {
            sequence: versions.first().map_or(1, |version| version.sequence + 1),
            modified: self.clock.now(),
            body: body
                .zip(etag.clone())
                .map(|(body, etag)| (body.len(), etag)),
        };
        self.store(&directory, &version, body.map_or(&[], |body| body))
            .map_err(|error| unavailable(&directory, &error))?;
        for old in versions.iter().skip(VERSIONS_MAX - 1) {
            let path = directory.join(old.file_name());
            fs::remove_file(&path).map_err(|error| unavailable(&path, &error))?;
        }
        let (version, modified) = (version.name(), version.modified);
        Ok(Some(Stored {
            etag: etag.unwrap_or_default(),
            version,
            modified,
        }))
    }

    fn store(&self, directory: &Utf8Path, version: &Version, body: &[u8]) -> io::Result<()> {
        let temporary = self.temporary();
        let mut file = File::create(&temporary)?;
        file.write_all(body)?;
        file.sync_all()?;
        drop(file);
        self.make(directory)?;
        fs::rename(&temporary, directory.join(version.file_name()))?;
        sync_directory(directory)
    }

    /// Makes a directory and its parents, each of them durable.
    fn make(&self, directory: &Utf8Path) -> io::Result<()> {
        if directory == self.root || directory.is_dir() {
            return Ok(());
        }
        let parent = directory.parent().unwrap_or(&self.root);
        self.make(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        sync_directory(parent)
    }

    fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        let directory = self.root.join(directory_of(key));
        let _shard = lock(self.shard(key));
        let away = self.temporary();
        match fs::rename(&directory, &away) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unavailable(&directory, &error)),
        }
        let synced = directory.parent().map_or(Ok(()), sync_directory);
        synced
            .and_then(|()| fs::remove_dir_all(&away))
            .map_err(|error| unavailable(&directory, &error))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let mut found = Vec::new();
        let whole = prefix.rsplit_once('/').map_or("", |(whole, _)| whole);
        let mut key = whole.as_bytes().to_vec();
        if prefix.contains('/') {
            key.push(b'/');
        }
        Self::walk(
            &self.root.join(directory_over(prefix)),
            &mut key,
            prefix,
            &mut found,
        )?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Adds the objects below a directory; `key` is what the directories above say.
    fn walk(
        directory: &Utf8Path,
        key: &mut Vec<u8>,
        prefix: &str,
        found: &mut Vec<ObjectInfo>,
    ) -> Result<(), ObjectStoreError> {
        let names = match directory.read_dir_utf8() {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unavailable(directory, &error)),
        };
        let above = key.len();
        for entry in names {
            let entry = entry.map_err(|error| unavailable(directory, &error))?;
            let Some(segment) = segment(entry.file_name()) else {
                continue;
            };
            let is_object = matches!(segment, Segment::Object(_));
            match segment {
                Segment::Object(bytes) | Segment::Continued(bytes) => key.extend(bytes),
                Segment::Part(bytes) => {
                    key.extend(bytes);
                    key.push(b'/');
                }
            }
            let shared = key.len().min(prefix.len());
            if key[..shared] == prefix.as_bytes()[..shared] {
                if is_object {
                    Self::newest(entry.path(), key, prefix, found)?;
                } else {
                    Self::walk(entry.path(), key, prefix, found)?;
                }
            }
            key.truncate(above);
        }
        Ok(())
    }

    fn newest(
        directory: &Utf8Path,
        key: &[u8],
        prefix: &str,
        found: &mut Vec<ObjectInfo>,
    ) -> Result<(), ObjectStoreError> {
        let Some(key) = std::str::from_utf8(key)
            .ok()
            .filter(|key| key.starts_with(prefix))
        else {
            return Ok(());
        };
        let versions = Self::versions(directory)?;
        found.extend(
            versions
                .first()
                .filter(|v| v.body.is_some())
                .map(|v| v.info(key)),
        );
        Ok(())
    }
}

fn sync_directory(directory: &Utf8Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[async_trait]
impl ObjectStore for DirectoryObjects {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        check(key, 0)?;
        let key = key.to_owned();
        self.blocking(move |inner| {
            let directory = inner.root.join(directory_of(&key));
            match Inner::versions(&directory)?.first() {
                Some(newest) => Inner::body(&directory, &key, newest),
                None => Ok(None),
            }
        })
        .await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        check(key, body.len())?;
        let key = key.to_owned();
        self.blocking(move |inner| {
            inner
                .write(&key, Some(&body), &condition)
                .map(|stored| stored.expect("a write with a body always adds a version"))
        })
        .await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        check(key, 0)?;
        let key = key.to_owned();
        self.blocking(move |inner| inner.write(&key, None, &condition).map(|_| ()))
            .await
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        check(key, 0)?;
        let key = key.to_owned();
        self.blocking(move |inner| inner.erase(&key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let prefix = prefix.to_owned();
        self.blocking(move |inner| inner.list(&prefix)).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        check(key, 0)?;
        let key = key.to_owned();
        self.blocking(move |inner| {
            let versions = Inner::versions(&inner.root.join(directory_of(&key)))?;
            Ok(versions.iter().map(|version| version.info(&key)).collect())
        })
        .await
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        check(key, 0)?;
        let (key, version) = (key.to_owned(), version.to_owned());
        self.blocking(move |inner| {
            let directory = inner.root.join(directory_of(&key));
            let versions = Inner::versions(&directory)?;
            match versions.iter().find(|found| found.name() == version) {
                Some(found) => Inner::body(&directory, &key, found),
                None => Ok(None),
            }
        })
        .await
    }
}
